/* test_handover_codec.c - the messages by which a partition moves: round trips, and bytes that are
 * none. */
#include <stdlib.h>

#include "edge/handover_codec.h"
#include "test.h"

static void test_requests(void **state) {
    struct handover_request request = {.kind = HANDOVER_ARRIVE,
                                       .partition = UINT32_MAX,
                                       .peer = SLICE("a-b"),
                                       .of = 4,
                                       .moves = UINT64_MAX,
                                       .store_id = 7,
                                       .lanes = 4096,
                                       .next = -2,
                                       .attempt = UINT64_MAX,
                                       .cursor = SLICE("C\0\0"),
                                       .records = SLICE("x")};
    struct handover_request got;
    struct buf out = {0};

    (void)state;
    handover_write_request(&out, &request);
    assert_int_equal(handover_read_request(buf_slice(&out), &got), ERR_OK);
    assert_true(got.kind == request.kind && got.partition == request.partition &&
                slice_eq(got.peer, request.peer) && got.of == 4 && got.moves == UINT64_MAX &&
                got.store_id == 7 && got.lanes == 4096 && got.next == -2 &&
                got.attempt == UINT64_MAX && slice_eq(got.cursor, request.cursor) &&
                slice_eq(got.records, request.records));
    request = (struct handover_request){.kind = HANDOVER_LOOK};
    handover_write_request(&out, &request);
    assert_int_equal(out.len, 0);
    assert_int_equal(handover_read_request(buf_slice(&out), &got), ERR_OK);
    assert_true(got.kind == HANDOVER_LOOK && got.peer.len == 0 && got.next == 0);
    assert_int_equal(handover_read_request(SLICE("\x08\x0a"), &got), ERR_INVALID); /* kind 10 */
    buf_release(&out);
}

static void test_responses(void **state) {
    struct handover_response response = {.state = PARTITION_READY,
                                         .reads = true,
                                         .moves = 3,
                                         .next = INT64_MAX,
                                         .name = SLICE("c"),
                                         .of = 1,
                                         .lanes = 2,
                                         .store_id = UINT64_MAX,
                                         .attempt = 1,
                                         .cursor = SLICE("B"),
                                         .records = SLICE("\0"),
                                         .again = true};
    struct handover_response got;
    struct buf out = {0};

    (void)state;
    handover_write_response(&out, &response);
    assert_int_equal(handover_read_response(buf_slice(&out), &got), ERR_OK);
    assert_true(got.state == PARTITION_READY && got.reads && got.moves == 3 &&
                got.next == INT64_MAX && slice_eq(got.name, response.name) && got.of == 1 &&
                got.lanes == 2 && got.store_id == UINT64_MAX && got.attempt == 1 &&
                slice_eq(got.cursor, response.cursor) && slice_eq(got.records, response.records) &&
                got.again);
    assert_int_equal(handover_read_response(SLICE("\x08\x06"), &got), ERR_INVALID); /* state 6 */
    buf_release(&out);
}

/* Read or refused, never beyond its end (a sanitizer looks on). */
static void test_cut_and_changed(void **state) {
    struct handover_response response = {.name = SLICE("name"), .store_id = 1, .again = true};
    struct handover_request request;
    struct buf out = {0};
    unsigned refused = 0;

    (void)state;
    handover_write_response(&out, &response);
    for (size_t len = 0; len <= out.len; len++) {
        for (size_t changed = 0; changed <= len; changed++) {
            char *exact = malloc(len + 1);

            memcpy(exact, out.ptr, len);
            if (changed < len)
                exact[changed] = (char)(exact[changed] ^ 0x55);
            refused += handover_read_response(slice_of(exact, len), &response) != ERR_OK;
            refused += handover_read_request(slice_of(exact, len), &request) != ERR_OK;
            free(exact);
        }
    }
    assert_true(refused > 100);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_cut_and_changed),
    };

    return cmocka_run_group_tests_name("edge/handover_codec", tests, NULL, NULL);
}
