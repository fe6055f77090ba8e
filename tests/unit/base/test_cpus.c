/* test_cpus.c - quotas of a control group and those above it, in files like the kernel's. */
#include "base/cpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"
#include "test.h"

#define PATH_BYTES 96

static char root[] = "/tmp/hgp-cpus-XXXXXX";

/* Either "": not there. */
struct row {
    const char *membership;
    const char *top;   /* cpu.max of the root */
    const char *pod;   /* of /pod */
    const char *inner; /* of /pod/inner */
    double cpus;
};

static const struct row rows[] = {
    {"0::/\n", "max 100000\n", "", "", 0},
    {"0::/\n", "150000 100000\n", "", "", 1.5},
    {"0::/\n", "", "50000 100000\n", "", 0}, /* somebody else's */
    {"0::/pod/inner\n", "", "max 100000\n", "200000 100000\n", 2},
    {"0::/pod/inner\n", "", "25000 50000\n", "max 100000\n", 0.5},
    {"0::/pod/inner\n", "", "100000 100000\n", "400000 100000\n", 1},
    {"0::/pod/inner\n", "300000 100000\n", "400000 100000\n", "", 3},
    {"0::/gone\n", "100000 100000\n", "", "", 1},
    {"1:cpu:/pod\n0::/pod\n", "", "100000 200000\n", "", 0.5},
    {"1:cpu:/pod\n", "100000 100000\n", "100000 100000\n", "", 0}, /* version 1 alone */
    {"0::/pod\n", "", "100000 0\n", "", 0},
    {"0::/pod\n", "", "nonsense\n", "", 0},
    {"", "100000 100000\n", "", "", 0},
};

static void write_or_remove(const char *path, const char *text) {
    if (!*text) {
        (void)unlink(path);
        return;
    }
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_quota(void **state) {
    char pod[PATH_BYTES], inner[PATH_BYTES];
    char files[4][PATH_BYTES];

    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(pod, sizeof(pod), "%s/pod", root);
    snprintf(inner, sizeof(inner), "%s/pod/inner", root);
    assert_int_equal(mkdir(pod, 0700), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    snprintf(files[0], PATH_BYTES, "%s/membership", root);
    snprintf(files[1], PATH_BYTES, "%s/cpu.max", root);
    snprintf(files[2], PATH_BYTES, "%s/pod/cpu.max", root);
    snprintf(files[3], PATH_BYTES, "%s/pod/inner/cpu.max", root);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        write_or_remove(files[0], rows[i].membership);
        write_or_remove(files[1], rows[i].top);
        write_or_remove(files[2], rows[i].pod);
        write_or_remove(files[3], rows[i].inner);
        double cpus = cpus_quota(root, files[0]);
        if (cpus != rows[i].cpus)
            fail_msg("row %zu: %g, not %g", i, cpus, rows[i].cpus);
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        (void)unlink(files[i]);
    assert_int_equal(rmdir(inner), 0);
    assert_int_equal(rmdir(pod), 0);
    assert_int_equal(rmdir(root), 0);
}

static void test_at_least_one(void **state) {
    (void)state;
    assert_in_range(cpus_usable(), 1, (unsigned)sysconf(_SC_NPROCESSORS_CONF));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_at_least_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
