/* test_grpc_channel_answers.c - what a server may say to a call, good and bad, frame by frame. */
#include "channel_fixture.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/grpc_text.h"

#define PATH "/test.Test/Call"

static struct world world;
static struct raw *raw;

static void open_raw(void) {
    raw = world_open_raw(&world);
}

static void close_raw(void) {
    world_close_raw(&world, raw);
}

static struct called *requested(int32_t stream_id) {
    return world_requested(&world, raw, stream_id);
}

/* The connection still works. */
static void expect_alive(int32_t stream_id) {
    struct called *called = requested(stream_id);

    raw_answer(raw, stream_id, SLICE("alive"));
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    assert_int_equal(grpc_channel_state(world.channel), GRPC_CHANNEL_READY);
}

/* ---- the request --------------------------------------------------------- */

static void inflate_head(const struct frame *frame, char *out, size_t size) {
    nghttp2_hd_inflater *inflater;
    const uint8_t *in = (const uint8_t *)frame->payload;
    size_t left = frame->len;
    int flags = 0;

    out[0] = '\0';
    assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
    while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, in, left, 1);

        assert_true(n >= 0);
        in += n;
        left -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            (void)snprintf(out + strlen(out), size - strlen(out), "%.*s: %.*s\n", (int)nv.namelen,
                           (char *)nv.name, (int)nv.valuelen, (char *)nv.value);
    }
    nghttp2_hd_inflate_del(inflater);
}

static void test_the_request(void **state) {
    char head[2048];
    char wanted[128];
    const char *timeout;
    int64_t timeout_ms;

    (void)state;
    open_raw();
    (void)requested(1);
    inflate_head(raw_find(raw, NGHTTP2_HEADERS, 1), head, sizeof(head));
    assert_ptr_equal(strstr(head, ":method: POST\n"), head);
    assert_non_null(strstr(head, ":scheme: http\n"));
    assert_non_null(strstr(head, ":path: " PATH "\n"));
    (void)snprintf(wanted, sizeof(wanted), ":authority: %s\n", world.address);
    assert_non_null(strstr(head, wanted));
    assert_non_null(strstr(head, "\nte: trailers\n"));
    assert_non_null(strstr(head, "\ncontent-type: application/grpc\n"));
    assert_non_null(strstr(head, "\ngrpc-accept-encoding: identity\n"));
    assert_non_null(strstr(head, "\nuser-agent: grpc-c-highgopress/"));
    timeout = strstr(head, "\ngrpc-timeout: ");
    assert_non_null(timeout);
    timeout += strlen("\ngrpc-timeout: ");
    assert_int_equal(grpc_timeout_parse(
                         slice_of(timeout, (size_t)(strchr(timeout, '\n') - timeout)), &timeout_ms),
                     ERR_OK);
    assert_int_equal(timeout_ms, 20000);
    assert_int_equal(raw_find(raw, NGHTTP2_DATA, 1)->len, 8);
    assert_memory_equal(raw_find(raw, NGHTTP2_DATA, 1)->payload, "\0\0\0\0\3ask", 8);
    raw_answer(raw, 1, SLICE("x"));
    close_raw();
}

/* ---- one answer after another, on one connection ------------------------- */

