/* test_window.c - known, new or too old: by number, by age, by silence, over a restart. */
#include "core_fixture.h"

static struct answer send(struct fixture *f, struct producer_id producer, uint64_t number,
                          int64_t issued_ms) {
    struct op op = op_on(OP_ADD, "a", 1, NULL);
    struct message message = {producer, number, issued_ms, &op, 1};

    assert_int_equal(applier_apply(f->applier, &message, fixture_time(f), f->answers), ERR_OK);
    fixture_commit(f);
    return f->answers[0];
}

/* Each row starts with messages 10 and 100 applied (values 1 and 2): 36 and below are forgotten. */
static const struct {
    const char *name;
    uint64_t number;
    int64_t issued_ago_ms;
    enum err err;
    int64_t value;
} rows[] = {
    {"the newest again", 100, 0, ERR_OK, 2},
    {"forgotten, was applied", 10, 0, ERR_TOO_OLD, 0},
    {"forgotten, was never applied", 11, 0, ERR_TOO_OLD, 0},
    {"the highest forgotten", 100 - MESSAGE_WINDOW, 0, ERR_TOO_OLD, 0},
    {"the lowest that is still new", 101 - MESSAGE_WINDOW, 0, ERR_OK, 3},
    {"between", 99, 0, ERR_OK, 3},
    {"the next", 101, 0, ERR_OK, 3},
    {"exactly old enough", 101, MESSAGE_MAX_AGE_MS, ERR_OK, 3},
    {"a millisecond too old", 101, MESSAGE_MAX_AGE_MS + 1, ERR_TOO_OLD, 0},
    {"exactly ahead enough", 101, -MESSAGE_MAX_AHEAD_MS, ERR_OK, 3},
    {"too far ahead", 101, -MESSAGE_MAX_AHEAD_MS - 1, ERR_TOO_OLD, 0},
    {"too old, but in the window: a replay is safe", 100, 10 * MESSAGE_MAX_AGE_MS, ERR_OK, 2},
};

static void test_numbers_and_age(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
        size_t row = i / 2;
        struct fixture f;

        fixture_init(&f, 1);
        (void)send(&f, producer_a, 10, f.now_ms);
        (void)send(&f, producer_a, 100, f.now_ms);
        if (i % 2)
            fixture_reopen(&f);
        struct answer got =
            send(&f, producer_a, rows[row].number, f.now_ms - rows[row].issued_ago_ms);
        if (got.err != rows[row].err || got.value != rows[row].value)
            fail_msg("%s%s: %s %lld", rows[row].name, i % 2 ? " (reopened)" : "", err_name(got.err),
                     (long long)got.value);
        fixture_release(&f);
    }
}

static void test_forgets_records_with_numbers(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 1);
    for (uint64_t number = 1; number <= 3 * MESSAGE_WINDOW; number++)
        (void)send(&f, producer_a, number, f.now_ms);
    assert_int_equal(sim_kv_count(f.sim, KV_WINDOW), MESSAGE_WINDOW);
    (void)send(&f, producer_a, 1000, f.now_ms);
    assert_int_equal(sim_kv_count(f.sim, KV_WINDOW), 1);
    (void)send(&f, producer_a, UINT64_MAX, f.now_ms);
    assert_int_equal(send(&f, producer_a, 1000, f.now_ms).err, ERR_TOO_OLD);
    assert_int_equal(send(&f, producer_b, 1, f.now_ms).err, ERR_OK);
    fixture_release(&f);
}

static void tidy_at(struct fixture *f, int64_t now_ms) {
    f->now_ms = now_ms;
    assert_int_equal(applier_tidy(f->applier, fixture_time(f)), ERR_OK);
    fixture_commit(f);
}

static size_t producers(const struct fixture *f) {
    struct applier_stats stats;

    applier_stats(f->applier, &stats);
    return stats.producers;
}

