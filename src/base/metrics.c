/* metrics.c - every shard is a run of cells; a series is where its cells begin.
 *
 *   shard 0  | counter | bucket 0 .. 24, sum | gauge | ...  one writer
 *   shard 1  | counter | bucket 0 .. 24, sum | gauge | ...  one writer
 *
 * Shards start on cache lines of their own. The run is calloc'd for the most
 * series there can be: pages that no series reaches are never touched.
 */
#include "base/metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE      64u
#define HISTOGRAM_CELLS (METRICS_BUCKETS + 2u) /* the buckets, +Inf and the sum */
#define SUM_CELL        (METRICS_BUCKETS + 1u)
#define LINE_CELLS      (CACHE_LINE / sizeof(uint64_t))
#define SHARD_CELLS                                                                                \
    ((METRICS_SERIES_MAX * HISTOGRAM_CELLS + 2 * LINE_CELLS - 1) / LINE_CELLS * LINE_CELLS)

struct series {
    enum metric family;
    unsigned cell; /* the first one, in each shard */
    char labels[METRICS_LABELS_BYTES];
};

struct metrics {
    _Atomic uint64_t *cells; /* aligned, inside 'memory' */
    void *memory;
    unsigned shards;
    atomic_uint count;   /* series made: those below it are there and stay */
    unsigned used_cells; /* in each shard */
    struct series series[METRICS_SERIES_MAX];

    struct { /* under the lock */
        pthread_mutex_t lock;
        struct exemplar *of[METRICS_SERIES_MAX]; /* METRICS_BUCKETS + 1 each, or NULL */
    } exemplars;
};

static const struct metric_family families[METRIC_FAMILIES] = {
#define METRIC(id, type, unit, name, help)            {name, help, "", type, unit},
#define METRIC_BY(id, type, unit, name, labels, help) {name, help, labels, type, unit},
#include "base/metrics.def"
#undef METRIC
#undef METRIC_BY
};

const struct metric_family *metric_family(enum metric family) {
    return &families[family];
}

struct metrics *metrics_new(unsigned shards) {
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    size_t cells = (size_t)shards * SHARD_CELLS;

    assert(shards > 0);
    if (!metrics)
        return NULL;
    metrics->memory = calloc(1, cells * sizeof(uint64_t) + CACHE_LINE);
    if (!metrics->memory || pthread_mutex_init(&metrics->exemplars.lock, NULL) != 0) {
        free(metrics->memory);
        free(metrics);
        return NULL;
    }
    uintptr_t start = ((uintptr_t)metrics->memory + CACHE_LINE - 1) & ~(uintptr_t)(CACHE_LINE - 1);
    metrics->cells = (_Atomic uint64_t *)start;
    metrics->shards = shards;
    return metrics;
}

void metrics_free(struct metrics *metrics) {
    if (!metrics)
        return;
    for (unsigned i = 0; i < METRICS_SERIES_MAX; i++)
        free(metrics->exemplars.of[i]);
    (void)pthread_mutex_destroy(&metrics->exemplars.lock);
    free(metrics->memory);
    free(metrics);
}

