/* test_siphash.c - the reference vectors: key 00 .. 0f, message 00 01 02 .. */
#include "base/siphash.h"

#include "base/attr.h"
#include "test.h"

static const struct {
    size_t len;
    uint64_t want;
} rows[] = {
    {0, 0x726fdb47dd0e0e31u},
    {1, 0x74f839c593dc67fdu},
    {8, 0x93f5f5799a932462u},
    {15, 0xa129ca6149be45e5u}, /* the paper's appendix A */
};

static void test_reference_vectors(void **state) {
    (void)state;
    const uint64_t seed[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    const char message[] = "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16";

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t got = siphash(seed, slice_of(message, rows[i].len));

        if (got != rows[i].want)
            fail_msg("length %zu: %016llx", rows[i].len, (unsigned long long)got);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference_vectors)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
