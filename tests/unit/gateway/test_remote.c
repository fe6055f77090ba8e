/* test_remote.c - which counters are used, what their answers mean, what is learned of the clock.
 */
#include <stdlib.h>
#include <string.h>

#include "remote_fixture.h"

static void test_nothing_is_usable_before_hello(void **state) {
    (void)state;
    struct delivery delivery = delivery_of(1);

    start("a:1");
    assert_int_equal(send_it(&delivery), ERR_UNREACHABLE);
    fake_state(0, GRPC_CHANNEL_READY);
    assert_int_equal(fake.call_count, 1);
    assert_int_equal(send_it(&delivery), ERR_UNREACHABLE);
    assert_false(up());
    assert_int_equal(t.clocks, 0);
    say_hello(0, STORE, loop_now_ms(t.loop) + 77);
    assert_true(up());
    assert_int_equal(t.clocks, 1);
    assert_int_equal(t.ahead_ms, 77);
    assert_int_equal(send_it(&delivery), ERR_OK);
    assert_int_equal(t.deliveries, 0);
    stop();
    assert_int_equal(t.deliveries, 1); /* closing brought it back */
    assert_int_equal(delivery.err, ERR_UNAVAILABLE);
    assert_false(delivery.not_applied);
}

static void test_a_trace_goes_along(void **state) {
    static const struct trace_context trace = {.trace_id = {1}, .span_id = {2}};
    struct delivery delivery = delivery_of(1);

    (void)state;
    start("a:1");
    become_usable(0);
    delivery.trace = &trace;
    assert_int_equal(send_it(&delivery), ERR_OK);
    assert_ptr_equal(fake.calls[0].call->trace, &trace);
    stop();
}

/* A counter that was there is waited for, so long as a request may take; one that never was, isn't.
 */
static void test_waits_for_the_last_one(void **state) {
    (void)state;

    start("a:1,b:1");
    struct upstream *upstream = remote_upstream(t.remote);

    assert_true(upstream->wait_until_ms(upstream) <= loop_now_ms(t.loop));
    become_usable(0);
    become_usable(1);
    assert_true(upstream->wait_until_ms(upstream) <= loop_now_ms(t.loop));
    fake_state(0, GRPC_CHANNEL_CONNECTING);
    assert_true(upstream->wait_until_ms(upstream) <= loop_now_ms(t.loop));
    fake_state(1, GRPC_CHANNEL_CONNECTING);
    assert_int_equal(upstream->wait_until_ms(upstream),
                     loop_now_ms(t.loop) + REMOTE_WAIT_MS(t.config.timeouts_request_ms));
    fake_state(1, GRPC_CHANNEL_WAITING); /* no news */
    assert_int_equal(upstream->wait_until_ms(upstream),
                     loop_now_ms(t.loop) + REMOTE_WAIT_MS(t.config.timeouts_request_ms));
    become_usable(0);
    assert_true(upstream->wait_until_ms(upstream) <= loop_now_ms(t.loop));
    stop();
}

static void test_the_promise_is_the_counters(void **state) {
    (void)state;
    struct gateway_promise promise;

    start("a:1");
    struct gateway_backend backend = remote_fleet_backend(t.fleet);

    backend.promise(backend.ctx, &promise);
    assert_string_equal(promise.durability, "unknown");
    become_usable(0);
    backend.promise(backend.ctx, &promise);
    assert_string_equal(promise.durability, "local");
    assert_string_equal(promise.guarantee, "it is kept");
    assert_int_equal(backend.attempt_ms, t.config.timeouts_request_ms / 2);
    assert_int_equal(backend.clock_unknown, ERR_UNREACHABLE);
    stop();
}

