/* test_keys.c - a client's key: same again, other payload, other scope, and how long it lives. */
#include "core_fixture.h"

/* Each row follows ADD 5 with key "k" on counter "a" (now 5). */
static const struct {
    const char *name;
    struct op op;
    enum err err;
    bool replayed;
    int64_t value;
} rows[] = {
    {"same again", {OP_ADD, 5, {"a", 1}, {"like", 4}, {"k", 1}}, ERR_OK, true, 5},
    {"other payload", {OP_ADD, 6, {"a", 1}, {"like", 4}, {"k", 1}}, ERR_MISMATCH, false, 0},
    {"other key", {OP_ADD, 5, {"a", 1}, {"like", 4}, {"kk", 2}}, ERR_OK, false, 10},
    {"no key", {OP_ADD, 5, {"a", 1}, {"like", 4}, {NULL, 0}}, ERR_OK, false, 10},
    {"an empty key is a key", {OP_ADD, 5, {"a", 1}, {"like", 4}, {"", 0}}, ERR_OK, false, 10},
    {"other resource", {OP_ADD, 5, {"b", 1}, {"like", 4}, {"k", 1}}, ERR_OK, false, 5},
    {"other type", {OP_ADD, 5, {"a", 1}, {"view", 4}, {"k", 1}}, ERR_OK, false, 5},
    {"other operation", {OP_SET, 5, {"a", 1}, {"like", 4}, {"k", 1}}, ERR_OK, false, 5},
    {"a read takes no notice", {OP_GET, 0, {"a", 1}, {"like", 4}, {"k", 1}}, ERR_OK, false, 5},
};

enum { SAME_MESSAGE, SAME_GROUP, NEXT_GROUP, RESTARTED, WHENS };

static void run_row(size_t row, int when) {
    struct fixture f;
    struct op ops[] = {op_on(OP_ADD, "a", 5, "k"), rows[row].op};
    struct answer got;

    fixture_init(&f, 4);
    if (when == SAME_MESSAGE) {
        fixture_apply(&f, producer_a, 1, ops, 2);
        fixture_commit(&f);
        got = f.answers[1];
    } else {
        fixture_apply(&f, producer_a, 1, ops, 1);
        if (when != SAME_GROUP)
            fixture_commit(&f);
        if (when == RESTARTED)
            fixture_reopen(&f);
        got = fixture_one(&f, 2, rows[row].op);
    }
    if (got.err != rows[row].err || got.replayed != rows[row].replayed ||
        got.value != rows[row].value)
        fail_msg("%s (when %d): %s %d %lld", rows[row].name, when, err_name(got.err), got.replayed,
                 (long long)got.value);
    fixture_release(&f);
}

static void test_scope_and_fingerprint(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        for (int when = 0; when < WHENS; when++)
            run_row(row, when);
    }
}

/* Refused for range: the same key may succeed later. */
static void test_only_applied_is_recorded(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 4);
    (void)fixture_one(&f, 1, op_on(OP_SET, "a", INT64_MAX, NULL));
    assert_answer(fixture_one(&f, 2, op_on(OP_ADD, "a", 1, "k")), ERR_RANGE, false, INT64_MAX);
    (void)fixture_one(&f, 3, op_on(OP_SET, "a", 7, NULL));
    assert_answer(fixture_one(&f, 4, op_on(OP_ADD, "a", 1, "k")), ERR_OK, false, 8);
    assert_answer(fixture_one(&f, 5, op_on(OP_ADD, "a", 1, "k")), ERR_OK, true, 8);
    fixture_release(&f);
}

