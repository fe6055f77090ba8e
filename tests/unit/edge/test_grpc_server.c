/* test_grpc_server.c - calls against a real server: answers, refusals, ends. */
#include "grpc_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define WINDOW 65535

static struct server server;
static struct client *client;

static void open_both(const struct grpc_server_conf *conf, uint32_t window) {
    server_start(&server, conf);
    client = client_new(&server, window);
}

static void close_both(void) {
    client_free(client);
    server_stop(&server);
}

static const struct reply *reply(unsigned i) {
    return &client->replies[i];
}

/* ---- answers ------------------------------------------------------------- */

static void test_unary(void **state) {
    struct field fields[] = {{"x-echo", "hey"}, {NULL, NULL}};
    struct buf body = {0};

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    frame_message(&body, false, SLICE("hello"));
    unsigned i = client_request(client, "/echo.Echo/Unary", fields, buf_slice(&body), true);
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->http, 200);
    assert_int_equal(reply(i)->status, GRPC_OK);
    assert_int_equal(reply(i)->bytes, 10);
    assert_memory_equal(reply(i)->first, "\0\0\0\0\5hello", 10);
    assert_string_equal(reply(i)->echo, "hey");
    assert_string_equal(reply(i)->message, "");
    assert_int_equal(reply(i)->reset, NGHTTP2_NO_ERROR);
    buf_release(&body);
    close_both();
    assert_int_equal(server.echo.by_status[GRPC_OK], 1);
    assert_int_equal(server.floods, 0);
}

static void test_a_thousand_at_once(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    for (unsigned i = 0; i < STREAMS_MAX; i++) {
        char text[16];
        int len = snprintf(text, sizeof(text), "%u", i);

        client_call(client, "/echo.Echo/Unary", slice_of(text, (size_t)len));
    }
    client_wait_closed(client, STREAMS_MAX);
    for (unsigned i = 0; i < STREAMS_MAX; i++) {
        assert_int_equal(reply(i)->status, GRPC_OK);
        assert_int_equal(atoi((const char *)reply(i)->first + 5), i);
    }
    close_both();
    assert_int_equal(server.echo.handled, STREAMS_MAX);
    assert_int_equal(server.floods, 0);
}

static void test_a_large_message_through_small_windows(void **state) {
    size_t bytes = MESSAGE_MAX;
    char *large = calloc(1, bytes);

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned i = client_call(client, "/echo.Echo/Unary", slice_of(large, bytes - 5));
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->status, GRPC_OK);
    assert_int_equal(reply(i)->bytes, bytes);
    free(large);
    close_both();
}

static void test_server_stream(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned i = client_call(client, "/echo.Echo/Stream", SLICE("100 5000"));
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->status, GRPC_OK);
    assert_int_equal(reply(i)->bytes, 100 * 5005);
    close_both();
}

static void test_client_stream(void **state) {
    struct buf body = {0};

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    frame_message(&body, false, SLICE("a"));
    frame_message(&body, false, SLICE("bc"));
    unsigned i = client_request(client, "/echo.Echo/Each", NULL, buf_slice(&body), true);
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->status, GRPC_OK);
    assert_memory_equal(reply(i)->first, "\0\0\0\0\1a\0\0\0\0\2bc", 13);
    buf_release(&body);
    close_both();
}

static void test_an_error_of_the_method(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned i = client_call(client, "/echo.Echo/Fail", SLICE("x"));
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->status, GRPC_INVALID_ARGUMENT);
    assert_string_equal(reply(i)->message, "half 50%25 %C3%A9%0A");
    assert_int_equal(reply(i)->bytes, 0);
    close_both();
}

/* Every byte of a client comes alone, as far as the kernel lets it. */
static void test_dribbled_input(void **state) {
    const uint8_t *bytes;
    ssize_t len;

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned i = client_call(client, "/echo.Echo/Unary", SLICE("slowly but surely"));
    while ((len = nghttp2_session_mem_send(client->session, &bytes)) > 0)
        for (ssize_t k = 0; k < len; k++)
            assert_true(raw_write(client->fd, bytes + k, 1));
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->status, GRPC_OK);
    assert_int_equal(reply(i)->bytes, 5 + 17);
    close_both();
    assert_int_equal(server.floods, 0);
}

/* ---- refusals ------------------------------------------------------------ */

#define BODY(literal)                                                                              \
    { literal, sizeof(literal) - 1 }