static void test_a_message_and_its_answers(void **state) {
    (void)state;
    struct delivery delivery = delivery_of(1);
    struct proto_problem problem;
    struct message read;
    struct arena arena;

    start("a:1");
    become_usable(0);
    assert_int_equal(send_it(&delivery), ERR_OK);
    assert_int_equal(fake.calls[0].deadline_ms, 4242);
    arena_init(&arena, 4096, 65536);
    assert_int_equal(
        lanes_read_apply(buf_slice(&fake.calls[0].request), &arena, 10, &read, &problem), ERR_OK);
    assert_int_equal(read.producer.hi, 7);
    assert_int_equal(read.number, 3);
    assert_int_equal(read.issued_ms, 500);
    assert_int_equal(read.count, 2);
    assert_int_equal(read.ops[1].arg, -7);
    arena_release(&arena);
    answer_apply(0, 2, 1234);
    assert_ptr_equal(t.delivered, &delivery);
    assert_int_equal(delivery.err, ERR_OK);
    assert_int_equal(delivery.store_now_ms, 1234);
    assert_int_equal(answers[0].value, 41);
    assert_int_equal(answers[1].err, ERR_RANGE);
    stop();
}

/* What a call's end means for the message. */
/* clang-format off */
static const struct {
    const char *name;
    struct grpc_result result;
    enum err err;
    bool not_applied;
    bool failed; /* counts against the counter */
} ends[] = {
    {"unreachable: nobody knows",          {.status = GRPC_UNAVAILABLE},                                ERR_UNAVAILABLE, false, true},
    {"never processed",                    {.status = GRPC_UNAVAILABLE, .not_processed = true},         ERR_UNAVAILABLE, true,  false},
    {"timed out",                          {.status = GRPC_DEADLINE_EXCEEDED},                          ERR_UNAVAILABLE, false, true},
    {"cancelled",                          {.status = GRPC_CANCELLED},                                  ERR_UNAVAILABLE, false, true},
    {"a proxy's word isn't a counter's",   {.status = GRPC_INVALID_ARGUMENT},                           ERR_UNAVAILABLE, false, true},
    {"a claim without our error",          {.status = GRPC_UNAVAILABLE, .not_applied = true},           ERR_UNAVAILABLE, false, true},
    {"the store failed",                   {.status = GRPC_UNAVAILABLE, .error = TEXT("UNKNOWN")},     ERR_UNKNOWN,     false, false},
    {"too old",                            {.status = GRPC_ABORTED, .error = TEXT("TOO_OLD")},         ERR_TOO_OLD,     false, false},
    {"overloaded, surely not applied",     {.status = GRPC_RESOURCE_EXHAUSTED, .error = TEXT("BUSY"), .not_applied = true}, ERR_BUSY, true, false},
    {"a newer counter's error",            {.status = GRPC_UNKNOWN, .error = TEXT("NOVEL")},           ERR_INTERNAL,    false, false},
    {"no answers in it",                   {.status = GRPC_OK},                                         ERR_UNAVAILABLE, false, true},
    {"no protobuf",                        {.status = GRPC_OK, .response = TEXT("\xff\xff")},          ERR_UNAVAILABLE, false, true},
};
/* clang-format on */

static void test_what_an_end_means(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct delivery delivery = delivery_of(1);

        start("a:1");
        become_usable(0);
        assert_int_equal(send_it(&delivery), ERR_OK);
        fake_end(0, &ends[i].result);
        assert_int_equal(t.deliveries, 1);
        if (delivery.err != ends[i].err || delivery.not_applied != ends[i].not_applied ||
            (t.remote->peers.peer[0].failures > 0) != ends[i].failed)
            fail_msg("%s: %s, not applied: %d, failures: %u", ends[i].name, err_name(delivery.err),
                     delivery.not_applied, t.remote->peers.peer[0].failures);
        assert_int_equal(t.remote->peers.peer[0].out, 0);
        stop();
    }
}