static void test_answers(void **state) {
    static const struct {
        const char *name;
        const char *head;
        bool head_ends;
        const char *body; /* of 'body_len' */
        size_t body_len;
        const char *trailers; /* NULL: the body ends it */
        enum grpc_status status;
        const char *message; /* a part of it */
    } rows[] = {
#define OK_BODY "\0\0\0\0\2hi", 7
#define TYPE    "content-type: application/grpc"
        /* clang-format off */
        {"good", GRPC_HEAD, false, OK_BODY, GRPC_TRAILERS, GRPC_OK, ""},
        {"an empty message", GRPC_HEAD, false, "\0\0\0\0\0", 5, GRPC_TRAILERS, GRPC_OK, ""},
        {"a type with a codec", ":status: 200\n" TYPE "+proto\n", false, OK_BODY, GRPC_TRAILERS,
         GRPC_OK, ""},
        {"a type with a parameter", ":status: 200\n" TYPE ";charset=x\n", false, OK_BODY,
         GRPC_TRAILERS, GRPC_OK, ""},
        {"trailers only", GRPC_HEAD "grpc-status: 5\ngrpc-message: not%20he%72e %zz 100%\n", true,
         NULL, 0, NULL, GRPC_NOT_FOUND, "not here %zz 100%"},
        {"an error behind a message", GRPC_HEAD, false, OK_BODY, "grpc-status: 13\n",
         GRPC_INTERNAL, ""},
        {"an error without a message", GRPC_HEAD, false, "", 0, "grpc-status: 16\n",
         GRPC_UNAUTHENTICATED, ""},
        {"a status nobody knows", GRPC_HEAD, false, OK_BODY, "grpc-status: 17\n", GRPC_UNKNOWN, ""},
        {"a status that is no number", GRPC_HEAD, false, OK_BODY, "grpc-status: ok\n",
         GRPC_UNKNOWN, ""},
        {"no status", GRPC_HEAD, false, OK_BODY, "x-trailer: 1\n", GRPC_INTERNAL, "grpc-status"},
        {"no trailers", GRPC_HEAD, false, OK_BODY, NULL, GRPC_INTERNAL, "grpc-status"},
        {"nothing but a head", GRPC_HEAD, true, NULL, 0, NULL, GRPC_INTERNAL, "grpc-status"},
        {"OK and no message", GRPC_HEAD, false, "", 0, GRPC_TRAILERS, GRPC_INTERNAL, "one message"},
        {"OK, trailers only", GRPC_HEAD GRPC_TRAILERS, true, NULL, 0, NULL, GRPC_INTERNAL,
         "one message"},
        {"half a message", GRPC_HEAD, false, "\0\0\0\0\2h", 6, GRPC_TRAILERS, GRPC_INTERNAL,
         "one message"},
        {"half a prefix", GRPC_HEAD, false, "\0\0\0\0\2hi\0\0", 9, GRPC_TRAILERS, GRPC_INTERNAL,
         "one message"},
        {"two messages", GRPC_HEAD, false, "\0\0\0\0\1a\0\0\0\0\1b", 12, GRPC_TRAILERS,
         GRPC_INTERNAL, "more than one"},
        {"compressed", GRPC_HEAD "grpc-encoding: gzip\n", false, "\1\0\0\0\1a", 6, GRPC_TRAILERS,
         GRPC_INTERNAL, "compressed"},
        {"no frame", GRPC_HEAD, false, "\2\0\0\0\1a", 6, GRPC_TRAILERS, GRPC_INTERNAL, "framed"},
        {"too large", GRPC_HEAD, false, "\0\0\x40\0\1", 5, GRPC_TRAILERS, GRPC_RESOURCE_EXHAUSTED,
         "larger than"},
        {"absurdly large", GRPC_HEAD, false, "\0\xff\xff\xff\xff", 5, GRPC_TRAILERS,
         GRPC_RESOURCE_EXHAUSTED, "larger than"},
        {"a web page", ":status: 200\ncontent-type: text/html\n", false, "<html>", 6, NULL,
         GRPC_UNKNOWN, "HTTP status 200"},
        {"almost the type", ":status: 200\ncontent-type: application/grpcx\n", false, OK_BODY,
         GRPC_TRAILERS, GRPC_UNKNOWN, "content-type"},
        {"no type", ":status: 200\n", false, OK_BODY, GRPC_TRAILERS, GRPC_UNKNOWN, "content-type"},
        {"400", ":status: 400\n", true, NULL, 0, NULL, GRPC_INTERNAL, "400"},
        {"401", ":status: 401\n", true, NULL, 0, NULL, GRPC_UNAUTHENTICATED, "401"},
        {"403", ":status: 403\n", true, NULL, 0, NULL, GRPC_PERMISSION_DENIED, "403"},
        {"404", ":status: 404\n", true, NULL, 0, NULL, GRPC_UNIMPLEMENTED, "404"},
        {"429", ":status: 429\n", true, NULL, 0, NULL, GRPC_UNAVAILABLE, "429"},
        {"500", ":status: 500\n", true, NULL, 0, NULL, GRPC_UNKNOWN, "500"},
        {"502", ":status: 502\n", true, NULL, 0, NULL, GRPC_UNAVAILABLE, "502"},
        {"a proxy's 503", ":status: 503\ncontent-type: text/plain\n", false, "no upstream", 11,
         NULL, GRPC_UNAVAILABLE, "503"},
        {"504", ":status: 504\n", true, NULL, 0, NULL, GRPC_UNAVAILABLE, "504"},
        {"503 with a status of its own", ":status: 503\n" TYPE "\ngrpc-status: 7\n", true, NULL, 0,
         NULL, GRPC_PERMISSION_DENIED, ""},
        {"503 without one", ":status: 503\n" TYPE "\n", true, NULL, 0, NULL, GRPC_UNAVAILABLE,
         "503"},
        /* clang-format on */
    };
    int32_t stream_id = 1;

    (void)state;
    open_raw();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++, stream_id += 2) {
        struct called *called = requested(stream_id);

        raw_headers(raw, stream_id, rows[i].head, rows[i].head_ends);
        if (rows[i].body)
            raw_send(raw, NGHTTP2_DATA, rows[i].trailers ? 0 : NGHTTP2_FLAG_END_STREAM, stream_id,
                     rows[i].body, rows[i].body_len);
        if (rows[i].trailers)
            raw_headers(raw, stream_id, rows[i].trailers, true);
        world_await_done(&world, called);
        if (called->status != rows[i].status || called->not_processed ||
            !strstr(called->message, rows[i].message))
            fail_msg("%s: status %d, \"%s\"", rows[i].name, called->status, called->message);
    }
    expect_alive(stream_id);
    close_raw();
}

