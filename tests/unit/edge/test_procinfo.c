/* test_procinfo.c - the figures move with what the process does. */
#include "edge/procinfo.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static struct prom_process read_now(void) {
    struct prom_process process;

    assert_int_equal(procinfo_read(&process), ERR_OK);
    return process;
}

static void test_plausible(void **state) {
    (void)state;
    struct prom_process process = read_now();
    struct rlimit fds;
    double now = (double)time(NULL);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &fds), 0);
    assert_true(process.max_fds == (double)fds.rlim_cur);
    assert_true(process.resident_memory_bytes > 100e3);
    assert_true(process.virtual_memory_bytes >= process.resident_memory_bytes);
    assert_true(process.start_time_seconds > now - 3600);
    assert_true(process.start_time_seconds < now + 3);
    assert_true(process.cpu_seconds >= 0 && process.cpu_seconds < 3600);
}

static void test_counts_descriptors(void **state) {
    (void)state;
    double before = read_now().open_fds;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(read_now().open_fds == before + 1);
    close(fd);
    assert_true(read_now().open_fds == before);
}

/* A name that looks like more fields. */
static void test_nasty_name(void **state) {
    (void)state;
    struct prom_process before = read_now();

    assert_int_equal(prctl(PR_SET_NAME, "a) S 1 ) 2", 0, 0, 0), 0);
    assert_true(read_now().start_time_seconds == before.start_time_seconds);
    assert_true(read_now().virtual_memory_bytes >= before.virtual_memory_bytes / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plausible),
        cmocka_unit_test(test_counts_descriptors),
        cmocka_unit_test(test_nasty_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