/* Who waits for the beginning is told as soon as it is clear, and once that all was in vain. */
static void test_the_beginning_is_told(void **state) {
    (void)state;
    start("a:1,b:2");
    fake.problem = "refused";
    fake_state(0, GRPC_CHANNEL_WAITING);
    assert_int_equal(t.downs, 0);
    fake_state(1, GRPC_CHANNEL_READY);
    fake_end(0, &(struct grpc_result){.status = GRPC_UNAVAILABLE});
    assert_int_equal(t.downs, 1);
    fake_state(0, GRPC_CHANNEL_CONNECTING);
    fake_state(0, GRPC_CHANNEL_WAITING);
    assert_int_equal(t.downs, 1);
    assert_int_equal(t.ups, 0);
    become_usable(0);
    assert_int_equal(t.ups, 1);
    become_usable(1);
    assert_int_equal(t.ups, 1);
    stop();
}

/* A loop without a connection fails what comes to it: then the gateway isn't up. */
static void test_every_loop_needs_a_connection(void **state) {
    (void)state;
    struct remote_user user = {
        .delivered = on_delivered, .clock_learned = on_clock, .changed = on_changed};

    start("a:1");
    struct remote *other = remote_new(t.fleet, t.loop, 0, &user);

    remote_connect(other);
    become_usable(0);
    assert_false(up());
    assert_int_equal(pool().instances, 1);
    become_usable(1);
    assert_true(up());
    assert_int_equal(pool().connections, 2);
    assert_int_equal(pool().instances, 1);
    fake_state(0, GRPC_CHANNEL_WAITING);
    assert_false(up());
    remote_close(other, on_closed, NULL);
    fake_finish_closing();
    assert_int_equal(t.closes, 1);
    become_usable(0);
    assert_true(up());
    t.closes = 0;
    stop();
}

/* Probes don't see a connection being replaced, unless that fails. */
static void test_a_replaced_connection_stays_up(void **state) {
    (void)state;
    struct delivery delivery = delivery_of(1);

    start("a:1");
    become_usable(0);
    fake_state(0, GRPC_CHANNEL_CONNECTING);
    assert_true(up());
    assert_int_equal(pool().connections, 0);
    assert_int_equal(send_it(&delivery), ERR_UNREACHABLE);
    fake_state(0, GRPC_CHANNEL_READY);
    assert_true(up());
    say_hello(0, STORE, 1000);
    assert_true(up());
    fake_state(0, GRPC_CHANNEL_CONNECTING);
    fake_state(0, GRPC_CHANNEL_WAITING);
    assert_false(up());
    fake_state(0, GRPC_CHANNEL_CONNECTING);
    assert_false(up());
    stop();
}

/* Answers for another number of operations would be handed to the wrong clients. */
static void test_another_number_of_answers(void **state) {
    (void)state;
    for (size_t count = 1; count <= 3; count++) {
        struct delivery delivery = delivery_of(1);

        start("a:1");
        become_usable(0);
        assert_int_equal(send_it(&delivery), ERR_OK);
        answer_apply(0, count, 1);
        assert_int_equal(delivery.err, count == 2 ? ERR_OK : ERR_UNAVAILABLE);
        assert_false(delivery.not_applied);
        stop();
    }
}

static void test_another_store_is_refused(void **state) {
    (void)state;
    struct delivery deliveries[6];

    start("a:1,b:2,c:3");
    become_usable(0);
    fake_state(1, GRPC_CHANNEL_READY);
    say_hello(0, STORE + 1, 1000);
    assert_int_equal(pool().connections, 1);
    assert_int_equal(pool().instances, 1);
    assert_int_equal(pool().known, 3);
    assert_string_equal(problem_of(0), "");
    assert_non_null(strstr(problem_of(1), "another store"));
    assert_int_equal(t.remote->refused, 1);
    become_usable(2);
    assert_int_equal(pool().instances, 2);
    for (size_t i = 0; i < ARRAY_LEN(deliveries); i++) {
        deliveries[i] = delivery_of(1);
        assert_int_equal(send_it(&deliveries[i]), ERR_OK);
    }
    assert_int_equal(grpc_channel_calls(&fake.channels[0]), 3);
    assert_int_equal(grpc_channel_calls(&fake.channels[1]), 0);
    assert_int_equal(grpc_channel_calls(&fake.channels[2]), 3);
    /* It comes back with the right store. */
    fake_state(1, GRPC_CHANNEL_WAITING);
    assert_int_equal(t.remote->refused, 0);
    become_usable(1);
    assert_string_equal(problem_of(1), "");
    assert_int_equal(pool().instances, 3);
    stop();
}

