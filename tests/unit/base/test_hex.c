/* test_hex.c - as printf has it: each digit at each place, both ends, and at random. */
#include "base/hex.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/random.h"
#include "test.h"

static void check(uint64_t value) {
    char room[HEX_U64_BYTES];
    char want[32];

    (void)snprintf(want, sizeof(want), "%016" PRIx64, value);
    struct slice got = hex_u64(room, value);
    if (!slice_eq(got, slice_str(want)))
        fail_msg("%s: \"%.*s\"", want, SLICE_ARGS(got));
}

static void test_as_printf(void **state) {
    (void)state;
    uint64_t seed = 1;

    for (uint64_t digit = 0; digit < 16; digit++)
        for (unsigned place = 0; place < 64; place += 4)
            check(digit << place);
    check(UINT64_MAX);
    for (int i = 0; i < 10000; i++)
        check(random_next(&seed));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_printf)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
