/* test_rules_off.c - each rule taken away turns the property red, so the property can see it. */
#include <inttypes.h>

#include "core/rules.h"
#include "core_fixture.h"
#include "core_property.h"

#define SEEDS 200

static const char *first_difference(unsigned long off) {
    const char *difference = NULL;

    rules_off = off;
    for (uint64_t seed = 1; seed <= SEEDS && !difference; seed++)
        difference = core_property_run(seed);
    rules_off = 0;
    return difference;
}

static const struct {
    const char *name;
    enum rule rule;
} rows[] = {
    {"dedup", RULE_DEDUP},
    {"too old", RULE_TOO_OLD},
    {"age", RULE_AGE},
    {"keep producer", RULE_KEEP_PRODUCER},
    {"key record", RULE_KEY_RECORD},
    {"fingerprint", RULE_FINGERPRINT},
    {"range", RULE_RANGE},
    {"coalesce sign", RULE_COALESCE_SIGN},
    {"clamp time", RULE_CLAMP_TIME},
};

static void test_each_rule_is_needed(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!first_difference(1ul << rows[i].rule))
            fail_msg("without \"%s\" %d seeds are still green", rows[i].name, SEEDS);
    }
}

static enum err add_delta(void *ctx, const struct outbox_entry *entry,
                          const struct outbox_event *event) {
    (void)entry;
    *(int64_t *)ctx += event->delta;
    return ERR_OK;
}

static enum err subtract_value(void *ctx, const struct inspect_counter *counter) {
    *(int64_t *)ctx -= counter->value;
    return ERR_OK;
}

/* Sum of deltas less sum of values after a power loss at every point of a group's write. */
static int64_t worst_after_power_loss(void) {
    struct op op = op_on(OP_ADD, "a", 5, NULL);
    int64_t worst = 0;
    size_t volatile_commits = 0;

    for (size_t keep = 0; keep <= volatile_commits; keep++) {
        struct fixture f;
        int64_t rest = 0;

        fixture_init(&f, 2);
        fixture_apply(&f, producer_a, 1, &op, 1);
        assert_int_equal(applier_commit(f.applier, false), ERR_OK);
        volatile_commits = sim_kv_volatile_commits(f.sim);
        sim_kv_crash(f.sim, keep);
        assert_int_equal(inspect_outbox(sim_kv_base(f.sim), add_delta, &rest), ERR_OK);
        assert_int_equal(inspect_counters(sim_kv_base(f.sim), subtract_value, &rest), ERR_OK);
        worst = rest ? rest : worst;
        fixture_release(&f);
    }
    return worst;
}

static void test_one_write(void **state) {
    (void)state;
    assert_int_equal(worst_after_power_loss(), 0);
    rules_off = 1ul << RULE_ONE_WRITE;
    assert_int_not_equal(worst_after_power_loss(), 0);
    rules_off = 0;
}

static void test_green_with_all_rules(void **state) {
    (void)state;
    const char *difference = first_difference(0);

    if (difference)
        fail_msg("%s", difference);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_green_with_all_rules),
        cmocka_unit_test(test_each_rule_is_needed),
        cmocka_unit_test(test_one_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