static void test_no_store_has_the_id_0(void **state) {
    (void)state;
    start("a:1");
    fake_state(0, GRPC_CHANNEL_READY);
    say_hello(0, 0, 1000);
    assert_false(up());
    stop();
}

/* Whoever was there before says nothing about who is there now: a Hello is for its connection. */
static void test_a_late_hello_is_of_another_connection(void **state) {
    (void)state;
    start("a:1");
    fake_state(0, GRPC_CHANNEL_READY);
    fake_state(0, GRPC_CHANNEL_CONNECTING);
    fake_state(0, GRPC_CHANNEL_READY);
    assert_int_equal(fake.call_count, 1); /* the first is still open */
    say_hello(0, STORE, 1000);
    assert_false(up());
    assert_int_equal(fake.call_count, 1); /* the second */
    say_hello(0, STORE + 1, 1000);
    assert_true(up()); /* the first store that a Hello of its own connection has named */
    fake_state(0, GRPC_CHANNEL_WAITING);
    assert_false(up());
    fake_state(0, GRPC_CHANNEL_READY);
    fake_state(0, GRPC_CHANNEL_WAITING);
    say_hello(0, STORE + 1, 1000);
    assert_false(up());
    stop();
}

static void test_a_failed_hello_is_tried_again(void **state) {
    (void)state;
    static const struct {
        struct grpc_result result;
        const char *problem;
    } rows[] = {
        {{.status = GRPC_UNAVAILABLE, .message = TEXT("going away")}, "UNAVAILABLE: going away"},
        {{.status = GRPC_UNIMPLEMENTED}, "no counter of ours"},
        {{.status = GRPC_OK, .response = TEXT("\xff")}, "valid"},
    };

    start("a:1");
    fake_state(0, GRPC_CHANNEL_READY);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake_end(0, &rows[i].result);
        if (!strstr(problem_of(0), rows[i].problem))
            fail_msg("%zu: %s", i, problem_of(0));
        assert_int_equal(fake.call_count, 0);
        assert_true(timer_armed(&t.remote->lines[0].rest));
        timer_stop(t.loop, &t.remote->lines[0].rest);
        t.remote->lines[0].rest.fire(&t.remote->lines[0].rest);
        assert_int_equal(fake.call_count, 1);
    }
    say_hello(0, STORE, 1000);
    assert_true(up());
    stop();
}

static void test_why_nobody_answers(void **state) {
    (void)state;
    start("a:1");
    fake.problem = "connection refused";
    fake_state(0, GRPC_CHANNEL_WAITING);
    assert_string_equal(problem_of(0), "connection refused");
    become_usable(0);
    assert_string_equal(problem_of(0), "");
    stop();
}