static void test_replay_leaves_no_trace(void **state) {
    (void)state;
    struct fixture f;
    struct applier_stats stats;

    fixture_init(&f, 1);
    struct answer first = fixture_one(&f, 1, op_on(OP_ADD, "a", 5, "k"));
    f.now_ms += 500;
    struct answer again = fixture_one(&f, 2, op_on(OP_ADD, "a", 5, "k"));
    assert_true(again.replayed);
    assert_int_equal(again.time_ms, first.time_ms);
    applier_stats(f.applier, &stats);
    assert_int_equal(stats.events_total, 1);
    assert_int_equal(stats.operations_total, 1);
    assert_int_equal(stats.replayed_keys_total, 1);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 1);
    fixture_release(&f);
}

#define TTL 3600000

/* Recorded 'into' milliseconds into a generation, used again 'later' ms after that. */
static const struct {
    const char *name;
    int64_t into_ms;
    int64_t later_ms;
    bool replayed;
} lives[] = {
    {"within the generation", 0, TTL - 1, true},
    {"a ttl later", 0, TTL, true},
    {"nearly two ttl later", 0, 2 * TTL - 1, true},
    {"two ttl later", 0, 2 * TTL, false},
    {"recorded late, a ttl later", TTL - 1, TTL, true},
    {"recorded late, a ttl and a bit later", TTL - 1, TTL + 1, false},
    {"very much later", 5, 1000ll * TTL, false},
};

static void test_lives_one_to_two_ttl(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lives) * 2; i++) {
        struct fixture f;
        size_t row = i / 2;

        fixture_init(&f, 2);
        f.now_ms = 100ll * TTL + lives[row].into_ms;
        (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 5, "k"));
        f.now_ms += lives[row].later_ms / 2;
        struct answer half = fixture_one(&f, 2, op_on(OP_ADD, "a", 5, "k"));
        if (lives[row].later_ms < 4 * TTL)
            assert_true(half.replayed); /* must not prolong */
        f.now_ms += lives[row].later_ms - lives[row].later_ms / 2;
        if (i % 2)
            fixture_reopen(&f);
        if (half.replayed &&
            fixture_one(&f, 3, op_on(OP_ADD, "a", 5, "k")).replayed != lives[row].replayed)
            fail_msg("%s", lives[row].name);
        fixture_release(&f);
    }
}

static void test_old_generations_are_deleted(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 2);
    f.now_ms = 100ll * TTL;
    (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 5, "k"));
    (void)fixture_one(&f, 2, op_on(OP_ADD, "b", 5, "k"));
    for (int turn = 0; turn < 3; turn++) {
        assert_int_equal(sim_kv_count(f.sim, KV_KEY), turn < 2 ? 2 : 0);
        f.now_ms += TTL;
        assert_int_equal(applier_tidy(f.applier, fixture_time(&f)), ERR_OK);
        fixture_commit(&f);
    }
    assert_int_equal(sim_kv_count(f.sim, KV_KEY), 0);
    fixture_release(&f);
}

/* A shorter ttl in a later start must not cut what was promised before its next generations. */
static void test_ttl_changed(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 2);
    f.now_ms = 100ll * TTL + TTL / 2;
    (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 5, "k"));
    f.conf.key_ttl_ms = TTL / 60;
    fixture_reopen(&f);
    f.now_ms += TTL / 60;
    assert_true(fixture_one(&f, 2, op_on(OP_ADD, "a", 5, "k")).replayed);
    f.now_ms += 2 * TTL / 60;
    assert_false(fixture_one(&f, 3, op_on(OP_ADD, "a", 5, "k")).replayed);
    f.conf.key_ttl_ms = 10 * TTL;
    fixture_reopen(&f);
    f.now_ms += 10ll * TTL;
    assert_true(fixture_one(&f, 4, op_on(OP_ADD, "a", 5, "k")).replayed);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scope_and_fingerprint),
        cmocka_unit_test(test_only_applied_is_recorded),
        cmocka_unit_test(test_replay_leaves_no_trace),
        cmocka_unit_test(test_lives_one_to_two_ttl),
        cmocka_unit_test(test_old_generations_are_deleted),
        cmocka_unit_test(test_ttl_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
