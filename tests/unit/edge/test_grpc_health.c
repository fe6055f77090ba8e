/* test_grpc_health.c - Check and Watch, from start to drain. */
#include <stdlib.h>

#include "edge/grpc_health.h"
#include "fake_grpc.h"
#include "test.h"
#include "wire/health_proto.h"

#define COUNTER                                                                                    \
    "\x0A\x16"                                                                                     \
    "counter.CounterService"
#define UNKNOWN                                                                                    \
    "\x0A\x04"                                                                                     \
    "none"
#define SERVER ""

#define WORKSPACE_BYTES 4096

static const struct slice services[] = {{"counter.CounterService", 22},
                                        {"grpc.reflection.v1.ServerReflection", 35}};

struct fixture {
    struct grpc_health *health;
    struct grpc_method methods[GRPC_HEALTH_METHODS];
    const struct grpc_method *check;
    const struct grpc_method *watch;
};

static int up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    f->health = grpc_health_new(services, ARRAY_LEN(services));
    grpc_health_methods(f->health, f->methods);
    f->check = fake_method(f->methods, GRPC_HEALTH_METHODS, "/grpc.health.v1.Health/Check");
    f->watch = fake_method(f->methods, GRPC_HEALTH_METHODS, "/grpc.health.v1.Health/Watch");
    *state = f;
    return 0;
}

static int down(void **state) {
    struct fixture *f = *state;

    grpc_health_free(f->health);
    free(f);
    return 0;
}

/* The status a response message holds; -1: no such message. */
static int status_in(struct slice message) {
    if (message.len == 0)
        return HEALTH_UNKNOWN;
    if (message.len != 2 || message.ptr[0] != 0x08)
        return -1;
    return message.ptr[1];
}

static struct grpc_call *start_watch(struct fixture *f, struct slice request) {
    struct grpc_call *call = fake_call_new(WORKSPACE_BYTES);

    fake_call_message(f->watch, call, request);
    return call;
}

/* All that a watch was told, in order. */
static void assert_told(const struct grpc_call *call, const int *wanted, size_t count) {
    assert_int_equal(fake_sent_count(call), count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(status_in(fake_sent(call, i)), wanted[i]);
}

#define TOLD(call, ...)                                                                            \
    assert_told(call, (const int[]){__VA_ARGS__}, ARRAY_LEN(((const int[]){__VA_ARGS__})))

/* A Check: the status of the call, and of the service when the call's is OK. */
static void assert_check(struct fixture *f, struct slice request, int wanted_status,
                         int wanted_health) {
    struct grpc_call *call = fake_call_new(WORKSPACE_BYTES);

    fake_call_message(f->check, call, request);
    assert_int_equal(fake_status(call), wanted_status);
    if (wanted_status == GRPC_OK)
        TOLD(call, wanted_health);
    else
        assert_int_equal(fake_sent_count(call), 0);
    fake_call_free(call);
}

static void test_check(void **state) {
    struct fixture *f = *state;

    assert_check(f, SLICE(SERVER), GRPC_OK, HEALTH_NOT_SERVING);
    assert_check(f, SLICE(COUNTER), GRPC_OK, HEALTH_NOT_SERVING);
    grpc_health_set(f->health, SLICE(""), true);
    assert_check(f, SLICE(SERVER), GRPC_OK, HEALTH_SERVING);
    assert_check(f, SLICE(COUNTER), GRPC_OK, HEALTH_NOT_SERVING);
    grpc_health_set(f->health, services[0], true);
    assert_check(f, SLICE(COUNTER), GRPC_OK, HEALTH_SERVING);
    grpc_health_set(f->health, services[0], false);
    assert_check(f, SLICE(COUNTER), GRPC_OK, HEALTH_NOT_SERVING);
    assert_check(f, SLICE(SERVER), GRPC_OK, HEALTH_SERVING);
}

/* clang-format off */
static const struct {
    struct slice request;
    int status;
} refused[] = {
    {{UNKNOWN, sizeof(UNKNOWN) - 1},                    GRPC_NOT_FOUND},
    {{"\x0A\x17" "counter.CounterService\0", 25},       GRPC_NOT_FOUND}, /* no prefix matches */
    {{"\x0A\x07" "counter", 9},                         GRPC_NOT_FOUND},
    {{"\x0A\x01\xFF", 3},                               GRPC_INVALID_ARGUMENT},
    {{"\x0A\x05x", 3},                                  GRPC_INVALID_ARGUMENT},
    {{"\x08\x01", 2},                                   GRPC_INVALID_ARGUMENT},
};
/* clang-format on */

static void test_check_refuses(void **state) {
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_check(f, refused[i].request, refused[i].status, -1);
}

static void test_watch_sees_changes(void **state) {
    struct fixture *f = *state;
    struct grpc_call *counter = start_watch(f, SLICE(COUNTER));
    struct grpc_call *server = start_watch(f, SLICE(SERVER));

    grpc_health_set(f->health, services[0], true);
    grpc_health_set(f->health, services[0], true); /* no change, no message */
    grpc_health_set(f->health, SLICE(""), true);
    grpc_health_set(f->health, services[1], true); /* nobody watches */
    grpc_health_set(f->health, services[0], false);
    TOLD(counter, HEALTH_NOT_SERVING, HEALTH_SERVING, HEALTH_NOT_SERVING);
    TOLD(server, HEALTH_NOT_SERVING, HEALTH_SERVING);
    assert_int_equal(fake_status(counter), -1);
    fake_call_cancel(f->watch, counter);
    fake_call_cancel(f->watch, server);
    fake_call_free(counter);
    fake_call_free(server);
}

static void test_watch_of_an_unknown_service_stays(void **state) {
    struct fixture *f = *state;
    struct grpc_call *call = start_watch(f, SLICE(UNKNOWN));

    grpc_health_set(f->health, SLICE(""), true);
    grpc_health_drain(f->health);
    TOLD(call, HEALTH_SERVICE_UNKNOWN);
    assert_int_equal(fake_status(call), -1);
    grpc_health_end_watches(f->health);
    assert_int_equal(fake_status(call), GRPC_UNAVAILABLE);
    fake_call_free(call);
}

static void test_watch_refuses_what_check_refuses(void **state) {
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (refused[i].status == GRPC_NOT_FOUND)
            continue;
        struct grpc_call *call = start_watch(f, refused[i].request);

        assert_int_equal(fake_status(call), refused[i].status);
        assert_int_equal(fake_sent_count(call), 0);
        fake_call_free(call);
    }
}

