/* test_grpc_channel_trailers.c - what our own server says of a failed call, as the caller gets it.
 */
#include <string.h>

#include "channel_fixture.h"

struct heard {
    struct grpc_out_call call;
    bool done;
    enum grpc_status status;
    char error[64];
    bool not_applied;
    struct pushback pushback;
};

static void on_done(struct grpc_out_call *call, const struct grpc_result *result) {
    struct heard *heard = CONTAINER_OF(call, struct heard, call);

    heard->done = true;
    heard->status = result->status;
    heard->not_applied = result->not_applied;
    heard->pushback = result->pushback;
    assert_true(result->error.len < sizeof(heard->error));
    if (result->error.len)
        memcpy(heard->error, result->error.ptr, result->error.len);
}

/* clang-format off */
static const struct {
    const char *lines;
    enum grpc_status status;
    const char *error;
    bool not_applied;
    struct pushback pushback;
} rows[] = {
    {GRPC_HEAD "grpc-status: 8\nhgp-error: BUSY\nhgp-not-applied: 1\n", GRPC_RESOURCE_EXHAUSTED, "BUSY",    true,  {false, 0}},
    {GRPC_HEAD "grpc-status: 8\ngrpc-retry-pushback-ms: 40\n",         GRPC_RESOURCE_EXHAUSTED, "",        false, {true, 40}},
    {GRPC_HEAD "grpc-status: 8\ngrpc-retry-pushback-ms: -1\n",         GRPC_RESOURCE_EXHAUSTED, "",        false, {true, -1}},
    {GRPC_HEAD "grpc-status: 14\nhgp-error: UNKNOWN\n",                 GRPC_UNAVAILABLE,        "UNKNOWN", false, {false, 0}},
    {GRPC_HEAD "grpc-status: 14\nhgp-error: IO\nhgp-not-applied: 0\n",  GRPC_UNAVAILABLE,        "IO",      false, {false, 0}},
    {GRPC_HEAD "grpc-status: 14\n",                                     GRPC_UNAVAILABLE,        "",        false, {false, 0}},
};
/* clang-format on */

/* On one connection: what one call was told isn't the next one's. */
static void test_what_is_heard(void **state) {
    (void)state;
    struct world w;

    world_init(&w);
    world_listen(&w);
    world_connect(&w);
    struct raw *server = raw_ready(&w);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct heard heard = {.call = {.done = on_done}};
        int32_t stream_id = (int32_t)(1 + 2 * i);

        assert_int_equal(grpc_channel_call(w.channel, &heard.call, SLICE("/a.B/C"), SLICE("x"),
                                           loop_now_ms(w.loop) + 10000),
                         ERR_OK);
        AWAIT(&w, raw_requested(server, stream_id));
        raw_headers(server, stream_id, rows[i].lines, true);
        AWAIT(&w, heard.done);
        assert_int_equal(heard.status, rows[i].status);
        assert_string_equal(heard.error, rows[i].error);
        assert_int_equal(heard.not_applied, rows[i].not_applied);
        assert_int_equal(heard.pushback.given, rows[i].pushback.given);
        assert_int_equal(heard.pushback.ms, rows[i].pushback.ms);
    }
    raw_free(server);
    world_release(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