static const struct {
    const char *name;
    const char *path;
    struct field field;
    struct slice body;
    int http;
    int status;
} refusals[] = {
    {"unknown method", "/echo.Echo/Nope", {0}, BODY("\0\0\0\0\0"), 200, GRPC_UNIMPLEMENTED},
    {"wrong content type",
     "/echo.Echo/Unary",
     {"content-type", "application/json"},
     BODY("{}"),
     415,
     -1},
    {"almost the content type",
     "/echo.Echo/Unary",
     {"content-type", "application/grpcs"},
     BODY("\0\0\0\0\0"),
     415,
     -1},
    {"the long content type",
     "/echo.Echo/Unary",
     {"content-type", "application/grpc+proto"},
     BODY("\0\0\0\0\0"),
     200,
     GRPC_OK},
    {"a parameter",
     "/echo.Echo/Unary",
     {"content-type", "application/grpc;charset=utf-8"},
     BODY("\0\0\0\0\0"),
     200,
     GRPC_OK},
    {"GET", "/echo.Echo/Unary", {":method", "GET"}, BODY(""), 405, -1},
    {"no message", "/echo.Echo/Unary", {0}, BODY(""), 200, GRPC_UNIMPLEMENTED},
    {"two messages",
     "/echo.Echo/Unary",
     {0},
     BODY("\0\0\0\0\0\0\0\0\0\0"),
     200,
     GRPC_UNIMPLEMENTED},
    {"a cut message", "/echo.Echo/Unary", {0}, BODY("\0\0\0\0\2a"), 200, GRPC_INTERNAL},
    {"a cut prefix", "/echo.Echo/Unary", {0}, BODY("\0\0\0"), 200, GRPC_INTERNAL},
    {"a bad flag", "/echo.Echo/Unary", {0}, BODY("\2\0\0\0\0"), 200, GRPC_INTERNAL},
    {"compressed without encoding",
     "/echo.Echo/Unary",
     {0},
     BODY("\1\0\0\0\0"),
     200,
     GRPC_INTERNAL},
    {"compressed as identity",
     "/echo.Echo/Unary",
     {"grpc-encoding", "identity"},
     BODY("\1\0\0\0\0"),
     200,
     GRPC_INTERNAL},
    {"not gzip",
     "/echo.Echo/Unary",
     {"grpc-encoding", "gzip"},
     BODY("\1\0\0\0\2ab"),
     200,
     GRPC_INTERNAL},
    {"plain although gzip",
     "/echo.Echo/Unary",
     {"grpc-encoding", "gzip"},
     BODY("\0\0\0\0\0"),
     200,
     GRPC_OK},
    {"another encoding",
     "/echo.Echo/Unary",
     {"grpc-encoding", "br"},
     BODY("\1\0\0\0\0"),
     200,
     GRPC_UNIMPLEMENTED},
    {"a bad timeout",
     "/echo.Echo/Unary",
     {"grpc-timeout", "5x"},
     BODY("\0\0\0\0\0"),
     200,
     GRPC_INTERNAL},
    {"bad binary metadata",
     "/echo.Echo/Unary",
     {"x-bin", "$"},
     BODY("\0\0\0\0\0"),
     200,
     GRPC_INTERNAL},
    {"one byte too large",
     "/echo.Echo/Unary",
     {0},
     BODY("\0\0\100\0\1"),
     200,
     GRPC_RESOURCE_EXHAUSTED},
    {"much too large",
     "/echo.Echo/Unary",
     {0},
     BODY("\0\377\377\377\377"),
     200,
     GRPC_RESOURCE_EXHAUSTED},
    {"no time at all",
     "/echo.Echo/Slow",
     {"grpc-timeout", "0m"},
     BODY("\0\0\0\0\0"),
     200,
     GRPC_DEADLINE_EXCEEDED},
};

static void test_refusals(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    for (unsigned row = 0; row < ARRAY_LEN(refusals); row++) {
        struct field fields[] = {refusals[row].field, {NULL, NULL}};
        unsigned i = client_request(client, refusals[row].path, fields, refusals[row].body, true);

        client_wait_closed(client, row + 1);
        if (reply(i)->http != refusals[row].http || reply(i)->status != refusals[row].status)
            fail_msg("%s: HTTP %d, status %d (%s)", refusals[row].name, reply(i)->http,
                     reply(i)->status, reply(i)->message);
        if (strcmp(refusals[row].name, "another encoding") == 0)
            assert_string_equal(reply(i)->accept, "identity,gzip");
    }
    close_both();
    assert_int_equal(server.echo.finished, ARRAY_LEN(refusals));
}

static void test_refused_before_the_end(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned i = client_request(client, "/echo.Echo/Nope", NULL, SLICE("\0\0\0\0\1"), false);
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->status, GRPC_UNIMPLEMENTED);
    assert_int_equal(reply(i)->reset, NGHTTP2_NO_ERROR);
    close_both();
}

