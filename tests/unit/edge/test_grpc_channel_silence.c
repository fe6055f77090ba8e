/* test_grpc_channel_silence.c - servers that say nothing, and servers that say too much. */
#include "channel_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/grpc_channel_internal.h" /* to look at the inside */

#define PATH "/test.Test/Call"

static struct world world;
static struct raw *raw;

static void open_raw(void) {
    raw = world_open_raw(&world);
}

static void close_raw(void) {
    world_close_raw(&world, raw);
}

static bool is(enum grpc_channel_state state) {
    return grpc_channel_state(world.channel) == state;
}

/* ---- silence ------------------------------------------------------------- */

static void test_keepalive(void **state) {
    struct called *called;
    const struct frame *ping;

    (void)state;
    world_init(&world);
    world_listen(&world);
    world.conf.keepalive_ms = 20;
    world.conf.keepalive_timeout_ms = 2000;
    world_connect(&world);
    raw = raw_ready(&world);
    for (int i = 0; i < 60; i++) /* no calls: no pings (gRFC A8) */
        world_turn(&world);
    assert_int_equal(raw_count(raw, NGHTTP2_PING, 0), 0);
    called = world_requested(&world, raw, 1);
    AWAIT(&world, (ping = raw_find(raw, NGHTTP2_PING, 0)) != NULL);
    raw_send(raw, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping->payload, 8);
    AWAIT(&world, raw_count(raw, NGHTTP2_PING, 0) >= 2);
    assert_int_equal(called->done, 0);
    raw_answer(raw, 1, SLICE("x"));
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    close_raw();
}

static void test_no_answer_to_a_ping(void **state) {
    struct called *called;

    (void)state;
    world_init(&world);
    world_listen(&world);
    world.conf.keepalive_ms = 20;
    world.conf.keepalive_timeout_ms = 20;
    world_connect(&world);
    raw = raw_ready(&world);
    called = world_requested(&world, raw, 1);
    world_await_done(&world, called);
    world_expect(called, GRPC_UNAVAILABLE, false);
    assert_non_null(strstr(called->message, "PING"));
    AWAIT(&world, raw_ended(raw));
    close_raw();
}

/* Calls with deadlines shorter than the keepalive, one after another: silence adds up. */
static void test_a_stopped_server(void **state) {
    unsigned ended = 0;

    (void)state;
    world_init(&world);
    world_listen(&world);
    world.conf.keepalive_ms = 50;
    world.conf.keepalive_timeout_ms = 50;
    world_connect(&world);
    raw = raw_ready(&world);
    while (is(GRPC_CHANNEL_READY)) {
        struct called *called;

        assert_true(world.call_count < CALLS_MAX);
        called = world_call(&world, PATH, SLICE("x"), 8);
        world_await_done(&world, called);
        ended += called->status == GRPC_DEADLINE_EXCEEDED;
    }
    assert_true(ended > 1);
    assert_non_null(strstr(grpc_channel_problem(world.channel), "PING"));
    close_raw();
}

static void test_too_many_pings(void **state) {
    (void)state;
    open_raw();
    raw_goaway(raw, 0, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
    AWAIT(&world, raw_ended(raw));
    assert_int_equal(world.channel->keepalive_ms, 2 * world.conf.keepalive_ms);
    raw_free(raw);
    raw = raw_ready(&world);
    raw_goaway(raw, 0, NGHTTP2_ENHANCE_YOUR_CALM, "something else");
    AWAIT(&world, raw_ended(raw));
    assert_int_equal(world.channel->keepalive_ms, 2 * world.conf.keepalive_ms);
    close_raw();
}

/* ---- floods -------------------------------------------------------------- */

static void send_settings(void) {
    raw_settings(raw, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096);
}

static void send_ping(void) {
    raw_send(raw, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void send_priority(void) {
    raw_send(raw, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
}

static void send_window(void) {
    raw_send(raw, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

static void send_empty_data(void) {
    raw_send(raw, NGHTTP2_DATA, 0, 1, "", 0);
}

static void send_crumb(void) {
    raw_send(raw, NGHTTP2_DATA, 0, 1, "x", 1);
}

static void send_interim(void) {
    raw_headers(raw, 3, ":status: 103\n", false);
}

static void send_continuation(void) {
    raw_send(raw, NGHTTP2_CONTINUATION, 0, 5, "", 0);
}

/* The connection ends, or where that is enough the call. */
static void test_floods(void **state) {
    static const struct {
        const char *name;
        void (*send)(void);
        unsigned victim;
        enum grpc_status status;
    } rows[] = {
        {"SETTINGS", send_settings, 0, GRPC_UNAVAILABLE},
        {"PING", send_ping, 0, GRPC_UNAVAILABLE},
        {"PRIORITY", send_priority, 0, GRPC_UNAVAILABLE},
        {"WINDOW_UPDATE", send_window, 0, GRPC_UNAVAILABLE},
        {"empty DATA", send_empty_data, 0, GRPC_UNAVAILABLE},
        {"crumbs of DATA", send_crumb, 0, GRPC_UNAVAILABLE},
        {"1xx", send_interim, 1, GRPC_RESOURCE_EXHAUSTED},
        {"CONTINUATION", send_continuation, 0, GRPC_UNAVAILABLE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct called *called;

        open_raw();
        (void)world_requested(&world, raw, 1);
        (void)world_requested(&world, raw, 3);
        (void)world_requested(&world, raw, 5);
        called = &world.calls[rows[i].victim];
        raw_headers(raw, 1, ":status: 200\ncontent-type: text/html\n", false);
        if (rows[i].send == send_continuation)
            raw_send(raw, NGHTTP2_HEADERS, 0, 5, "\x88", 1);
        for (int k = 0; k < 20000 && !called->done; k++) {
            rows[i].send();
            if (k % 100 == 0)
                world_turn(&world);
        }
        if (!called->done)
            fail_msg("%s: 20,000 of them are fine", rows[i].name);
        world_expect(called, rows[i].status, false);
        close_raw();
    }
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keepalive),        cmocka_unit_test(test_no_answer_to_a_ping),
        cmocka_unit_test(test_a_stopped_server), cmocka_unit_test(test_too_many_pings),
        cmocka_unit_test(test_floods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return fixture_run("grpc_channel_silence", group);
}
