/* test_decimal.c - as printf has it: around each power of ten, at both ends, and at random. */
#include "base/decimal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/random.h"
#include "test.h"

static void check(uint64_t value) {
    char room[DECIMAL_BYTES];
    char want[32];

    (void)snprintf(want, sizeof(want), "%" PRIu64, value);
    struct slice got = decimal_u64(room, value);
    if (!slice_eq(got, slice_str(want)))
        fail_msg("%s: \"%.*s\"", want, SLICE_ARGS(got));
    (void)snprintf(want, sizeof(want), "%" PRId64, (int64_t)value);
    got = decimal_i64(room, (int64_t)value);
    if (!slice_eq(got, slice_str(want)))
        fail_msg("%s, signed: \"%.*s\"", want, SLICE_ARGS(got));
    assert_ptr_equal(got.ptr + got.len, room + DECIMAL_BYTES);
}

static void test_as_printf(void **state) {
    (void)state;
    uint64_t seed = 1;

    for (uint64_t value = 0; value < 20000; value++)
        check(value);
    for (uint64_t power = 1;; power *= 10) {
        for (uint64_t off = 0; off < 3; off++) {
            check(power + off - 1);
            check(0 - power - off + 1);
        }
        if (power > UINT64_MAX / 10)
            break;
    }
    check(INT64_MAX);
    check((uint64_t)INT64_MIN);
    check(UINT64_MAX);
    for (unsigned n = 0; n < 20000; n++)
        check(random_next(&seed) >> n % 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_printf)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