/* The end of a quoted value, behind its quote; NULL when there is none. */
static const char *skip_value(const char *at) {
    if (*at++ != '"')
        return NULL;
    for (; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : NULL;
}

/* Are 'labels' values of exactly the names that 'names' lists, in its order? */
static bool labels_fit(const char *names, const char *labels) {
    while (*names) {
        size_t len = strcspn(names, ",");

        if (strncmp(names, labels, len) != 0 || labels[len] != '=')
            return false;
        labels = skip_value(labels + len + 1);
        if (!labels)
            return false;
        names += len;
        if (*names != *labels)
            return false;
        names += *names == ',';
        labels += *labels == ',';
    }
    return *labels == '\0';
}

metric_series metrics_series(struct metrics *metrics, enum metric family, const char *labels) {
    unsigned count = atomic_load_explicit(&metrics->count, memory_order_relaxed);

    for (unsigned i = 0; i < count; i++) {
        const struct series *old = &metrics->series[i];

        if (old->family == family && strcmp(old->labels, labels) == 0)
            return i;
    }
    /* Series come from our own tables, never from input: too many, or labels
     * too long or of other names, is our mistake. */
    assert(count < METRICS_SERIES_MAX);
    assert(labels_fit(families[family].labels, labels));
    assert(strlen(labels) < METRICS_LABELS_BYTES);
    struct series *fresh = &metrics->series[count];
    fresh->family = family;
    fresh->cell = metrics->used_cells;
    (void)snprintf(fresh->labels, sizeof(fresh->labels), "%s", labels);
    metrics->used_cells += families[family].type == METRIC_HISTOGRAM ? HISTOGRAM_CELLS : 1;
    atomic_store_explicit(&metrics->count, count + 1, memory_order_release);
    return count;
}

static _Atomic uint64_t *cell(const struct metrics *metrics, unsigned shard, metric_series series) {
    assert(shard < metrics->shards &&
           series < atomic_load_explicit(&metrics->count, memory_order_relaxed));
    return metrics->cells + (size_t)shard * SHARD_CELLS + metrics->series[series].cell;
}

/* Relaxed: a cell is a figure by itself and orders nothing. A plain load and
 * store instead of an atomic add, as each shard has one writer. */
static void bump(_Atomic uint64_t *at, uint64_t n) {
    uint64_t before = atomic_load_explicit(at, memory_order_relaxed);

    atomic_store_explicit(at, before + n, memory_order_relaxed);
}

void metrics_add(struct metrics *metrics, unsigned shard, metric_series series, uint64_t n) {
    bump(cell(metrics, shard, series), n);
}

void metrics_set(struct metrics *metrics, unsigned shard, metric_series series, uint64_t value) {
    atomic_store_explicit(cell(metrics, shard, series), value, memory_order_relaxed);
}

/* The bucket whose bound 2^i is the first at or above 'value'. */
static unsigned bucket_of(uint64_t value) {
    unsigned i = value <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(value - 1);

    return i < METRICS_BUCKETS ? i : METRICS_BUCKETS;
}

void metrics_observe(struct metrics *metrics, unsigned shard, metric_series series,
                     uint64_t value) {
    _Atomic uint64_t *first = cell(metrics, shard, series);

    assert(families[metrics->series[series].family].type == METRIC_HISTOGRAM);
    bump(first + bucket_of(value), 1);
    bump(first + SUM_CELL, value);
}

void metrics_exemplar(struct metrics *metrics, metric_series series, uint64_t value,
                      const struct trace_context *trace, int64_t now_ms) {
    struct exemplar fresh = {.value = value, .at_ms = now_ms};
    struct exemplar **of = &metrics->exemplars.of[series];

    assert(families[metrics->series[series].family].type == METRIC_HISTOGRAM);
    memcpy(fresh.trace_id, trace->trace_id, sizeof(fresh.trace_id));
    memcpy(fresh.span_id, trace->span_id, sizeof(fresh.span_id));
    (void)pthread_mutex_lock(&metrics->exemplars.lock);
    if (!*of)
        *of = calloc(METRICS_BUCKETS + 1, sizeof(fresh));
    if (*of)
        (*of)[bucket_of(value)] = fresh;
    (void)pthread_mutex_unlock(&metrics->exemplars.lock);
}

bool metrics_exemplar_of(struct metrics *metrics, metric_series series, unsigned i,
                         struct exemplar *out) {
    struct exemplar found = {0};

    assert(i <= METRICS_BUCKETS);
    (void)pthread_mutex_lock(&metrics->exemplars.lock);
    if (metrics->exemplars.of[series])
        found = metrics->exemplars.of[series][i];
    (void)pthread_mutex_unlock(&metrics->exemplars.lock);
    if (!found.at_ms)
        return false;
    *out = found;
    return true;
}

/* Cell 'i' of the series over all shards. */
static uint64_t sum_cells(const struct metrics *metrics, metric_series series, unsigned i) {
    uint64_t sum = 0;

    for (unsigned shard = 0; shard < metrics->shards; shard++)
        sum += atomic_load_explicit(cell(metrics, shard, series) + i, memory_order_relaxed);
    return sum;
}

uint64_t metrics_sum(const struct metrics *metrics, metric_series series) {
    return sum_cells(metrics, series, 0);
}

void metrics_histogram(const struct metrics *metrics, metric_series series,
                       struct metric_histogram *out) {
    assert(families[metrics->series[series].family].type == METRIC_HISTOGRAM);
    /* The count is made from the buckets, so that +Inf always equals it even
     * while writers run. */
    out->count = 0;
    for (unsigned i = 0; i <= METRICS_BUCKETS; i++) {
        out->buckets[i] = sum_cells(metrics, series, i);
        out->count += out->buckets[i];
    }
    out->sum = sum_cells(metrics, series, SUM_CELL);
}

uint64_t metrics_bound(unsigned i) {
    assert(i < METRICS_BUCKETS);
    return UINT64_C(1) << i;
}

void metrics_each(const struct metrics *metrics,
                  void (*fn)(void *ctx, enum metric family, metric_series series,
                             const char *labels),
                  void *ctx) {
    unsigned count = atomic_load_explicit(&metrics->count, memory_order_acquire);

    for (unsigned family = 0; family < METRIC_FAMILIES; family++)
        for (unsigned i = 0; i < count; i++)
            if ((unsigned)metrics->series[i].family == family)
                fn(ctx, (enum metric)family, i, metrics->series[i].labels);
}
