/* test_grpc_channel_connect.c - beginning a connection: addresses, time-outs, pauses. */
#include "channel_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/grpc_channel_internal.h" /* to look at the inside */

static struct world world;
static struct raw *raw;

static void close_raw(void) {
    world_close_raw(&world, raw);
}

static bool is(enum grpc_channel_state state) {
    return grpc_channel_state(world.channel) == state;
}

/* ---- connecting ---------------------------------------------------------- */

static void test_refused(void **state) {
    int64_t wanted_ms = 10;

    (void)state;
    world_init(&world);
    world_listen(&world);
    close(world.listening);
    world.listening = -1;
    world.conf.backoff_min_ms = 10;
    world.conf.backoff_max_ms = 40;
    world_connect(&world);
    for (int i = 0; i < 8; i++) { /* x1.6, +-20 %, up to the longest */
        int64_t pause_ms;

        AWAIT(&world, is(GRPC_CHANNEL_WAITING));
        pause_ms = world.channel->timer.at_ms - loop_now_ms(world.loop);
        assert_in_range(pause_ms, wanted_ms * 8 / 10 - 2, wanted_ms * 12 / 10);
        wanted_ms = wanted_ms * 16 / 10 + 1 < 40 ? wanted_ms * 16 / 10 + 1 : 40;
        AWAIT(&world, !is(GRPC_CHANNEL_WAITING));
    }
    assert_non_null(strstr(grpc_channel_problem(world.channel), "Connection refused"));
    assert_ptr_equal(strstr(grpc_channel_problem(world.channel), world.address),
                     grpc_channel_problem(world.channel));
    world_release(&world);
}

static void test_a_name_that_cant_be(void **state) {
    (void)state;
    world_init(&world);
    world.conf.address = SLICE("no host");
    world_connect(&world);
    AWAIT(&world, is(GRPC_CHANNEL_WAITING));
    assert_non_null(strstr(grpc_channel_problem(world.channel), "HOST:PORT"));
    world_release(&world);
}

/* localhost is two addresses, and the server is only on the second. */
static void test_the_next_address(void **state) {
    char name[64];

    (void)state;
    world_init(&world);
    if (socket_listen(SLICE("[::1]:0"), 0, &world.listening) != ERR_OK) {
        world_release(&world);
        skip(); /* a machine without IPv6 */
    }
    socket_name(world.listening, name, sizeof(name));
    (void)snprintf(world.address, sizeof(world.address), "localhost%s", strrchr(name, ':'));
    world.conf.address = slice_str(world.address);
    world_connect(&world);
    raw = raw_ready(&world);
    assert_int_equal(world.state_count, 1);
    close_raw();
}

static void test_no_settings(void **state) {
    (void)state;
    world_init(&world);
    world_listen(&world);
    world.conf.connect_ms = 30;
    world_connect(&world);
    raw = raw_accept(&world);
    AWAIT(&world, raw_ended(raw));
    AWAIT(&world, world.state_count > 0);
    assert_int_equal(world.states[0], GRPC_CHANNEL_WAITING);
    assert_non_null(strstr(grpc_channel_problem(world.channel), "SETTINGS"));
    raw_free(raw);
    world.channel->conf.connect_ms = 20000;
    raw = raw_accept(&world); /* maybe one that is given up already */
    raw_settings(raw, 0, 0);
    close_raw();
}

static void test_not_http2(void **state) {
    static const char *const replies[] = {"HTTP/1.1 400 Bad Request\r\n\r\n",
                                          "\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        world_init(&world);
        world_listen(&world);
        world_connect(&world);
        raw = raw_accept(&world);
        assert_true(raw_write(raw->fd, replies[i], 26));
        AWAIT(&world, world.state_count > 0);
        assert_int_equal(world.states[0], GRPC_CHANNEL_WAITING);
        assert_non_null(strstr(grpc_channel_problem(world.channel), "HTTP/2"));
        close_raw();
    }
}

/* Closed in every phase: nothing is left, and closed() comes. */
static void test_closed_at_every_turn(void **state) {
    (void)state;
    for (int turns = 0; turns < 12; turns++) {
        world_init(&world);
        world_listen(&world);
        world_connect(&world);
        for (int i = 0; i < turns; i++)
            world_turn(&world);
        world_release(&world);
    }
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_a_name_that_cant_be),
        cmocka_unit_test(test_the_next_address), cmocka_unit_test(test_no_settings),
        cmocka_unit_test(test_not_http2),        cmocka_unit_test(test_closed_at_every_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return fixture_run("grpc_channel_connect", group);
}