static unsigned call_with_fields(unsigned count, size_t value_len) {
    static char value[20000];
    struct field fields[200] = {{NULL, NULL}};

    memset(value, 'v', sizeof(value));
    value[value_len] = '\0';
    for (unsigned i = 0; i < count; i++)
        fields[i] = (struct field){"x-crumb", value};
    return client_request(client, "/echo.Echo/Unary", fields, SLICE("\0\0\0\0\0"), true);
}

static void test_metadata_limits(void **state) {
    static const struct {
        unsigned count;
        size_t len;
        int status;
    } rows[] = {
        {94, 1, GRPC_OK}, /* and six of the standard ones are 100 */
        {95, 1, GRPC_RESOURCE_EXHAUSTED},
        {1, 15000, GRPC_OK},
        {1, 16384, GRPC_RESOURCE_EXHAUSTED},
        {4, 5000, GRPC_RESOURCE_EXHAUSTED},
    };

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    for (unsigned row = 0; row < ARRAY_LEN(rows); row++) {
        unsigned i = call_with_fields(rows[row].count, rows[row].len);

        client_wait_closed(client, row + 1);
        if (reply(i)->status != rows[row].status)
            fail_msg("row %u: status %d", row, reply(i)->status);
    }
    close_both();
}

/* ---- gzip ---------------------------------------------------------------- */

static unsigned call_gzipped(const char *plain, size_t len) {
    struct field fields[] = {{"grpc-encoding", "gzip"}, {NULL, NULL}};
    size_t room = len / 900 + 1000;
    char *packed = malloc(room);
    struct buf body = {0};
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)plain,
                  .avail_in = (unsigned)len,
                  .next_out = (unsigned char *)packed,
                  .avail_out = (unsigned)room};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    frame_message(&body, true, slice_of(packed, z.total_out));
    unsigned i = client_request(client, "/echo.Echo/Unary", fields, buf_slice(&body), true);
    buf_release(&body);
    free(packed);
    return i;
}

static void test_gzip(void **state) {
    size_t bomb = MESSAGE_MAX + 1;
    char *zeros = calloc(1, bomb);

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned small = call_gzipped("squeezed", 8);
    unsigned large = call_gzipped(zeros, bomb - 6); /* its answer fits with the prefix */
    unsigned too_large = call_gzipped(zeros, bomb);
    client_wait_closed(client, 3);
    assert_int_equal(reply(small)->status, GRPC_OK);
    assert_memory_equal(reply(small)->first, "\0\0\0\0\10squeezed", 13);
    assert_int_equal(reply(large)->status, GRPC_OK);
    assert_int_equal(reply(large)->bytes, bomb - 1);
    assert_int_equal(reply(too_large)->status, GRPC_RESOURCE_EXHAUSTED);
    free(zeros);
    close_both();
}

/* ---- deadlines and cancels ----------------------------------------------- */

static void test_deadline(void **state) {
    struct field fields[] = {{"grpc-timeout", "30m"}, {NULL, NULL}};

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned i = client_request(client, "/echo.Echo/Slow", fields, SLICE("\0\0\0\0\0"), true);
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->status, GRPC_DEADLINE_EXCEEDED);
    close_both();
    assert_int_equal(server.echo.gone, 1);
    assert_int_equal(server.echo.by_status[GRPC_DEADLINE_EXCEEDED], 1);
}