/* A watch that left is neither told nor ended a second time; the others are. */
static void test_gone_watches_are_forgotten(void **state) {
    struct fixture *f = *state;
    struct grpc_call *calls[3];

    for (size_t i = 0; i < 3; i++)
        calls[i] = start_watch(f, SLICE(SERVER));
    fake_call_cancel(f->watch, calls[1]);
    assert_int_equal(fake_status(calls[1]), GRPC_CANCELLED);
    grpc_health_set(f->health, SLICE(""), true);
    TOLD(calls[0], HEALTH_NOT_SERVING, HEALTH_SERVING);
    TOLD(calls[1], HEALTH_NOT_SERVING);
    TOLD(calls[2], HEALTH_NOT_SERVING, HEALTH_SERVING);
    grpc_health_end_watches(f->health);
    for (size_t i = 0; i < 3; i++)
        fake_call_free(calls[i]);
}

static void test_drain(void **state) {
    struct fixture *f = *state;

    grpc_health_set(f->health, SLICE(""), true);
    grpc_health_set(f->health, services[0], true);
    struct grpc_call *server = start_watch(f, SLICE(SERVER));
    struct grpc_call *counter = start_watch(f, SLICE(COUNTER));

    grpc_health_drain(f->health);
    TOLD(server, HEALTH_SERVING, HEALTH_NOT_SERVING);
    TOLD(counter, HEALTH_SERVING, HEALTH_NOT_SERVING);
    assert_int_equal(fake_status(server), -1);
    assert_check(f, SLICE(COUNTER), GRPC_OK, HEALTH_NOT_SERVING);
    /* There is no way back. */
    grpc_health_set(f->health, SLICE(""), true);
    TOLD(server, HEALTH_SERVING, HEALTH_NOT_SERVING);
    grpc_health_end_watches(f->health);
    assert_int_equal(fake_status(server), GRPC_UNAVAILABLE);
    assert_int_equal(fake_status(counter), GRPC_UNAVAILABLE);
    /* A late one is told and ended at once. */
    struct grpc_call *late = start_watch(f, SLICE(SERVER));
    TOLD(late, HEALTH_NOT_SERVING);
    assert_int_equal(fake_status(late), GRPC_UNAVAILABLE);
    fake_call_free(server);
    fake_call_free(counter);
    fake_call_free(late);
}

static void test_no_workspace(void **state) {
    struct fixture *f = *state;
    struct grpc_call *check = fake_call_new(16);
    struct grpc_call *watch = fake_call_new(16);

    fake_call_message(f->check, check, SLICE(COUNTER));
    assert_int_equal(fake_status(check), GRPC_RESOURCE_EXHAUSTED);
    fake_call_message(f->watch, watch, SLICE(SERVER));
    assert_int_equal(fake_status(watch), GRPC_RESOURCE_EXHAUSTED);
    fake_call_free(check);
    fake_call_free(watch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_check, up, down),
        cmocka_unit_test_setup_teardown(test_check_refuses, up, down),
        cmocka_unit_test_setup_teardown(test_watch_sees_changes, up, down),
        cmocka_unit_test_setup_teardown(test_watch_of_an_unknown_service_stays, up, down),
        cmocka_unit_test_setup_teardown(test_watch_refuses_what_check_refuses, up, down),
        cmocka_unit_test_setup_teardown(test_gone_watches_are_forgotten, up, down),
        cmocka_unit_test_setup_teardown(test_drain, up, down),
        cmocka_unit_test_setup_teardown(test_no_workspace, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