/* 1xx before the answer, as a proxy may send it (RFC 9110 15.2). */
static void test_interim_answers(void **state) {
    struct called *called;

    (void)state;
    open_raw();
    called = requested(1);
    raw_headers(raw, 1, ":status: 103\nlink: x\n", false);
    raw_headers(raw, 1, ":status: 100\n", false);
    raw_answer(raw, 1, SLICE("hi"));
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    close_raw();
}

static void test_resets(void **state) {
    static const struct {
        uint32_t code;
        enum grpc_status status;
        bool not_processed;
    } rows[] = {
        {NGHTTP2_NO_ERROR, GRPC_INTERNAL, false},
        {NGHTTP2_PROTOCOL_ERROR, GRPC_INTERNAL, false},
        {NGHTTP2_INTERNAL_ERROR, GRPC_INTERNAL, false},
        {NGHTTP2_FLOW_CONTROL_ERROR, GRPC_INTERNAL, false},
        {NGHTTP2_SETTINGS_TIMEOUT, GRPC_INTERNAL, false},
        {NGHTTP2_STREAM_CLOSED, GRPC_UNKNOWN, false},
        {NGHTTP2_FRAME_SIZE_ERROR, GRPC_INTERNAL, false},
        {NGHTTP2_REFUSED_STREAM, GRPC_UNAVAILABLE, true},
        {NGHTTP2_CANCEL, GRPC_CANCELLED, false},
        {NGHTTP2_COMPRESSION_ERROR, GRPC_INTERNAL, false},
        {NGHTTP2_CONNECT_ERROR, GRPC_INTERNAL, false},
        {NGHTTP2_ENHANCE_YOUR_CALM, GRPC_RESOURCE_EXHAUSTED, false},
        {NGHTTP2_INADEQUATE_SECURITY, GRPC_PERMISSION_DENIED, false},
        {NGHTTP2_HTTP_1_1_REQUIRED, GRPC_UNKNOWN, false},
        {0xbeef, GRPC_UNKNOWN, false},
    };
    int32_t stream_id = 1;
    struct called *called;

    (void)state;
    open_raw();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++, stream_id += 2) {
        called = requested(stream_id);
        raw_reset(raw, stream_id, rows[i].code);
        world_await_done(&world, called);
        world_expect(called, rows[i].status, rows[i].not_processed);
    }
    /* Who has begun to answer has processed, whatever it says. */
    called = requested(stream_id);
    raw_headers(raw, stream_id, GRPC_HEAD, false);
    raw_reset(raw, stream_id, NGHTTP2_REFUSED_STREAM);
    world_await_done(&world, called);
    world_expect(called, GRPC_UNAVAILABLE, false);
    expect_alive(stream_id + 2);
    close_raw();
}

/* The end of the stream has come: a reset behind it takes nothing back (RFC 9113 8.1). */
static void test_a_reset_behind_the_answer(void **state) {
    struct called *called;

    (void)state;
    open_raw();
    called = requested(1);
    raw_answer(raw, 1, SLICE("hi"));
    raw_reset(raw, 1, NGHTTP2_NO_ERROR);
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    expect_alive(3);
    close_raw();
}

/* Answered while the request is still held back by the window: the rest is of no use. */
static void test_answered_early(void **state) {
    char *large = calloc(1, 1 << 20);
    struct called *called;

    (void)state;
    open_raw();
    called = world_call(&world, PATH, slice_of(large, 1 << 20), 20000);
    AWAIT(&world, raw_count(raw, NGHTTP2_DATA, 1) >= 4);
    raw_headers(raw, 1, GRPC_HEAD "grpc-status: 8\n", true);
    world_await_done(&world, called);
    world_expect(called, GRPC_RESOURCE_EXHAUSTED, false);
    AWAIT(&world, raw_count(raw, NGHTTP2_RST_STREAM, 1) == 1);
    assert_false(raw_requested(raw, 1));
    free(large);
    close_raw();
}

