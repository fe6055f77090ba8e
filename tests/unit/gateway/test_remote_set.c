/* test_remote_set.c - counters that come and go while messages are under way to them. */
#include <stdio.h>
#include <string.h>

#include "remote_fixture.h"

static void stop_loop(struct timer *timer) {
    (void)timer;
    loop_stop(t.loop);
}

/* Mail, then timers; a timer of this turn fires in the next. */
static void turn(void) {
    for (int i = 0; i < 2; i++) {
        struct timer timer = {.fire = stop_loop};

        timer_start(t.loop, &timer, 0);
        assert_int_equal(loop_run(t.loop), ERR_OK);
    }
}

static bool set_counters(const char *list) {
    struct slice rest = slice_str(list);
    struct instances counters = {.count = 0};

    while (rest.len) {
        struct slice address = config_next_upstream(&rest);
        struct instance *to = &counters.instance[counters.count++];

        (void)snprintf(to->address, sizeof(to->address), "%.*s", SLICE_ARGS(address));
        to->weight = 1;
    }
    bool all = remote_fleet_set(t.fleet, &counters);

    turn();
    return all;
}

static void test_one_comes(void **state) {
    (void)state;
    struct delivery deliveries[2];

    start("a:1");
    become_usable(0);
    assert_true(set_counters("a:1,b:1"));
    assert_int_equal(fake.channel_count, 2);
    assert_true(slice_eq(fake.channels[1].conf.address, SLICE("b:1")));
    become_usable(1);
    assert_int_equal(pool().instances, 2);
    for (size_t i = 0; i < 2; i++) {
        deliveries[i] = delivery_of(1);
        assert_int_equal(send_it(&deliveries[i]), ERR_OK);
    }
    assert_int_equal(grpc_channel_calls(&fake.channels[0]), 1);
    assert_int_equal(grpc_channel_calls(&fake.channels[1]), 1);
    stop();
}

/* It gets no more, and what it has is waited for. */
static void test_one_goes(void **state) {
    (void)state;
    struct delivery old = delivery_of(1);
    struct delivery new = delivery_of(1);

    start("a:1,b:1");
    become_usable(0);
    assert_int_equal(send_it(&old), ERR_OK);
    become_usable(1);
    assert_true(set_counters("b:1"));
    assert_int_equal(pool().instances, 1);
    assert_true(up());
    assert_int_equal(send_it(&new), ERR_OK);
    assert_int_equal(grpc_channel_calls(&fake.channels[1]), 1);
    assert_false(fake.channels[0].closing);
    answer_apply(0, 2, 1234);
    assert_ptr_equal(t.delivered, &old);
    assert_int_equal(old.err, ERR_OK);
    turn();
    assert_true(fake.channels[0].closing);
    fake_finish_closing();
    assert_string_equal(problem_of(0), "");
    stop();
}

/* While it leaves it may come back: at another place, with another channel. */
static void test_one_goes_and_comes_back(void **state) {
    (void)state;
    struct delivery old = delivery_of(1);

    start("a:1");
    become_usable(0);
    assert_int_equal(send_it(&old), ERR_OK);
    assert_true(set_counters("b:1"));
    assert_true(set_counters("a:1"));
    assert_int_equal(fake.channel_count, 3);
    assert_true(fake.channels[1].closing); /* it had nothing under way */
    become_usable(2);
    assert_int_equal(pool().instances, 1);
    fake_state(0, GRPC_CHANNEL_WAITING); /* nobody listens to the one that leaves */
    assert_true(up());
    fake_end(0, &(struct grpc_result){.status = GRPC_UNAVAILABLE});
    assert_int_equal(t.deliveries, 1);
    turn();
    fake_finish_closing();
    assert_int_equal(pool().instances, 1);
    stop();
}

static void test_the_end_while_one_goes(void **state) {
    (void)state;
    struct delivery old = delivery_of(1);

    start("a:1,b:1");
    become_usable(0);
    assert_int_equal(send_it(&old), ERR_OK);
    struct instances nobody = {.count = 0};
    assert_true(remote_fleet_set(t.fleet, &nobody)); /* the mail is under way */
    remote_close(t.remote, on_closed, NULL);
    fake_finish_closing();
    assert_int_equal(t.deliveries, 1);
    assert_int_equal(t.closes, 0);
    turn();
    assert_int_equal(t.closes, 1);
    remote_fleet_free(t.fleet);
    loop_free(t.loop);
    metrics_free(t.metrics);
    fake_reset();
}

/* All places are held by those who leave: the new ones wait. */
static void test_no_place(void **state) {
    (void)state;
    struct instances many = {.count = INSTANCES_MAX};

    start("a:1");
    for (unsigned i = 0; i < many.count; i++)
        (void)snprintf(many.instance[i].address, sizeof(many.instance[i].address), "c:%u", i + 1);
    become_usable(0);
    assert_false(remote_fleet_set(t.fleet, &many));
    remote_close(t.remote, on_closed, NULL);
    turn();
    fake_finish_closing();
    assert_true(remote_fleet_set(t.fleet, &many));
    remote_fleet_free(t.fleet);
    loop_free(t.loop);
    metrics_free(t.metrics);
    fake_reset();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_comes),
        cmocka_unit_test(test_one_goes),
        cmocka_unit_test(test_one_goes_and_comes_back),
        cmocka_unit_test(test_the_end_while_one_goes),
        cmocka_unit_test(test_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
