/* clock.c - clock_gettime, in the units the code uses. */
#include "base/clock.h"

#include <time.h>

#define NS_PER_S  1000000000LL
#define NS_PER_MS 1000000LL

static int64_t read_ns(clockid_t id) {
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_mono_ns(void) {
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void) {
    return read_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

int64_t clock_wall_ns(void) {
    return read_ns(CLOCK_REALTIME);
}

int64_t clock_wall_ms(void) {
    return read_ns(CLOCK_REALTIME) / NS_PER_MS;
}