/* All of an answer, byte by byte as far as the kernel lets it. */
static void test_dribbled_bytes(void **state) {
    struct raw *pipe_end;
    struct called *called;
    int pair[2];
    char bytes[4096];
    ssize_t len;

    (void)state;
    open_raw();
    called = requested(1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pipe_end = calloc(1, sizeof(*pipe_end));
    pipe_end->fd = pair[0];
    raw_answer(pipe_end, 1, SLICE("byte by byte"));
    len = recv(pair[1], bytes, sizeof(bytes), 0);
    for (ssize_t i = 0; i < len; i++) {
        assert_true(raw_write(raw->fd, bytes + i, 1));
        world_turn(&world);
    }
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    assert_int_equal(called->response_len, 12);
    raw_free(pipe_end);
    close(pair[1]);
    close_raw();
}

/* ---- too much ------------------------------------------------------------ */

static char *lines(const char *line, unsigned times) {
    size_t len = strlen(line);
    char *out = malloc(len * times + 1);

    for (unsigned i = 0; i < times; i++)
        memcpy(out + i * len, line, len);
    out[len * times] = '\0';
    return out;
}

static void test_too_many_fields(void **state) {
    char *fields = lines("cookie: a\n", 150);
    struct called *called;

    (void)state;
    open_raw();
    called = requested(1);
    raw_headers(raw, 1, GRPC_HEAD, false);
    raw_headers(raw, 1, fields, true);
    world_await_done(&world, called);
    world_expect(called, GRPC_RESOURCE_EXHAUSTED, false);
    expect_alive(3);
    free(fields);
    close_raw();
}

/* Head and trailers count together. */
static void test_fields_too_large(void **state) {
    char *large = malloc(9100);
    char *head = malloc(9200);
    struct called *called;

    (void)state;
    memset(large, 'a', 9100);
    memcpy(large, "x-large: ", 9);
    memcpy(large + 9000, "\n", 2);
    (void)sprintf(head, "%s%s", GRPC_HEAD, large);
    open_raw();
    called = requested(1);
    raw_headers(raw, 1, head, false);
    raw_headers(raw, 1, large, true);
    world_await_done(&world, called);
    world_expect(called, GRPC_RESOURCE_EXHAUSTED, false);
    expect_alive(3);
    free(large);
    free(head);
    close_raw();
}

/* Trailers that don't end the stream are against the rules (RFC 9113 8.1). */
static void test_trailers_without_an_end(void **state) {
    struct called *called;

    (void)state;
    open_raw();
    called = requested(1);
    raw_headers(raw, 1, GRPC_HEAD, false);
    raw_headers(raw, 1, GRPC_TRAILERS, false);
    world_await_done(&world, called);
    world_expect(called, GRPC_INTERNAL, false);
    close_raw();
}

/* CVE-2026-49975: a thousand crumbs of an indexed field cost a byte each to send. */
static void test_absurdly_many_fields(void **state) {
    char block[4000];
    struct called *called;

    (void)state;
    open_raw();
    called = requested(1);
    memset(block, 0x80 | 32, sizeof(block)); /* the static table's "cookie" */
    block[0] = (char)(0x80 | 8);             /* ":status: 200" */
    raw_send(raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block, sizeof(block));
    world_await_done(&world, called);
    world_expect(called, GRPC_RESOURCE_EXHAUSTED, false);
    AWAIT(&world, (raw_poll(raw), raw->end));
    close_raw();
}

/* The limit of one call lets 4 MiB through, that of the connection 64. */
static void test_too_much_held(void **state) {
    unsigned last = 40;

    (void)state;
    world_init(&world);
    world_listen(&world);
    world.conf.message_bytes_max = 10000;
    world_connect(&world);
    raw = raw_ready(&world);
    for (unsigned i = 0; i < last; i++)
        (void)requested((int32_t)(2 * i + 1));
    for (unsigned i = 0; i < last; i++) {
        char part[5 + 9000] = {0, 0, 0, 10000 >> 8, 10000 & 255};

        raw_headers(raw, (int32_t)(2 * i + 1), GRPC_HEAD, false);
        raw_send(raw, NGHTTP2_DATA, 0, (int32_t)(2 * i + 1), part, sizeof(part));
        world_turn(&world);
    }
    AWAIT(&world, grpc_channel_calls(world.channel) < last);
    for (unsigned i = 0; i < last; i++)
        if (world.calls[i].done)
            assert_int_equal(world.calls[i].status, GRPC_RESOURCE_EXHAUSTED);
    close_raw();
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_request),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_interim_answers),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_a_reset_behind_the_answer),
        cmocka_unit_test(test_answered_early),
        cmocka_unit_test(test_dribbled_bytes),
        cmocka_unit_test(test_too_many_fields),
        cmocka_unit_test(test_fields_too_large),
        cmocka_unit_test(test_trailers_without_an_end),
        cmocka_unit_test(test_absurdly_many_fields),
        cmocka_unit_test(test_too_much_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return fixture_run("grpc_channel_answers", group);
}