static void test_keeps_silent_producers_long_enough(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 1);
    int64_t start_ms = f.now_ms;
    assert_int_equal(send(&f, producer_a, 1, start_ms).value, 1);
    tidy_at(&f, start_ms + PRODUCER_KEEP_MS - 1);
    assert_int_equal(producers(&f), 1);
    assert_int_equal(send(&f, producer_a, 1, start_ms).value, 1);
    tidy_at(&f, start_ms + PRODUCER_KEEP_MS);
    assert_int_equal(producers(&f), 0);
    assert_int_equal(sim_kv_count(f.sim, KV_WINDOW), 0);
    assert_int_equal(send(&f, producer_a, 1, start_ms).err, ERR_TOO_OLD);
    fixture_release(&f);
}

/* Issued by a clock that ran ahead: still young when the store's clock says the producer is silent.
 */
static void test_issue_ahead_is_kept_longer(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 1);
    int64_t issued_ms = f.now_ms + 200000;
    assert_int_equal(send(&f, producer_a, 1, issued_ms).value, 1);
    tidy_at(&f, issued_ms - 1);
    assert_int_equal(send(&f, producer_a, 1, issued_ms).value, 1);
    fixture_release(&f);
}

static void test_forgets_many_producers_in_bounded_steps(void **state) {
    (void)state;
    struct fixture f;
    unsigned calls = 0;

    fixture_init(&f, 1);
    for (uint64_t i = 1; i <= 100; i++)
        (void)send(&f, (struct producer_id){i * 77, i}, 1, f.now_ms);
    assert_int_equal(producers(&f), 100);
    f.now_ms += PRODUCER_KEEP_MS;
    while (producers(&f) && calls < 100) {
        size_t had = producers(&f);

        tidy_at(&f, f.now_ms);
        assert_true(had - producers(&f) < 20);
        calls++;
    }
    assert_int_equal(producers(&f), 0);
    fixture_release(&f);
}

/* Half of a message known, half too old: each lane decides for itself, right. */
static void test_lanes_judge_alone(void **state) {
    (void)state;
    struct fixture f;
    struct op both[16];
    size_t refused = 0;

    fixture_init(&f, 16);
    char ids[16][8];
    for (size_t i = 0; i < 16; i++) {
        snprintf(ids[i], sizeof(ids[i]), "r%zu", i);
        both[i] = op_on(OP_ADD, ids[i], 1, NULL);
    }
    fixture_apply(&f, producer_a, 1, both, 16);
    /* Moves on the window of one lane only. */
    fixture_apply(&f, producer_a, 1 + MESSAGE_WINDOW, both, 1);
    fixture_apply(&f, producer_a, 1, both, 16);
    fixture_commit(&f);
    assert_int_equal(f.answers[0].err, ERR_TOO_OLD);
    for (size_t i = 0; i < 16; i++) {
        refused += f.answers[i].err == ERR_TOO_OLD;
        if (f.answers[i].err == ERR_OK)
            assert_int_equal(f.answers[i].value, 1);
    }
    assert_in_range(refused, 1, 15);
    fixture_release(&f);
}

static void test_other_operations_under_a_known_number(void **state) {
    (void)state;
    struct fixture f;
    struct op ops[] = {op_on(OP_ADD, "a", 1, NULL), op_on(OP_ADD, "a", 1, NULL)};

    fixture_init(&f, 1);
    fixture_apply(&f, producer_a, 1, ops, 1);
    fixture_apply(&f, producer_a, 1, ops, 2);
    fixture_commit(&f);
    assert_int_equal(f.answers[0].err, ERR_INVALID);
    assert_int_equal(fixture_one(&f, 2, op_on(OP_GET, "a", 0, NULL)).value, 1);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_and_age),
        cmocka_unit_test(test_forgets_records_with_numbers),
        cmocka_unit_test(test_keeps_silent_producers_long_enough),
        cmocka_unit_test(test_issue_ahead_is_kept_longer),
        cmocka_unit_test(test_forgets_many_producers_in_bounded_steps),
        cmocka_unit_test(test_lanes_judge_alone),
        cmocka_unit_test(test_other_operations_under_a_known_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
