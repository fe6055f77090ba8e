/* test_grpc_channel.c - the channel against our own server: calls, deadlines, drains, connecting.
 */
#include "channel_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNARY "/echo.Echo/Unary"

static struct server server;
static struct world world;

static void open_both(const struct grpc_server_conf *conf) {
    server_start(&server, conf);
    world_init(&world);
    (void)snprintf(world.address, sizeof(world.address), "127.0.0.1:%d", server.port);
    world.conf.address = slice_str(world.address);
    world_connect(&world);
    AWAIT(&world, grpc_channel_state(world.channel) == GRPC_CHANNEL_READY);
}

static void close_both(void) {
    world_release(&world);
    server_stop(&server);
    assert_int_equal(server.floods, 0);
}

static void test_unary(void **state) {
    struct called *called;

    (void)state;
    open_both(&FIXTURE_CONF);
    assert_int_equal(grpc_channel_calls(world.channel), 0);
    called = world_call(&world, UNARY, SLICE("hello"), 20000);
    assert_int_equal(grpc_channel_calls(world.channel), 1);
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    assert_int_equal(called->response_len, 5);
    assert_memory_equal(called->response, "hello", 5);
    assert_int_equal(grpc_channel_calls(world.channel), 0);
    assert_int_equal(world.state_count, 1);
    assert_int_equal(world.states[0], GRPC_CHANNEL_READY);
    assert_null(grpc_channel_problem(world.channel));
    close_both();
    assert_int_equal(server.echo.by_status[GRPC_OK], 1);
}

/* Our span is the next one's parent; what it doesn't know is passed on as it is. */
static void test_trace(void **state) {
    struct trace_context trace = {.trace_id = {1, 2, 3, [15] = 16},
                                  .parent_id = {9, 9},
                                  .span_id = {8, 7, 6, [7] = 1},
                                  .flags = 1,
                                  .state = SLICE("a=1,b=2")};

    (void)state;
    open_both(&FIXTURE_CONF);
    world.trace = &trace;
    world_await_done(&world, world_call(&world, UNARY, SLICE("x"), 20000));
    trace.state = SLICE("");
    world_await_done(&world, world_call(&world, "/echo.Echo/Fail", SLICE("x"), 20000));
    world_await_done(&world, world_call(&world, "/echo.Echo/None", SLICE("x"), 20000));
    world.trace = NULL;
    world_await_done(&world, world_call(&world, UNARY, SLICE("x"), 20000));
    close_both();
    assert_int_equal(server.echo.finished, 4);
    assert_int_equal(server.echo.traced, 3);
    assert_memory_equal(server.echo.trace.trace_id, trace.trace_id, TRACE_ID_BYTES);
    assert_memory_equal(server.echo.trace.parent_id, trace.span_id, SPAN_ID_BYTES);
    assert_memory_not_equal(server.echo.trace.span_id, trace.span_id, SPAN_ID_BYTES);
    assert_int_equal(server.echo.trace.flags, 1);
    assert_string_equal(server.echo.trace_state, "");
}

static void test_trace_state(void **state) {
    struct trace_context trace = {
        .trace_id = {1}, .span_id = {8}, .flags = 1, .state = SLICE("a=1, b=2")};

    (void)state;
    open_both(&FIXTURE_CONF);
    world.trace = &trace;
    world_await_done(&world, world_call(&world, UNARY, SLICE("x"), 20000));
    close_both();
    assert_string_equal(server.echo.trace_state, "a=1, b=2");
}

static void test_sizes(void **state) {
    static const size_t sizes[] = {0, 1, 16379, 16384, 65536, 1 << 20, MESSAGE_MAX};
    char *bytes = malloc(MESSAGE_MAX);

    (void)state;
    for (size_t i = 0; i < MESSAGE_MAX; i++)
        bytes[i] = (char)(i % 251);
    open_both(&FIXTURE_CONF);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct called *called = world_call(&world, UNARY, slice_of(bytes, sizes[i]), 20000);

        world_await_done(&world, called);
        world_expect(called, GRPC_OK, false);
        assert_int_equal(called->response_len, sizes[i]);
        assert_memory_equal(called->response, bytes, sizes[i]);
    }
    close_both();
    free(bytes);
}

