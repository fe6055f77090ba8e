/* Timers: when, in which order, and what may be done from inside one. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"

struct alarm {
    struct timer timer;
    struct loop *loop;
    int id;
    int again; /* times it restarts itself */
    struct alarm *stops;
    struct alarm *moves;
    bool ends; /* the loop, when it doesn't restart itself */
};

static int fired[4096];
static size_t fired_count;

static void on_fire(struct timer *timer) {
    struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);

    assert_false(timer_armed(timer));
    assert_true(loop_now_ms(alarm->loop) >= timer->at_ms);
    fired[fired_count++] = alarm->id;
    if (alarm->again-- > 0)
        timer_start(alarm->loop, timer, 0);
    else if (alarm->ends)
        loop_stop(alarm->loop);
    if (alarm->stops)
        timer_stop(alarm->loop, &alarm->stops->timer);
    if (alarm->moves)
        timer_start(alarm->loop, &alarm->moves->timer, 5);
}

static void on_last(struct timer *timer) {
    struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);

    loop_stop(alarm->loop);
}

static void arm(struct loop *loop, struct alarm *alarm, int id, int64_t delay_ms) {
    alarm->timer.fire = on_fire;
    alarm->loop = loop;
    alarm->id = id;
    timer_start(loop, &alarm->timer, delay_ms);
}

static void run(struct loop *loop) {
    fired_count = 0;
    assert_int_equal(loop_run(loop), ERR_OK);
}

/* For timers that are all started before: one that is due earlier fires earlier, however late the
 * machine is. Where a timer starts another, that one has to end the loop. */
static void run_until(struct loop *loop, int64_t delay_ms) {
    struct alarm last = {.timer = {.fire = on_last}, .loop = loop};

    timer_start(loop, &last.timer, delay_ms);
    run(loop);
}

static void expect(const int *ids, size_t count) {
    assert_int_equal(fired_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(fired[i], ids[i]);
}

#define EXPECT(...) expect((const int[]){__VA_ARGS__}, ARRAY_LEN(((const int[]){__VA_ARGS__})))

static void test_order(void **state) {
    struct loop *loop = harness_loop();
    struct alarm a[5] = {0};

    (void)state;
    arm(loop, &a[0], 0, 6);
    arm(loop, &a[1], 1, 2);
    arm(loop, &a[2], 2, 4);
    arm(loop, &a[3], 3, 2); /* of one millisecond: in the order of starting */
    arm(loop, &a[4], 4, 0);
    run_until(loop, 10);
    EXPECT(4, 1, 3, 2, 0);
    loop_free(loop);
}

static void test_moved_both_ways(void **state) {
    struct loop *loop = harness_loop();
    struct alarm a[3] = {0};

    (void)state;
    arm(loop, &a[0], 0, 1);
    arm(loop, &a[1], 1, 4);
    arm(loop, &a[2], 2, 8);
    arm(loop, &a[0], 0, 6);
    arm(loop, &a[2], 2, 2);
    run_until(loop, 10);
    EXPECT(2, 1, 0);
    loop_free(loop);
}

static void test_stopped_ones_stay_silent(void **state) {
    struct loop *loop = harness_loop();
    struct alarm a[3] = {0};

    (void)state;
    arm(loop, &a[0], 0, 1);
    arm(loop, &a[1], 1, 2);
    arm(loop, &a[2], 2, 3);
    timer_stop(loop, &a[1].timer);
    timer_stop(loop, &a[1].timer); /* not armed any more: fine */
    assert_false(timer_armed(&a[1].timer));
    assert_true(timer_armed(&a[2].timer));
    run_until(loop, 5);
    EXPECT(0, 2);
    loop_free(loop);
}

static void test_from_inside_a_timer(void **state) {
    struct loop *loop = harness_loop();
    struct alarm a[4] = {0};

    (void)state;
    a[0].stops = &a[1]; /* due in the same turn */
    a[2].moves = &a[3];
    a[3].ends = true;
    arm(loop, &a[0], 0, 1);
    arm(loop, &a[1], 1, 1);
    arm(loop, &a[2], 2, 1);
    arm(loop, &a[3], 3, 1);
    run(loop);
    EXPECT(0, 2, 3);
    assert_true(a[3].timer.at_ms >= a[2].timer.at_ms + 5);
    loop_free(loop);
}

/* One that starts itself at once fires once a turn, and lets others live. */
static unsigned turns;

static void count_turn(struct loop_hook *hook) {
    (void)hook;
    turns++;
}

static void test_restart_at_once_waits_a_turn(void **state) {
    struct loop *loop = harness_loop();
    struct loop_hook hook = {.run = count_turn};
    struct alarm a = {.again = 9, .ends = true};

    (void)state;
    turns = 0;
    loop_hook_add(loop, &hook);
    arm(loop, &a, 7, 0);
    run(loop);
    assert_int_equal(fired_count, 10);
    assert_true(turns >= 10);
    loop_hook_remove(&hook);
    loop_free(loop);
}

static void test_never_early(void **state) {
    struct loop *loop = harness_loop();
    struct alarm a = {0};
    int64_t start_ms = loop_now_ms(loop);

    (void)state;
    arm(loop, &a, 1, 20);
    assert_int_equal(a.timer.at_ms, start_ms + 20);
    run_until(loop, 21);
    assert_int_equal(fired_count, 1);
    assert_true(clock_mono_ms() >= start_ms + 21);
    loop_free(loop);
}

static int by_at_then_id(const void *left, const void *right) {
    const struct alarm *l = *(const struct alarm *const *)left;
    const struct alarm *r = *(const struct alarm *const *)right;

    if (l->timer.at_ms != r->timer.at_ms)
        return l->timer.at_ms < r->timer.at_ms ? -1 : 1;
    return l->id - r->id;
}

/* The heap against sorting: random starts, moves and stops. */
static void test_random(void **state) {
    enum { COUNT = 2000, OPERATIONS = 10000, SEED = 42 };
    static struct alarm alarms[COUNT];
    static struct alarm *want[COUNT];
    struct loop *loop = harness_loop();
    size_t wanted = 0;
    int id = 0;

    (void)state;
    memset(alarms, 0, sizeof(alarms));
    srandom(SEED);
    for (int i = 0; i < OPERATIONS; i++) {
        struct alarm *alarm = &alarms[random() % COUNT];

        if (random() % 3 == 0)
            timer_stop(loop, &alarm->timer);
        else
            arm(loop, alarm, id++, random() % 30);
    }
    for (size_t i = 0; i < COUNT; i++)
        if (timer_armed(&alarms[i].timer))
            want[wanted++] = &alarms[i];
    assert_true(wanted > COUNT / 2);
    qsort(want, wanted, sizeof(struct alarm *), by_at_then_id);
    run_until(loop, 40);
    assert_int_equal(fired_count, wanted);
    for (size_t i = 0; i < wanted; i++)
        assert_int_equal(fired[i], want[i]->id);
    loop_free(loop);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_moved_both_ways),
        cmocka_unit_test(test_stopped_ones_stay_silent),
        cmocka_unit_test(test_from_inside_a_timer),
        cmocka_unit_test(test_restart_at_once_waits_a_turn),
        cmocka_unit_test(test_never_early),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("timer", group);
}
