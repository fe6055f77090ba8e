/* test_resident.c - what goes, what stays, by the kernel's own count. */
#include "base/resident.h"

#include <stdio.h>

#include "test.h"

#define BYTES      ((size_t)4 << 20)
#define PAGE_BYTES 4096

/* Not all zero, or it would be no part of the file. */
static const char constant[BYTES] = {[0] = 'a', [BYTES - 1] = 'z'};
static char variable[BYTES] = {[0] = 'a'};

/* Walked now: the sums that the kernel keeps lag behind. */
static size_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    unsigned long kib = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "Rss: %lu kB", &kib) == 1)
            break;
    fclose(file);
    assert_true(kib > 0);
    return (size_t)kib << 10;
}

static void touch(const volatile char *bytes) {
    for (size_t at = 0; at < BYTES; at += PAGE_BYTES)
        (void)bytes[at];
}

static void test_constants_go_and_come_back(void **state) {
    (void)state;
    for (size_t at = 0; at < BYTES; at += PAGE_BYTES)
        variable[at] = 'b';
    touch(constant);
    size_t before = resident_bytes();

    resident_trim();
    size_t trimmed = resident_bytes();

    if (trimmed > before - BYTES / 2)
        fail_msg("%zu bytes before, %zu behind", before, trimmed);
    assert_true(trimmed > BYTES); /* what was written is there, as it was */
    for (size_t at = 0; at < BYTES; at += PAGE_BYTES)
        assert_int_equal(variable[at], 'b');
    touch(constant);
    assert_true(resident_bytes() > trimmed + BYTES / 2);
    assert_int_equal(constant[BYTES - 1], 'z');
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_constants_go_and_come_back)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