static void test_an_error(void **state) {
    struct called *called;

    (void)state;
    open_both(&FIXTURE_CONF);
    called = world_call(&world, "/echo.Echo/Fail", SLICE("x"), 20000);
    world_await_done(&world, called);
    world_expect(called, GRPC_INVALID_ARGUMENT, false);
    assert_string_equal(called->message, "half 50% \xc3\xa9\n");
    called = world_call(&world, "/echo.Echo/Nope", SLICE("x"), 20000);
    world_await_done(&world, called);
    world_expect(called, GRPC_UNIMPLEMENTED, false);
    close_both();
}

static void test_a_deadline(void **state) {
    struct called *called;

    (void)state;
    open_both(&FIXTURE_CONF);
    called = world_call(&world, "/echo.Echo/Slow", SLICE("x"), 30);
    world_await_done(&world, called);
    world_expect(called, GRPC_DEADLINE_EXCEEDED, false);
    called = world_call(&world, UNARY, SLICE("after"), 20000);
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    close_both();
    assert_int_equal(server.echo.gone, 1);
}

static void test_a_deadline_that_has_passed(void **state) {
    struct called *called;

    (void)state;
    open_both(&FIXTURE_CONF);
    called = world_call(&world, UNARY, SLICE("x"), 0);
    world_await_done(&world, called);
    world_expect(called, GRPC_DEADLINE_EXCEEDED, true);
    close_both();
    assert_int_equal(server.echo.handled, 0);
}

static void test_many_at_once(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF);
    for (unsigned i = 0; i < CALLS_MAX; i++) {
        char text[16];
        int len = snprintf(text, sizeof(text), "%u", i);

        world_call(&world, UNARY, slice_of(text, (size_t)len), 20000);
    }
    AWAIT(&world, grpc_channel_calls(world.channel) == 0);
    for (unsigned i = 0; i < CALLS_MAX; i++) {
        world_expect(&world.calls[i], GRPC_OK, false);
        assert_int_equal(atoi(world.calls[i].response), i);
    }
    close_both();
}

static void call_again(struct called *called) {
    struct world *w = called->world;

    if (w->call_count < CALLS_MAX)
        world_call(w, UNARY, SLICE("again"), 20000);
}

/* A call that is started by the end of another. */
static void test_one_after_another(void **state) {
    (void)state;
    open_both(&FIXTURE_CONF);
    world.on_done = call_again;
    world_call(&world, UNARY, SLICE("first"), 20000);
    AWAIT(&world, world.call_count == CALLS_MAX && grpc_channel_calls(world.channel) == 0);
    close_both();
    assert_int_equal(server.echo.by_status[GRPC_OK], CALLS_MAX);
}

/* RELIABILITY row 23, from the other side: what runs is finished, the rest comes back. */
static void test_a_drain(void **state) {
    struct called *slow;
    struct called *refused;

    (void)state;
    open_both(&FIXTURE_CONF);
    slow = world_call(&world, "/echo.Echo/Slow", SLICE("x"), 200);
    world_await_done(&world, world_call(&world, UNARY, SLICE("x"), 20000));
    server_drain(&server);
    AWAIT(&world, grpc_channel_state(world.channel) != GRPC_CHANNEL_READY);
    assert_int_equal(slow->done, 0);
    assert_int_equal(world_try_call(&world, UNARY, SLICE("x"), 20000, &refused), ERR_UNREACHABLE);
    world_await_done(&world, slow);
    world_expect(slow, GRPC_DEADLINE_EXCEEDED, false);
    close_both();
}

static void test_closed_with_calls(void **state) {
    struct called *slow;

    (void)state;
    open_both(&FIXTURE_CONF);
    slow = world_call(&world, "/echo.Echo/Slow", SLICE("x"), 20000);
    world_await_done(&world, world_call(&world, UNARY, SLICE("x"), 20000));
    world_release(&world);
    world_expect(slow, GRPC_CANCELLED, false);
    server_stop(&server);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_trace_state),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_an_error),
        cmocka_unit_test(test_a_deadline),
        cmocka_unit_test(test_a_deadline_that_has_passed),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_one_after_another),
        cmocka_unit_test(test_a_drain),
        cmocka_unit_test(test_closed_with_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return fixture_run("grpc_channel", group);
}
