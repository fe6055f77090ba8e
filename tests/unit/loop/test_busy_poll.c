/* A loop that looks for more before it sleeps: only where it is asked to, not for ever, and what is
 * found ends it. The rest is every other test of loops, which run polling as well. */
#include "harness.h"

#include <time.h>

#include "base/attr.h"
#include "loop/mailbox.h"

#define POLL_US   1000
#define LOOKS     3
#define PAUSE_MS  20
#define RUN_TURNS 10

static struct loop *loop;
static struct timer timer;
static unsigned turns_left;
static unsigned looks;
static struct mail mail; /* sent at the look of that number, if it has a run() */

int __real_sched_yield(void);
int __wrap_sched_yield(void);

/* Behind each look that has found nothing. */
int __wrap_sched_yield(void) {
    if (++looks == LOOKS && mail.run)
        assert_int_equal(mailbox_send(loop_mailbox(loop), &mail), ERR_OK);
    return __real_sched_yield();
}

static void on_turn(struct timer *it) {
    if (turns_left-- == 0)
        loop_stop(loop);
    else
        timer_start(loop, it, PAUSE_MS);
}

static void on_mail(struct mail *it) {
    (void)it;
    loop_stop(loop);
}

/* Turns that have nothing to do, until there have been 'turns' or mail has come. */
static void run(uint32_t busy_poll_us, unsigned turns) {
    harness_conf.busy_poll_us = busy_poll_us;
    loop = harness_loop();
    looks = 0;
    turns_left = turns;
    timer.fire = on_turn;
    timer_start(loop, &timer, PAUSE_MS);
    assert_int_equal(loop_run(loop), ERR_OK);
    timer_stop(loop, &timer);
    loop_free(loop);
}

static int64_t cpu_ms(void) {
    struct timespec ts;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
    return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

static void test_never_unless_asked(void **state) {
    (void)state;
    mail.run = NULL;
    run(0, RUN_TURNS);
    assert_int_equal(looks, 0);
}

static void test_then_it_sleeps(void **state) {
    int64_t began_ms = cpu_ms();

    (void)state;
    mail.run = NULL;
    run(POLL_US, RUN_TURNS);
    assert_true(looks > 0);
    assert_in_range(cpu_ms() - began_ms, 0, RUN_TURNS * PAUSE_MS / 2);
}

static void test_mail_ends_it(void **state) {
    (void)state;
    mail.run = on_mail;
    run(POLL_US, UINT32_MAX);
    assert_int_equal(looks, LOOKS);
}

static int all(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_unless_asked),
        cmocka_unit_test(test_then_it_sleeps),
        cmocka_unit_test(test_mail_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("busy_poll", all);
}
