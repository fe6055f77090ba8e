/* test_clock_steps.c - the machine's wall clock is corrected: nothing is applied twice, and nothing
 * new is refused, in the same process and after a restart. */
#include "core_fixture.h"

#define STEP_MS 3600000

static struct answer apply_issued(struct fixture *f, struct producer_id producer, uint64_t number,
                                  int64_t issued_ms) {
    struct op add = op_on(OP_ADD, "a", 5, NULL);
    struct message message = {producer, number, issued_ms, &add, 1};

    assert_int_equal(applier_apply(f->applier, &message, fixture_time(f), f->answers), ERR_OK);
    fixture_commit(f);
    return f->answers[0];
}

static void tidy(struct fixture *f) {
    assert_int_equal(applier_tidy(f->applier, fixture_time(f)), ERR_OK);
    fixture_commit(f);
}

static size_t producers(const struct fixture *f) {
    struct applier_stats stats;

    applier_stats(f->applier, &stats);
    return stats.producers;
}

/* The wall clock is an hour ahead since the machine started, then NTP corrects it. */
static const struct {
    const char *name;
    bool reopened_before; /* while it is ahead: the store's clock is, too */
    bool reopened_after;
} rows[] = {
    {"the same process", false, false},
    {"started again while ahead", true, false},
    {"started again when corrected", false, true},
    {"started again twice", true, true},
};

static void test_corrected_clock(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        int64_t issued_ms[4];

        fixture_init(&f, 1);
        issued_ms[1] = fixture_clock(&f);
        assert_answer(apply_issued(&f, producer_a, 1, issued_ms[1]), ERR_OK, false, 5);
        f.wall_ahead_ms = STEP_MS;
        if (rows[i].reopened_before)
            fixture_reopen(&f);
        f.now_ms += PRODUCER_KEEP_MS;
        tidy(&f);
        assert_int_equal(producers(&f), 0);
        issued_ms[2] = fixture_clock(&f);
        assert_answer(apply_issued(&f, producer_a, 2, issued_ms[2]), ERR_OK, false, 10);
        issued_ms[3] = fixture_clock(&f); /* on its way when the clock is corrected */
        f.wall_ahead_ms = 0;
        f.now_ms += 10;
        if (rows[i].reopened_after)
            fixture_reopen(&f);
        /* At once: those who were there, and a new one. */
        if (apply_issued(&f, producer_a, 3, issued_ms[3]).value != 15 ||
            apply_issued(&f, producer_a, 4, fixture_clock(&f)).value != 20 ||
            apply_issued(&f, producer_b, 1, fixture_clock(&f)).value != 25)
            fail_msg("%s: %s", rows[i].name, err_name(f.answers[0].err));
        /* Its window is forgotten; that of the second isn't. */
        assert_answer(apply_issued(&f, producer_a, 1, issued_ms[1]), ERR_TOO_OLD, false, 0);
        assert_answer(apply_issued(&f, producer_a, 2, issued_ms[2]), ERR_OK, false, 10);
        assert_answer(fixture_one(&f, 5, op_on(OP_GET, "a", 0, NULL)), ERR_OK, false, 25);
        fixture_release(&f);
    }
}

/* Nothing but forgetting is written while the clock is ahead. */
static void test_forgotten_while_ahead(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 1);
    int64_t issued_ms = fixture_clock(&f);
    assert_answer(apply_issued(&f, producer_a, 1, issued_ms), ERR_OK, false, 5);
    f.wall_ahead_ms = STEP_MS;
    fixture_reopen(&f);
    tidy(&f);
    assert_int_equal(producers(&f), 0);
    int64_t learned_ms = fixture_clock(&f);
    assert_true(learned_ms >= issued_ms + STEP_MS);
    f.wall_ahead_ms = 0;
    fixture_reopen(&f);
    assert_answer(apply_issued(&f, producer_a, 1, issued_ms), ERR_TOO_OLD, false, 0);
    assert_answer(apply_issued(&f, producer_a, 2, learned_ms), ERR_OK, false, 10);
    assert_answer(apply_issued(&f, producer_b, 1, fixture_clock(&f)), ERR_OK, false, 15);
    fixture_release(&f);
}

/* A step forward passes no time: what is on its way isn't old, nobody was silent, no key and no
 * entry of the outbox has aged; event times follow at once. */
static void test_step_forward(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 1);
    int64_t issued_ms = fixture_clock(&f);
    assert_false(fixture_one(&f, 1, op_on(OP_ADD, "a", 5, "k")).replayed);
    f.wall_ahead_ms = 100 * f.conf.outbox_max_age_ms;
    tidy(&f);
    assert_int_equal(producers(&f), 1);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 1);
    assert_answer(apply_issued(&f, producer_a, 2, issued_ms), ERR_OK, false, 10);
    assert_int_equal(f.answers[0].time_ms, f.now_ms + f.wall_ahead_ms);
    assert_true(fixture_one(&f, 3, op_on(OP_ADD, "a", 5, "k")).replayed);
    fixture_release(&f);
}

/* A step back makes nothing young again: age counts on. */
static void test_step_back(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 1);
    int64_t issued_ms = fixture_clock(&f);
    int64_t et_ms = apply_issued(&f, producer_a, 1, issued_ms).time_ms;
    f.wall_ahead_ms = -STEP_MS;
    f.now_ms += MESSAGE_MAX_AGE_MS + 1;
    assert_answer(apply_issued(&f, producer_b, 1, issued_ms), ERR_TOO_OLD, false, 0);
    assert_answer(apply_issued(&f, producer_b, 2, issued_ms + 1), ERR_OK, false, 10);
    assert_true(f.answers[0].time_ms == et_ms); /* stands still */
    f.now_ms = issued_ms + PRODUCER_KEEP_MS;
    tidy(&f);
    assert_int_equal(producers(&f), 1);
    fixture_release(&f);
}

/* The outbox is as old as both clocks say. */
static void test_outbox_ages_by_both_clocks(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 1);
    (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 5, NULL));
    f.wall_ahead_ms = -STEP_MS;
    f.now_ms += f.conf.outbox_max_age_ms;
    tidy(&f);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 1);
    f.now_ms += STEP_MS;
    tidy(&f);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 0);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corrected_clock),
        cmocka_unit_test(test_forgotten_while_ahead),
        cmocka_unit_test(test_step_forward),
        cmocka_unit_test(test_step_back),
        cmocka_unit_test(test_outbox_ages_by_both_clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
