/* A loop that polls before it sleeps: only where it is asked to, only while work comes soon, and
 * not where others want the core. The rule itself is test_poll_window.c's; that nothing else
 * changes is every other test of loops, which run polling as well. */
#include "harness.h"

#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"

#define POLL_US  1000
#define LOOKS    20
#define PAUSE_MS 20
#define STORY_MS 400

/* Those have 100 and 200 ms without a look between them. */
#define CROWDED_LOOKS_MAX 4

/* Bytes are there before every second wait, and come by polling in the others; where it doesn't
 * poll, a pause ends those. */
static struct {
    struct world w;
    struct timer pause;
    int fd;
    unsigned looks; /* that have found nothing */
    unsigned pauses;
    bool there; /* bytes, before this wait */
    bool silent;
    bool crowded;
    int64_t end_ms;
} t;

int __real_sched_yield(void);
int __wrap_sched_yield(void);

int __wrap_sched_yield(void) {
    t.looks++;
    if (t.crowded)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    if (!t.silent)
        client_write(t.fd, "x", 1);
    return __real_sched_yield();
}

static void on_pause(struct timer *timer) {
    t.pauses++;
    timer_start(t.w.loop, timer, PAUSE_MS);
}

static void on_turn(struct loop_hook *hook) {
    (void)hook;
    if (t.looks >= LOOKS || clock_mono_ms() >= t.end_ms)
        loop_stop(t.w.loop);
    t.there = !t.there;
    if (t.there)
        client_write(t.fd, "x", 1);
}

static void on_silent_turn(struct loop_hook *hook) {
    (void)hook;
    if (t.pauses > 0)
        loop_stop(t.w.loop);
}

static void run(void (*turn)(struct loop_hook *hook)) {
    struct loop_hook hook = {.run = turn};

    loop_hook_add(t.w.loop, &hook);
    world_run(&t.w);
    loop_hook_remove(&hook);
}

static void begin(uint32_t busy_poll_us, int64_t end_ms) {
    static const struct behaviour hears = {0};

    memset(&t, 0, sizeof(t));
    harness_conf.busy_poll_us = busy_poll_us;
    world_open(&t.w, &hears, 1);
    t.fd = client_connect(&t.w);
    t.end_ms = end_ms;
    t.pause.fire = on_pause;
    timer_start(t.w.loop, &t.pause, PAUSE_MS);
}

static void end(void) {
    t.silent = true; /* closing polls, too */
    timer_stop(t.w.loop, &t.pause);
    close(t.fd);
    world_close(&t.w);
}

static void test_never_unless_asked(void **state) {
    (void)state;
    begin(0, clock_mono_ms() + STORY_MS);
    run(on_turn);
    assert_int_equal(t.looks, 0);
    end();
}

static void test_only_while_work_comes_soon(void **state) {
    unsigned looks;

    (void)state;
    begin(POLL_US, INT64_MAX);
    run(on_turn);
    assert_int_equal(t.looks, LOOKS);
    t.silent = true;
    for (int i = 0; i < 2; i++) { /* what has come last, and the first long wait */
        t.pauses = 0;
        run(on_silent_turn);
    }
    looks = t.looks;
    t.pauses = 0;
    run(on_silent_turn);
    assert_int_equal(t.looks, looks);
    end();
}

static void test_rests_where_others_want_the_core(void **state) {
    (void)state;
    begin(POLL_US, clock_mono_ms() + STORY_MS);
    t.crowded = true;
    run(on_turn);
    assert_in_range(t.looks, 1, CROWDED_LOOKS_MAX);
    end();
}

/* Each test says itself how long is polled: once for each kind of loop. */
static int all(void) {
    if (harness_conf.busy_poll_us > 0)
        return 0;

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_unless_asked),
        cmocka_unit_test(test_only_while_work_comes_soon),
        cmocka_unit_test(test_rests_where_others_want_the_core),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("busy_poll", all);
}
