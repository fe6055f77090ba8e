/* test_grpc_channel_stream.c - streams of the channel against our own server: messages both ways,
 * the ends.
 */
#include "channel_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EACH "/echo.Echo/Each"

static struct server server;
static struct world world;

struct streamed {
    struct grpc_out_stream stream;
    unsigned messages;
    unsigned send_more; /* from within message() */
    unsigned cancel_at; /* messages after which it is cancelled from within; 0: never */
    bool in_order;      /* each message is the number of those before it */
    size_t bytes;
    unsigned done;
    enum grpc_status status;
};

static void send_number(struct streamed *streamed, unsigned number) {
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", number);
    grpc_out_stream_send(&streamed->stream, slice_str(text));
}

static void on_message(struct grpc_out_stream *stream, struct slice message) {
    struct streamed *streamed = CONTAINER_OF(stream, struct streamed, stream);
    char text[16];

    assert_int_equal(streamed->done, 0);
    (void)snprintf(text, sizeof(text), "%u", streamed->messages);
    streamed->in_order = streamed->in_order && slice_eq(message, slice_str(text));
    streamed->messages++;
    streamed->bytes += message.len;
    if (streamed->messages == streamed->cancel_at)
        grpc_out_stream_cancel(stream);
    else if (streamed->send_more > 0 && streamed->send_more--)
        send_number(streamed, streamed->messages);
}

static void on_end(struct grpc_out_call *call, const struct grpc_result *result) {
    struct grpc_out_stream *stream = CONTAINER_OF(call, struct grpc_out_stream, call);
    struct streamed *streamed = CONTAINER_OF(stream, struct streamed, stream);

    streamed->done++;
    streamed->status = result->status;
}

static void begin(struct streamed *streamed) {
    *streamed = (struct streamed){
        .stream = {.call.done = on_end, .message = on_message},
        .in_order = true,
    };
    assert_int_equal(grpc_channel_stream(world.channel, &streamed->stream, SLICE(EACH)), ERR_OK);
}

static void open_both(void) {
    server_start(&server, &FIXTURE_CONF);
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

static void cancel(struct streamed *streamed) {
    grpc_out_stream_cancel(&streamed->stream);
    assert_int_equal(streamed->done, 0);
    AWAIT(&world, streamed->done);
    assert_int_equal(streamed->status, GRPC_CANCELLED);
}

static void test_messages_both_ways(void **state) {
    struct streamed streamed;

    (void)state;
    open_both();
    begin(&streamed);
    for (unsigned i = 0; i < 3; i++)
        send_number(&streamed, i);
    AWAIT(&world, streamed.messages == 3);
    send_number(&streamed, 3); /* after a silence */
    AWAIT(&world, streamed.messages == 4);
    assert_true(streamed.in_order);
    assert_int_equal(streamed.done, 0);
    assert_int_equal(grpc_channel_calls(world.channel), 1);
    cancel(&streamed);
    assert_int_equal(grpc_channel_calls(world.channel), 0);
    AWAIT(&world, true);
    close_both();
}

/* Far more than the allowance for small frames, each sent when its predecessor is back. */
static void test_a_long_talk(void **state) {
    struct streamed streamed;
    struct called *called;

    (void)state;
    open_both();
    begin(&streamed);
    streamed.send_more = 3999;
    send_number(&streamed, 0);
    called = world_call(&world, "/echo.Echo/Unary", SLICE("beside it"), 20000);
    world_await_done(&world, called);
    world_expect(called, GRPC_OK, false);
    AWAIT(&world, streamed.messages == 4000);
    assert_true(streamed.in_order);
    cancel(&streamed);
    close_both();
}

static void test_large_messages(void **state) {
    struct streamed streamed;
    size_t size = 200000;
    char *bytes = calloc(1, size);

    (void)state;
    open_both();
    begin(&streamed);
    for (unsigned i = 0; i < 4; i++)
        grpc_out_stream_send(&streamed.stream, slice_of(bytes, size));
    AWAIT(&world, streamed.messages == 4);
    assert_int_equal(streamed.bytes, 4 * size);
    cancel(&streamed);
    close_both();
    free(bytes);
}

static void test_cancelled_from_within(void **state) {
    struct streamed streamed;

    (void)state;
    open_both();
    begin(&streamed);
    streamed.cancel_at = 2;
    for (unsigned i = 0; i < 5; i++)
        send_number(&streamed, i);
    AWAIT(&world, streamed.done);
    assert_int_equal(streamed.messages, 2);
    assert_int_equal(streamed.status, GRPC_CANCELLED);
    close_both();
}

/* A drain ends streams, which would last for ever. */
static void test_ended_by_the_server(void **state) {
    struct streamed streamed;

    (void)state;
    open_both();
    begin(&streamed);
    send_number(&streamed, 0);
    AWAIT(&world, streamed.messages == 1);
    server_stop(&server);
    AWAIT(&world, streamed.done);
    assert_int_equal(streamed.status, GRPC_UNAVAILABLE);
    world_release(&world);
}

static void test_ended_by_us(void **state) {
    struct streamed streamed;

    (void)state;
    open_both();
    begin(&streamed);
    send_number(&streamed, 0);
    grpc_out_stream_end(&streamed.stream);
    AWAIT(&world, streamed.done);
    assert_int_equal(streamed.messages, 1);
    assert_int_equal(streamed.status, GRPC_OK);
    begin(&streamed);
    send_number(&streamed, 0);
    AWAIT(&world, streamed.messages == 1);
    grpc_out_stream_end(&streamed.stream); /* after a silence */
    AWAIT(&world, streamed.done);
    assert_int_equal(streamed.status, GRPC_OK);
    close_both();
}

static void test_closed_with_the_channel(void **state) {
    struct streamed streamed;

    (void)state;
    open_both();
    begin(&streamed);
    send_number(&streamed, 0);
    world_release(&world);
    assert_int_equal(streamed.done, 1);
    assert_int_equal(streamed.status, GRPC_CANCELLED);
    server_stop(&server);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_both_ways),
        cmocka_unit_test(test_a_long_talk),
        cmocka_unit_test(test_large_messages),
        cmocka_unit_test(test_cancelled_from_within),
        cmocka_unit_test(test_ended_by_the_server),
        cmocka_unit_test(test_ended_by_us),
        cmocka_unit_test(test_closed_with_the_channel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return fixture_run("grpc_channel_stream", group);
}
