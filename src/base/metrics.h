/* metrics.h - counters, gauges and histograms, sharded by thread.
 *
 * Families are fixed rows of metrics.def; each series (a family with one set
 * of labels) is made at start-up, so the number of series never depends on
 * what clients send. Every thread adds into its own shard without contention;
 * a reader sums the shards.
 *
 * Threads    metrics_series() at the start, one thread; others may work with theirs already. Each
 *            shard has one writing thread; metrics_sum() and metrics_histogram() any thread.
 *            Exemplars by a lock: only requests that have a span come there, a small share.
 * Limits     METRICS_SERIES_MAX series, labels under METRICS_LABELS_BYTES and named as
 *            the family says; all are asserted. A histogram has fixed bounds.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/trace_context.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* How a stored integer becomes the exposed base unit (Prometheus naming). */
enum metric_unit { UNIT_ONE, UNIT_BYTES, UNIT_SECONDS_FROM_US };

enum metric {
#define METRIC(id, type, unit, name, help)            METRIC_##id,
#define METRIC_BY(id, type, unit, name, labels, help) METRIC_##id,
#include "base/metrics.def"
#undef METRIC
#undef METRIC_BY
    METRIC_FAMILIES
};

struct metric_family {
    const char *name; /* "hgp_http_requests_total" */
    const char *help;
    const char *labels; /* their names: "route,method,code", or "" */
    enum metric_type type;
    enum metric_unit unit;
};

#define METRICS_SERIES_MAX   1024
#define METRICS_LABELS_BYTES 192
#define METRICS_BUCKETS                                                                            \
    24 /* upper bounds: 1, 2, 4 ... in the stored unit scaled by family; +Inf                      \
        */

struct metrics;
typedef unsigned metric_series;

const struct metric_family *metric_family(enum metric family);

/* 'shards': one for each writing thread. NULL when memory runs out. */
struct metrics *metrics_new(unsigned shards);
void metrics_free(struct metrics *metrics);

/* A series of 'family' with these labels, in Prometheus syntax without braces
 * ("route=\"/api\",code=\"200\"" or ""; copied). The same labels again give the
 * same series. */
metric_series metrics_series(struct metrics *metrics, enum metric family, const char *labels);

/* Counter: adds. Gauge: adds too (may be negative as unsigned wrap); shards are summed. */
void metrics_add(struct metrics *metrics, unsigned shard, metric_series series, uint64_t n);

/* Gauge: this shard's part becomes 'value'. */
void metrics_set(struct metrics *metrics, unsigned shard, metric_series series, uint64_t value);

/* Histogram: one observation in the family's stored unit. */
void metrics_observe(struct metrics *metrics, unsigned shard, metric_series series, uint64_t value);

/* A histogram's buckets remember the last traced request in them (OpenMetrics 1.0, "Exemplars"). */
struct exemplar {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES];
    uint64_t value; /* in the family's stored unit */
    int64_t at_ms;  /* since the Unix epoch; 0: there is none */
};

/* The request with this span was observed with 'value' at 'now_ms' (wall clock). The first one of
 * a series allocates 1.3 KB; without memory it has no exemplars. */
void metrics_exemplar(struct metrics *metrics, metric_series series, uint64_t value,
                      const struct trace_context *trace, int64_t now_ms);

/* Bucket 'i' of a histogram, METRICS_BUCKETS for +Inf. False: none yet. */
bool metrics_exemplar_of(struct metrics *metrics, metric_series series, unsigned i,
                         struct exemplar *out);

/* Sum over shards of a counter or gauge. */
uint64_t metrics_sum(const struct metrics *metrics, metric_series series);

struct metric_histogram {
    uint64_t buckets[METRICS_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    uint64_t count;
    uint64_t sum;
};
void metrics_histogram(const struct metrics *metrics, metric_series series,
                       struct metric_histogram *out);

/* Upper bound of bucket 'i' in the stored unit. */
uint64_t metrics_bound(unsigned i);

/* Every series in order of family, for a renderer. */
void metrics_each(const struct metrics *metrics,
                  void (*fn)(void *ctx, enum metric family, metric_series series,
                             const char *labels),
                  void *ctx);

#endif
