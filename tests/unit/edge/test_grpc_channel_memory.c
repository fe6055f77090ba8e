/* test_grpc_channel_memory.c - no allocation per call, and what happens when one fails.
 *
 * Counts and fails the allocations of our own code on the test's thread, and what nghttp2 asks of
 * edge/h2_memory.h.
 */
#include "channel_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sanitizer.h"

#define UNARY "/echo.Echo/Unary"

/* The linker puts these in place of the real ones (meson.build). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static __thread unsigned allocations;
static __thread int fail_at = -1; /* counts down; -1: none fails */

static bool fails(void) {
    allocations++;
    if (fail_at < 0 || fail_at-- > 0)
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size) {
    return fails() ? NULL : __real_realloc(p, size);
}

struct plain {
    struct grpc_out_call call;
    unsigned done;
    enum grpc_status status;
};

static struct server server;
static struct world world;

static void on_done(struct grpc_out_call *call, const struct grpc_result *result) {
    struct plain *plain = CONTAINER_OF(call, struct plain, call);

    plain->done++;
    plain->status = result->status;
}

static enum err start(struct plain *plain) {
    *plain = (struct plain){.call.done = on_done};
    return grpc_channel_call(world.channel, &plain->call, SLICE(UNARY), SLICE("hello"),
                             loop_now_ms(world.loop) + 20000);
}

static void open_world(void) {
    world_init(&world);
    (void)snprintf(world.address, sizeof(world.address), "127.0.0.1:%d", server.port);
    world.conf.address = slice_str(world.address);
}

static void test_calls_allocate_nothing(void **state) {
    struct plain plain[8];

    (void)state;
    server_start(&server, &FIXTURE_CONF);
    open_world();
    world_connect(&world);
    AWAIT(&world, grpc_channel_state(world.channel) == GRPC_CHANNEL_READY);
    for (int round = 0; round < 20; round++) {
        if (round == 2) /* buffers are swapped: both have grown by now */
            allocations = 0;
        for (size_t i = 0; i < ARRAY_LEN(plain); i++)
            assert_int_equal(start(&plain[i]), ERR_OK);
        AWAIT(&world, grpc_channel_calls(world.channel) == 0);
        for (size_t i = 0; i < ARRAY_LEN(plain); i++)
            assert_int_equal(plain[i].status, GRPC_OK);
    }
    assert_true(MEMORY_IS_WATCHED || allocations == 0);
    world_release(&world);
    server_stop(&server);
}

/* From the beginning to the first answer with allocation 'n' failing: true when none was left to
 * fail. Whatever fails, the channel comes to work. */
static bool works_without(int n) {
    struct plain plain;
    bool failed;

    open_world();
    world_turn(&world); /* the loop's own */
    fail_at = n;
    world.channel = grpc_channel_new(world.loop, &world.conf);
    if (!world.channel)
        world_connect(&world);
    do {
        AWAIT(&world, grpc_channel_state(world.channel) == GRPC_CHANNEL_READY);
        enum err err = start(&plain);
        assert_true(err == ERR_OK || err == ERR_NO_MEMORY);
        if (err == ERR_OK)
            AWAIT(&world, plain.done);
    } while (!plain.done || plain.status == GRPC_UNAVAILABLE ||
             plain.status == GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(plain.status, GRPC_OK);
    failed = fail_at < 0;
    fail_at = -1;
    world_release(&world);
    return !failed;
}

static void test_every_allocation_fails_once(void **state) {
    int n = 0;

    (void)state;
    server_start(&server, &FIXTURE_CONF);
    while (!works_without(n))
        n++;
    assert_in_range(n, 5, 100);
    server_stop(&server);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_allocate_nothing),
        cmocka_unit_test(test_every_allocation_fails_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return fixture_run("grpc_channel_memory", group);
}
