/* test_grpc_channel_ends.c - connections that end or go away, the limits of the server, and calls
 * between. */
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

/* ---- ends ---------------------------------------------------------------- */

static void test_closed_in_the_middle(void **state) {
    static const char *const heads[] = {NULL, GRPC_HEAD};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        for (int with_reset = 0; with_reset < 2; with_reset++) {
            struct linger linger = {.l_onoff = with_reset, .l_linger = 0};
            struct called *called;

            open_raw();
            called = world_requested(&world, raw, 1);
            if (heads[i]) {
                raw_headers(raw, 1, heads[i], false);
                raw_send(raw, NGHTTP2_DATA, 0, 1, "\0\0\0\0\5he", 7);
            }
            setsockopt(raw->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
            raw_free(raw);
            world_await_done(&world, called);
            world_expect(called, GRPC_UNAVAILABLE, false);
            AWAIT(&world, !is(GRPC_CHANNEL_READY));
            raw = raw_ready(&world); /* and it comes back */
            close_raw();
        }
}

/* The rules of HTTP/2 broken in the middle: DATA for a stream that never was. */
static void test_a_broken_rule(void **state) {
    struct called *called;

    (void)state;
    open_raw();
    called = world_requested(&world, raw, 1);
    raw_send(raw, NGHTTP2_DATA, 0, 99, "x", 1);
    world_await_done(&world, called);
    world_expect(called, GRPC_UNAVAILABLE, false);
    assert_non_null(strstr(called->message, "HTTP/2"));
    AWAIT(&world, raw_count(raw, NGHTTP2_GOAWAY, 0) == 1);
    close_raw();
}

/* RFC 9113 6.8: told in advance, then for good; what runs is finished there, the next call goes to
 * a new connection. */
static void test_goaway_in_two_steps(void **state) {
    struct called *first;
    struct called *second;
    struct called *third;
    struct raw *old;

    (void)state;
    open_raw();
    first = world_requested(&world, raw, 1);
    second = world_requested(&world, raw, 3);
    raw_goaway(raw, INT32_MAX, NGHTTP2_NO_ERROR, "");
    AWAIT(&world, !is(GRPC_CHANNEL_READY));
    assert_int_equal(first->done + second->done, 0);
    old = raw;
    raw = raw_ready(&world);
    third = world_requested(&world, raw, 1);
    raw_goaway(old, 1, NGHTTP2_NO_ERROR, "");
    world_await_done(&world, second);
    world_expect(second, GRPC_UNAVAILABLE, true);
    assert_false(raw_ended(old));
    raw_answer(old, 1, SLICE("late"));
    world_await_done(&world, first);
    world_expect(first, GRPC_OK, false);
    AWAIT(&world, raw_ended(old));
    raw_answer(raw, 1, SLICE("new"));
    world_await_done(&world, third);
    world_expect(third, GRPC_OK, false);
    assert_true(is(GRPC_CHANNEL_READY));
    raw_free(old);
    close_raw();
}

static void test_goaway_at_once(void **state) {
    struct called *called;

    (void)state;
    open_raw();
    called = world_requested(&world, raw, 1);
    raw_goaway(raw, 0, NGHTTP2_INTERNAL_ERROR, "oops");
    world_await_done(&world, called);
    world_expect(called, GRPC_UNAVAILABLE, true);
    AWAIT(&world, raw_ended(raw));
    raw_free(raw);
    raw = raw_ready(&world);
    close_raw();
}

/* Calls of the same tick as the GOAWAY: they are queued and were never sent. */
static void test_goaway_before_the_request_is_sent(void **state) {
    struct called *called;

    (void)state;
    open_raw();
    raw_settings(raw, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    world_turn(&world);
    called = world_call(&world, PATH, SLICE("ask"), 20000);
    AWAIT(&world, raw_count(raw, NGHTTP2_HEADERS, 1) == 1);
    raw_goaway(raw, 0, NGHTTP2_NO_ERROR, "");
    world_await_done(&world, called);
    world_expect(called, GRPC_UNAVAILABLE, true);
    close_raw();
}

/* A connection that stood is replaced at once, one that didn't after a pause. */
static void test_a_pause_only_for_the_unsteady(void **state) {
    (void)state;
    open_raw();
    world.channel->conf.backoff_min_ms = world.channel->backoff_ms = 15000;
    world.channel->conf.backoff_max_ms = 15000;
    world.channel->ready_ms -= 1000;
    raw_goaway(raw, 0, NGHTTP2_NO_ERROR, "");
    AWAIT(&world, raw_ended(raw));
    raw_free(raw);
    raw = raw_ready(&world);
    raw_goaway(raw, 0, NGHTTP2_NO_ERROR, "");
    AWAIT(&world, is(GRPC_CHANNEL_WAITING));
    assert_true(world.channel->timer.at_ms - loop_now_ms(world.loop) > 10000);
    close_raw();
}

static void test_stream_numbers_used_up(void **state) {
    struct called *last;
    struct called *called;
    struct raw *old;

    (void)state;
    open_raw();
    assert_int_equal(nghttp2_session_set_next_stream_id(world.channel->current->session, INT32_MAX),
                     0);
    last = world_requested(&world, raw, INT32_MAX);
    assert_int_equal(world_try_call(&world, PATH, SLICE("x"), 20000, &called), ERR_UNREACHABLE);
    assert_int_equal(grpc_channel_calls(world.channel), 1);
    old = raw;
    raw = raw_ready(&world);
    called = world_requested(&world, raw, 1);
    raw_answer(old, INT32_MAX, SLICE("x"));
    raw_answer(raw, 1, SLICE("x"));
    world_await_done(&world, last);
    world_await_done(&world, called);
    world_expect(last, GRPC_OK, false);
    world_expect(called, GRPC_OK, false);
    raw_free(old);
    close_raw();
}

/* ---- limits of the server ------------------------------------------------ */

static void test_one_stream_at_a_time(void **state) {
    struct called *first;
    struct called *second;

    (void)state;
    open_raw();
    raw_settings(raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1);
    AWAIT(&world, raw_count(raw, NGHTTP2_SETTINGS, 0) >= 3); /* ours, and two acknowledged */
    first = world_requested(&world, raw, 1);
    assert_int_equal(world_try_call(&world, PATH, SLICE("x"), 20000, &second), ERR_BUSY);
    raw_answer(raw, 1, SLICE("x"));
    world_await_done(&world, first);
    second = world_requested(&world, raw, 3);
    raw_settings(raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
    raw_answer(raw, 3, SLICE("x"));
    world_await_done(&world, second);
    assert_int_equal(world_try_call(&world, PATH, SLICE("x"), 20000, &second), ERR_BUSY);
    raw_settings(raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100);
    AWAIT(&world, raw_count(raw, NGHTTP2_SETTINGS, 0) >= 5);
    first = world_requested(&world, raw, 5);
    raw_answer(raw, 5, SLICE("x"));
    world_await_done(&world, first);
    close_raw();
}

/* The limit falls in the tick in which calls were taken: what isn't sent ends by its deadline, or
 * comes back with a GOAWAY. */
static void test_the_limit_falls_under_the_queue(void **state) {
    struct called *late;
    struct called *queued;
    nghttp2_session *session;

    (void)state;
    open_raw();
    session = world.channel->current->session;
    late = world_call(&world, PATH, SLICE("x"), 20);
    queued = world_call(&world, PATH, SLICE("x"), 20000);
    assert_int_equal(
        nghttp2_session_mem_recv(session, (const uint8_t *)"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\0", 15),
        15);
    world_await_done(&world, late);
    world_expect(late, GRPC_DEADLINE_EXCEEDED, true);
    assert_int_equal(raw_count(raw, NGHTTP2_HEADERS, -1), 0);
    raw_goaway(raw, INT32_MAX, NGHTTP2_NO_ERROR, "");
    world_await_done(&world, queued);
    world_expect(queued, GRPC_UNAVAILABLE, true);
    AWAIT(&world, raw_ended(raw));
    close_raw();
}

static void test_a_window_of_nothing(void **state) {
    static const unsigned char one[4] = {0, 0, 0, 1};
    struct called *called;

    (void)state;
    open_raw();
    raw_settings(raw, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    AWAIT(&world, raw_count(raw, NGHTTP2_SETTINGS, 0) >= 3);
    called = world_call(&world, PATH, SLICE("ask"), 20000);
    AWAIT(&world, raw_count(raw, NGHTTP2_HEADERS, 1) == 1);
    assert_int_equal(raw_count(raw, NGHTTP2_DATA, 1), 0);
    for (unsigned i = 1; i <= 8; i++) { /* a byte at a time */
        raw_send(raw, NGHTTP2_WINDOW_UPDATE, 0, 1, one, sizeof(one));
        AWAIT(&world, raw_count(raw, NGHTTP2_DATA, 1) >= i);
    }
    AWAIT(&world, raw_requested(raw, 1));
    raw_answer(raw, 1, SLICE("x"));
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    /* A stalled one is found by its deadline. */
    called = world_call(&world, PATH, SLICE("ask"), 20);
    world_await_done(&world, called);
    world_expect(called, GRPC_DEADLINE_EXCEEDED, false);
    close_raw();
}

/* A window that overflows is the server's error (RFC 9113 6.9.1). */
static void test_a_window_too_large(void **state) {
    static const unsigned char most[4] = {0x7f, 0xff, 0xff, 0xff};
    struct called *called;

    (void)state;
    open_raw();
    called = world_requested(&world, raw, 1);
    raw_send(raw, NGHTTP2_WINDOW_UPDATE, 0, 0, most, sizeof(most));
    world_await_done(&world, called);
    world_expect(called, GRPC_UNAVAILABLE, false);
    close_raw();
}

/* A greatest message comes without a single WINDOW_UPDATE of ours in between being needed. */
static void test_a_greatest_message_at_once(void **state) {
    char *large = calloc(1, MESSAGE_MAX);
    struct called *called;
    size_t sent = 0;
    struct buf body = {0};

    (void)state;
    open_raw();
    called = world_requested(&world, raw, 1);
    raw_headers(raw, 1, GRPC_HEAD, false);
    frame_message(&body, false, slice_of(large, MESSAGE_MAX));
    while (sent < body.len) {
        size_t n = body.len - sent < 16384 ? body.len - sent : 16384;

        raw_send(raw, NGHTTP2_DATA, 0, 1, body.ptr + sent, n);
        sent += n;
        world_turn(&world);
    }
    raw_headers(raw, 1, GRPC_TRAILERS, true);
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    assert_int_equal(called->response_len, MESSAGE_MAX);
    buf_release(&body);
    free(large);
    close_raw();
}

/* ---- the loop ------------------------------------------------------------ */

struct late_hook {
    struct loop_hook hook;
    struct called *called;
};

static void call_from_hook(struct loop_hook *hook) {
    struct late_hook *late = CONTAINER_OF(hook, struct late_hook, hook);

    if (!late->called)
        late->called = world_call(&world, PATH, SLICE("x"), 20000);
}

/* A hook behind the channel's starts a call: it leaves although nothing else happens. */
static void test_a_call_behind_the_flush(void **state) {
    struct late_hook late = {.hook = {.run = call_from_hook}};

    (void)state;
    open_raw();
    loop_hook_add(world.loop, &late.hook);
    world_turn(&world);
    assert_non_null(late.called);
    assert_true(timer_armed(&world.channel->later));
    AWAIT(&world, raw_requested(raw, 1));
    loop_hook_remove(&late.hook);
    close_raw();
}

static void on_closed(void *ctx) {
    struct world *w = ctx;

    w->closed = true;
}

static void close_inside(struct called *called) {
    struct world *w = called->world;

    w->on_done = NULL;
    grpc_channel_close(w->channel, on_closed, w);
    w->channel = NULL;
}

/* done() closes the channel: the other calls end too, once. */
static void test_closed_inside_an_answer(void **state) {
    struct called *first;
    struct called *second;

    (void)state;
    open_raw();
    first = world_requested(&world, raw, 1);
    second = world_requested(&world, raw, 3);
    world.on_done = close_inside;
    raw_answer(raw, 1, SLICE("x"));
    AWAIT(&world, world.closed);
    world_expect(first, GRPC_OK, false);
    world_expect(second, GRPC_CANCELLED, false);
    close_raw();
}

/* One after another: the same exchange again and again. */
static void test_exchanges_are_used_again(void **state) {
    (void)state;
    open_raw();
    for (int32_t i = 0; i < 20; i++) {
        struct called *called = world_requested(&world, raw, 2 * i + 1);

        raw_answer(raw, 2 * i + 1, SLICE("x"));
        world_await_done(&world, called);
        assert_int_equal(world.channel->spares, 1);
    }
    close_raw();
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_in_the_middle),
        cmocka_unit_test(test_a_broken_rule),
        cmocka_unit_test(test_goaway_in_two_steps),
        cmocka_unit_test(test_goaway_at_once),
        cmocka_unit_test(test_goaway_before_the_request_is_sent),
        cmocka_unit_test(test_a_pause_only_for_the_unsteady),
        cmocka_unit_test(test_stream_numbers_used_up),
        cmocka_unit_test(test_one_stream_at_a_time),
        cmocka_unit_test(test_the_limit_falls_under_the_queue),
        cmocka_unit_test(test_a_window_of_nothing),
        cmocka_unit_test(test_a_window_too_large),
        cmocka_unit_test(test_a_greatest_message_at_once),
        cmocka_unit_test(test_a_call_behind_the_flush),
        cmocka_unit_test(test_closed_inside_an_answer),
        cmocka_unit_test(test_exchanges_are_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return fixture_run("grpc_channel_ends", group);
}