static void test_deadline_of_the_server(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    struct field fields[] = {{"grpc-timeout", "1H"}, {NULL, NULL}};

    (void)state;
    conf.deadline_max_ms = 30;
    open_both(&conf, WINDOW);
    unsigned bare = client_call(client, "/echo.Echo/Slow", SLICE(""));
    unsigned longer = client_request(client, "/echo.Echo/Slow", fields, SLICE("\0\0\0\0\0"), true);
    unsigned unfinished = client_request(client, "/echo.Echo/Unary", NULL, SLICE("\0"), false);
    unsigned not_grpc =
        client_request(client, "/", (struct field[]){{"content-type", "text/plain"}, {NULL, NULL}},
                       SLICE(""), false);
    client_wait_closed(client, 4);
    assert_int_equal(reply(bare)->status, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(reply(longer)->status, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(reply(unfinished)->status, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(reply(not_grpc)->http, 415);
    close_both();
    assert_int_equal(server.echo.gone, 2);
}

static void test_cancel(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned slow = client_call(client, "/echo.Echo/Slow", SLICE(""));
    unsigned watch = client_call(client, "/echo.Echo/Watch", SLICE("w"));
    client_wait_bytes(client, watch, 6);
    nghttp2_submit_rst_stream(client->session, 0, (int32_t)slow * 2 + 1, NGHTTP2_CANCEL);
    nghttp2_submit_rst_stream(client->session, 0, (int32_t)watch * 2 + 1, NGHTTP2_CANCEL);
    unsigned last = client_call(client, "/echo.Echo/Unary", SLICE("still there"));
    client_wait_closed(client, 3);
    assert_int_equal(reply(last)->status, GRPC_OK);
    close_both();
    assert_int_equal(server.echo.gone, 2);
    assert_int_equal(server.echo.by_status[GRPC_CANCELLED], 2);
}

static void test_connection_lost(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned watch = client_call(client, "/echo.Echo/Watch", SLICE("w"));
    client_call(client, "/echo.Echo/Slow", SLICE(""));
    client_wait_bytes(client, watch, 6);
    struct linger hard = {1, 0};
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close_both();
    assert_int_equal(server.echo.gone, server.echo.handled);
}

/* What was complete before the FIN is answered. */
static void test_half_closed_connection(void **state) {
    struct field fields[] = {{"grpc-timeout", "30m"}, {NULL, NULL}};

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned complete =
        client_request(client, "/echo.Echo/Slow", fields, SLICE("\0\0\0\0\0"), true);
    client_request(client, "/echo.Echo/Unary", NULL, SLICE("\0\0"), false);
    client_flush(client);
    shutdown(client->fd, SHUT_WR);
    client_wait_end(client);
    assert_int_equal(reply(complete)->status, GRPC_DEADLINE_EXCEEDED);
    close_both();
    assert_int_equal(server.echo.by_status[GRPC_CANCELLED], 1);
}

/* ---- drain and idleness -------------------------------------------------- */

static void test_drain(void **state) {
    struct field fields[] = {{"grpc-timeout", "100m"}, {NULL, NULL}};

    (void)state;
    open_both(&FIXTURE_CONF, WINDOW);
    unsigned slow = client_request(client, "/echo.Echo/Slow", fields, SLICE("\0\0\0\0\0"), true);
    unsigned watch = client_call(client, "/echo.Echo/Watch", SLICE("w"));
    client_wait_bytes(client, watch, 6);
    server_drain(&server);
    client_wait_goaways(client, 2);
    assert_int_equal(client->goaway_last[0], INT32_MAX);
    assert_int_equal(client->goaway_last[1], (int32_t)watch * 2 + 1);
    assert_int_equal(client->goaway_code, NGHTTP2_NO_ERROR);
    client_wait_closed(client, 2);
    assert_int_equal(reply(slow)->status, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(reply(watch)->status, GRPC_UNAVAILABLE);
    client_wait_end(client);
    close_both();
}

static void test_idle(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;

    (void)state;
    conf.idle_ms = 50;
    open_both(&conf, WINDOW);
    client_wait_goaways(client, 1); /* it has no calls: the second doesn't interest it */
    assert_int_equal(client->goaway_last[0], INT32_MAX);
    assert_int_equal(client->goaway_code, NGHTTP2_NO_ERROR);
    close_both();
    assert_int_equal(server.floods, 0);
}

/* A health Watch says nothing for hours: the server asks whether its peer is there, and stays. */
static void test_a_watch_is_not_idle(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    struct field fields[] = {{"grpc-timeout", "400m"}, {NULL, NULL}};

    (void)state;
    conf.idle_ms = 50;
    open_both(&conf, WINDOW);
    unsigned watch = client_request(client, "/echo.Echo/Watch", fields, SLICE("\0\0\0\0\0"), true);
    client_wait_closed(client, 1); /* by its own deadline, eight times idle_ms later */
    assert_int_equal(reply(watch)->status, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(client->goaways, 0);
    close_both();
}

static void test_a_silent_peer(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    char bytes[4096];

    (void)state;
    conf.idle_ms = 50;
    open_both(&conf, WINDOW);
    client_call(client, "/echo.Echo/Watch", SLICE("w"));
    client_flush(client);
    while (recv(client->fd, bytes, sizeof(bytes), 0) > 0)
        continue; /* its PING isn't answered */
    close_both();
    assert_int_equal(server.echo.gone, 1);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary),
        cmocka_unit_test(test_a_thousand_at_once),
        cmocka_unit_test(test_a_large_message_through_small_windows),
        cmocka_unit_test(test_server_stream),
        cmocka_unit_test(test_client_stream),
        cmocka_unit_test(test_an_error_of_the_method),
        cmocka_unit_test(test_dribbled_input),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refused_before_the_end),
        cmocka_unit_test(test_metadata_limits),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_deadline_of_the_server),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_connection_lost),
        cmocka_unit_test(test_half_closed_connection),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_a_watch_is_not_idle),
        cmocka_unit_test(test_a_silent_peer),
    };

    return cmocka_run_group_tests_name("edge/grpc_server", tests, NULL, NULL);
}

int main(void) {
    return fixture_run("edge/grpc_server", group);
}
