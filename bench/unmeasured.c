/* unmeasured.c - the service with metrics that nobody writes, to see what writing them costs.
 *
 * The linker puts these in the place of base/metrics.h's (--wrap, in meson.build), so
 * bench/observed has two programs of the same objects: bench_measured is the other. What callers do
 * for a metric beforehand, as a look at a clock, stays.
 *
 * Threads    Any.
 */
#include "base/metrics.h"

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): names that the linker
 * gives */
void __wrap_metrics_add(struct metrics *metrics, unsigned shard, metric_series series, uint64_t n);
void __wrap_metrics_set(struct metrics *metrics, unsigned shard, metric_series series,
                        uint64_t value);
void __wrap_metrics_observe(struct metrics *metrics, unsigned shard, metric_series series,
                            uint64_t value);

void __wrap_metrics_add(struct metrics *metrics, unsigned shard, metric_series series, uint64_t n) {
    (void)metrics, (void)shard, (void)series, (void)n;
}

void __wrap_metrics_set(struct metrics *metrics, unsigned shard, metric_series series,
                        uint64_t value) {
    (void)metrics, (void)shard, (void)series, (void)value;
}

void __wrap_metrics_observe(struct metrics *metrics, unsigned shard, metric_series series,
                            uint64_t value) {
    (void)metrics, (void)shard, (void)series, (void)value;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
