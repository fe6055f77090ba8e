/* test_commit.c - one atomic write, failures of the store, and what a sync covers. */
#include "core_fixture.h"

static uint64_t syncs(const struct fixture *f) {
    struct sim_kv_stats stats;

    sim_kv_stats(f->sim, &stats);
    return stats.syncs;
}

static uint64_t commits(const struct fixture *f) {
    struct sim_kv_stats stats;

    sim_kv_stats(f->sim, &stats);
    return stats.commits;
}

static void test_empty_group_costs_nothing(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 4);
    (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 1, NULL));
    uint64_t had_commits = commits(&f);
    uint64_t had_syncs = syncs(&f);
    (void)fixture_one(&f, 2, op_on(OP_GET, "a", 0, NULL));
    (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 1, NULL));
    assert_int_equal(applier_tidy(f.applier, fixture_time(&f)), ERR_OK);
    fixture_commit(&f);
    assert_int_equal(commits(&f), had_commits);
    assert_int_equal(syncs(&f), had_syncs);
    fixture_release(&f);
}

/* "Duplicate hit + WAIT": the original isn't on disk yet, its duplicate stages nothing. */
static void test_duplicate_makes_the_original_durable(void **state) {
    (void)state;
    static const bool restarted[] = {false, true};

    for (size_t i = 0; i < ARRAY_LEN(restarted); i++) {
        struct fixture f;
        struct op add = op_on(OP_ADD, "a", 1, NULL);

        fixture_init(&f, 4);
        fixture_apply(&f, producer_a, 1, &add, 1);
        assert_int_equal(applier_commit(f.applier, false), ERR_OK);
        assert_int_equal(sim_kv_volatile_commits(f.sim), 1);
        if (restarted[i])
            fixture_reopen(&f);
        assert_answer(fixture_one(&f, 1, add), ERR_OK, false, 1);
        applier_close(f.applier);
        sim_kv_crash(f.sim, 0);
        fixture_open(&f);
        assert_int_equal(fixture_one(&f, 2, op_on(OP_GET, "a", 0, NULL)).value, 1);
        fixture_release(&f);
    }
}

/* A commit of unknown outcome: nothing works until the store is opened again; then the retry of the
 * same message is right whether it had arrived or not. */
static void test_unknown_outcome(void **state) {
    (void)state;
    for (int applied = 0; applied < 2; applied++) {
        struct fixture f;
        struct op add = op_on(OP_ADD, "a", 5, "k");
        struct message message = {producer_a, 2, 0, &add, 1};

        fixture_init(&f, 4);
        message.issued_ms = f.now_ms;
        (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 1, NULL));
        fixture_apply(&f, producer_a, 2, &add, 1);
        sim_kv_fail_commit(f.sim, applied);
        assert_int_equal(applier_commit(f.applier, true), ERR_IO);
        assert_int_equal(applier_commit(f.applier, true), ERR_IO);
        assert_int_equal(applier_apply(f.applier, &message, fixture_time(&f), f.answers), ERR_IO);
        assert_int_equal(applier_tidy(f.applier, fixture_time(&f)), ERR_IO);
        fixture_reopen(&f);
        assert_answer(fixture_one(&f, 2, add), ERR_OK, false, 6);
        assert_int_equal(fixture_one(&f, 3, op_on(OP_GET, "a", 0, NULL)).value, 6);
        fixture_release(&f);
    }
}

static void test_read_failure_breaks_the_group(void **state) {
    (void)state;
    struct fixture f;
    struct op ops[] = {op_on(OP_ADD, "a", 1, NULL), op_on(OP_ADD, "b", 1, "k")};
    struct message message = {producer_a, 1, 0, ops, 2};

    for (unsigned read = 0; read < 4; read++) { /* two counters, two generations of the key */
        fixture_init(&f, 4);
        message.issued_ms = f.now_ms;
        sim_kv_fail_read(f.sim, read);
        assert_int_equal(applier_apply(f.applier, &message, fixture_time(&f), f.answers), ERR_IO);
        assert_int_equal(applier_commit(f.applier, true), ERR_IO);
        fixture_reopen(&f);
        fixture_apply(&f, producer_a, 1, ops, 2);
        fixture_commit(&f);
        assert_int_equal(f.answers[1].value, 1);
        fixture_release(&f);
    }
}

static void test_power_loss_keeps_whole_groups(void **state) {
    (void)state;
    for (size_t keep = 0; keep <= 3; keep++) {
        struct fixture f;
        struct op ops[] = {op_on(OP_ADD, "a", 1, NULL), op_on(OP_ADD, "b", 1, "k")};

        fixture_init(&f, 4);
        for (uint64_t number = 1; number <= 3; number++) {
            fixture_apply(&f, producer_a, number, ops, 1);
            assert_int_equal(applier_commit(f.applier, false), ERR_OK);
        }
        applier_close(f.applier);
        sim_kv_crash(f.sim, keep);
        fixture_open(&f);
        assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), keep);
        assert_int_equal(sim_kv_count(f.sim, KV_WINDOW), keep);
        /* All three are sent again and end where they would have. */
        for (uint64_t number = 1; number <= 3; number++)
            assert_int_equal(fixture_one(&f, number, ops[0]).value, number);
        fixture_release(&f);
    }
}

static const struct {
    const char *name;
    struct op op;
} invalid[] = {
    {"no resource", {OP_ADD, 1, {"", 0}, {"like", 4}, {NULL, 0}}},
    {"no type", {OP_ADD, 1, {"a", 1}, {NULL, 0}, {NULL, 0}}},
    {"a zero byte in the resource", {OP_ADD, 1, {"a\0b", 3}, {"like", 4}, {NULL, 0}}},
    {"a zero byte in the type", {OP_GET, 1, {"a", 1}, {"li\0e", 4}, {NULL, 0}}},
    {"a delta of 0", {OP_ADD, 0, {"a", 1}, {"like", 4}, {NULL, 0}}},
    {"no such operation", {(enum op_kind)7, 1, {"a", 1}, {"like", 4}, {NULL, 0}}},
};

static void test_invalid_operations_fail_alone(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
        struct fixture f;
        struct op ops[] = {op_on(OP_ADD, "a", 1, NULL), invalid[i].op, op_on(OP_ADD, "a", 1, NULL)};

        fixture_init(&f, 4);
        for (int again = 0; again < 2; again++) {
            fixture_apply(&f, producer_a, 1, ops, 3);
            fixture_commit(&f);
            if (f.answers[0].value != 1 || f.answers[1].err != ERR_INVALID ||
                f.answers[2].value != 2)
                fail_msg("%s: %s", invalid[i].name, err_name(f.answers[1].err));
        }
        fixture_release(&f);
    }
}

static void test_number_zero_is_refused(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 4);
    assert_int_equal(fixture_one(&f, 0, op_on(OP_ADD, "a", 1, NULL)).err, ERR_INVALID);
    assert_int_equal(fixture_one(&f, 1, op_on(OP_GET, "a", 0, NULL)).value, 0);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_group_costs_nothing),
        cmocka_unit_test(test_duplicate_makes_the_original_durable),
        cmocka_unit_test(test_unknown_outcome),
        cmocka_unit_test(test_read_failure_breaks_the_group),
        cmocka_unit_test(test_power_loss_keeps_whole_groups),
        cmocka_unit_test(test_invalid_operations_fail_alone),
        cmocka_unit_test(test_number_zero_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
