/* test_property.c - the applier answers and stores what the naive model does. */
#include <inttypes.h>
#include <stdlib.h>

#include "core_property.h"
#include "test.h"

#define SEEDS 3000

/* HGP_SEED runs that one alone. */
static void test_equals_model(void **state) {
    (void)state;
    const char *only = getenv("HGP_SEED");
    uint64_t from = only ? strtoull(only, NULL, 10) : 1;
    uint64_t to = only ? from : SEEDS;

    for (uint64_t seed = from; seed <= to; seed++) {
        const char *difference = core_property_run(seed);

        if (difference)
            fail_msg("HGP_SEED=%" PRIu64 ": %s", seed, difference);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equals_model)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