/* The store's clock lies between its value minus now and its value minus our sending. */
static void test_the_clock_is_clamped(void **state) {
    (void)state;
    start("a:1");
    become_usable(0);
    int64_t now_ms = loop_now_ms(t.loop);

    static const struct {
        int64_t store_less_now_ms;
        int64_t way_ms; /* between sending and now */
        int64_t ahead_ms;
    } rows[] = {
        {100, 0, 100},  /* at once: exact */
        {60, 80, 100},  /* 60 .. 140: fits */
        {120, 50, 120}, /* 120 .. 170: more than we thought */
        {20, 30, 50},   /* 20 .. 50: less */
        {-9000, 9100, 50}, {-9000, 9000, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        remote_learn_clock(t.remote, now_ms + rows[i].store_less_now_ms, now_ms - rows[i].way_ms);
        assert_int_equal(t.ahead_ms, rows[i].ahead_ms);
    }
    stop();
}

static void test_a_retry_goes_elsewhere(void **state) {
    (void)state;
    struct delivery first = delivery_of(1);
    struct delivery second = delivery_of(2);

    start("a:1,b:2");
    become_usable(0);
    become_usable(1);
    assert_int_equal(send_it(&first), ERR_OK);
    assert_int_equal(send_it(&second), ERR_OK);
    assert_int_equal(grpc_channel_calls(&fake.channels[0]), 1);
    assert_int_equal(grpc_channel_calls(&fake.channels[1]), 1);
    assert_int_equal(metrics_sum(t.metrics, t.fleet->series.retries), 1);
    stop();
}

static void test_the_budget_ends_retries(void **state) {
    (void)state;
    unsigned sent = 0;
    enum err err = ERR_OK;

    start("a:1");
    become_usable(0);
    while (err == ERR_OK && sent < 1000) {
        struct delivery delivery = delivery_of(2);

        err = send_it(&delivery);
        if (err == ERR_OK) {
            sent++;
            answer_apply(0, 2, 1);
        }
    }
    assert_int_equal(err, ERR_UNAVAILABLE);
    assert_in_range(sent, 10, 500);
    assert_int_equal(metrics_sum(t.metrics, t.fleet->series.retries_refused), 1);
    struct delivery fresh = delivery_of(1);
    assert_int_equal(send_it(&fresh), ERR_OK);
    stop();
}

static void test_a_refused_call_was_not_sent(void **state) {
    (void)state;
    struct delivery delivery = delivery_of(1);

    start("a:1");
    become_usable(0);
    fake.next_call = ERR_BUSY;
    assert_int_equal(send_it(&delivery), ERR_BUSY);
    assert_int_equal(t.remote->peers.peer[0].out, 0);
    assert_int_equal(send_it(&delivery), ERR_OK);
    assert_int_equal(t.deliveries, 0);
    stop();
}

static void test_memory_runs_out_for_a_channel(void **state) {
    (void)state;
    struct remote_user user = {
        .delivered = on_delivered, .clock_learned = on_clock, .changed = on_changed};

    start("a:1,b:2");
    remote_close(t.remote, on_closed, NULL);
    fake_finish_closing();
    assert_int_equal(t.closes, 1);
    t.closes = 0;
    fake.out_of_memory = true;
    t.remote = remote_new(t.fleet, t.loop, 0, &user);
    remote_connect(t.remote);
    fake.out_of_memory = false;
    assert_string_equal(problem_of(1), err_text(ERR_NO_MEMORY));
    t.remote->lines[1].rest.fire(&t.remote->lines[1].rest);
    assert_int_equal(fake.channel_count, 3);
    become_usable(2);
    assert_true(up());
    stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_usable_before_hello),
        cmocka_unit_test(test_a_trace_goes_along),
        cmocka_unit_test(test_the_promise_is_the_counters),
        cmocka_unit_test(test_waits_for_the_last_one),
        cmocka_unit_test(test_a_message_and_its_answers),
        cmocka_unit_test(test_what_an_end_means),
        cmocka_unit_test(test_the_beginning_is_told),
        cmocka_unit_test(test_every_loop_needs_a_connection),
        cmocka_unit_test(test_a_replaced_connection_stays_up),
        cmocka_unit_test(test_another_number_of_answers),
        cmocka_unit_test(test_another_store_is_refused),
        cmocka_unit_test(test_no_store_has_the_id_0),
        cmocka_unit_test(test_a_late_hello_is_of_another_connection),
        cmocka_unit_test(test_a_failed_hello_is_tried_again),
        cmocka_unit_test(test_why_nobody_answers),
        cmocka_unit_test(test_the_clock_is_clamped),
        cmocka_unit_test(test_a_retry_goes_elsewhere),
        cmocka_unit_test(test_the_budget_ends_retries),
        cmocka_unit_test(test_a_refused_call_was_not_sent),
        cmocka_unit_test(test_memory_runs_out_for_a_channel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
