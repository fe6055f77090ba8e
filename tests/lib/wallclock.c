/* wallclock.c - a preloaded module that moves the wall clock of one process.
 *
 * CLOCK_REALTIME is ahead by what is in the file WALLCLOCK_AHEAD: 8 bytes, milliseconds, this
 * machine's byte order. A test writes there to step the clock while the process runs. Other
 * clocks go as they go.
 *
 * Threads    Any.
 * Limits     What asks the kernel past libc isn't seen.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead_ms;

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("WALLCLOCK_AHEAD");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*ahead_ms), PROT_READ, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        abort();
    ahead_ms = at;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *out) {
    long result = syscall(SYS_clock_gettime, id, out);

    if (result == 0 && id == CLOCK_REALTIME && ahead_ms) {
        int64_t ns = out->tv_nsec + *ahead_ms % 1000 * 1000000 + 1000000000;

        out->tv_sec += *ahead_ms / 1000 + ns / 1000000000 - 1;
        out->tv_nsec = ns % 1000000000;
    }
    return (int)result;
}
