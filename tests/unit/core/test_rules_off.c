/* test_rules_off.c - each rule taken away turns the property red, so the property can see it. */
#include <inttypes.h>

#include "core/rules.h"
#include "core_property.h"
#include "test.h"

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
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!first_difference(1ul << rows[i].rule))
            fail_msg("without \"%s\" %d seeds are still green", rows[i].name, SEEDS);
    }
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
