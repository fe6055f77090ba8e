/* analytics.c - a recorded stream through core/analytics on RocksDB: how fast, how much memory, and
 * what it answers, for bench/analytics.py to compare with sqlite3.
 *
 *     bench_analytics FOLDER EVENTS COUNTERS SPAN_S [EVENTS.tsv ANSWERS.tsv]
 *
 * Zipf 1.1 over COUNTERS counters of three types, spread over SPAN_S seconds, two in a hundred late
 * by up to two days, four lanes; always the same for the same numbers. Answers are taken at four
 * instants. The rate is a live stream's when SPAN_S is about what it takes: every minute of the
 * stream is a commit with its fsync.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "core/analytics.h"
#include "edge/rocks_tally.h"
#include "resident.h"
#include "zipf.h"

#define LANES    4
#define TYPES    3
#define START_MS (INT64_C(1790000000) * 1000)
#define LATE_MS  (INT64_C(2) * 86400000)
#define BATCH    1000
#define PENDING  131072
#define INSTANTS 4
#define TOP      100
#define SAMPLES  200000

static const char *const types[TYPES] = {"like", "view", "share"};

struct samples {
    double us[SAMPLES];
    size_t count;
};

static struct {
    struct analytics *analytics;
    struct rocks_tally *rocks;
    uint64_t random;
    uint32_t counters;
    int64_t span_ms;
    double *shares; /* cumulative */
    int64_t *values;
    uint64_t seq[LANES];
    FILE *events;
    FILE *answers;
    struct samples tops, batches, waits, moves;
} bench;

static double now_us(clockid_t clock) {
    struct timespec at;

    clock_gettime(clock, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static void must(enum err err, const char *what) {
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_name(err));
    exit(1);
}

static void sample(struct samples *samples, double since_us) {
    if (samples->count < SAMPLES)
        samples->us[samples->count++] = now_us(CLOCK_MONOTONIC) - since_us;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_samples(const char *name, struct samples *samples) {
    size_t n = samples->count;

    qsort(samples->us, n, sizeof(double), by_size);
    if (n)
        printf("%-8s n=%-7zu p50=%.1f us p99=%.1f us max=%.1f us\n", name, n, samples->us[n / 2],
               samples->us[n * 99 / 100], samples->us[n - 1]);
}

/* ---- the stream ---- */

static void make_zipf(void) {
    bench.shares = malloc(bench.counters * sizeof(double));
    bench.values = calloc(bench.counters, sizeof(int64_t));
    if (!bench.shares || !bench.values)
        must(ERR_NO_MEMORY, "the stream");
    zipf_shares(bench.shares, bench.counters);
}

static uint32_t pick(void) {
    double at = (double)(random_next(&bench.random) >> 11) * 0x1p-53;

    return zipf_pick(bench.shares, bench.counters, at);
}

static struct event make_event(uint64_t index, uint64_t of, char name[16]) {
    uint32_t counter = pick();
    uint64_t dice = random_next(&bench.random);
    uint32_t lane = counter % LANES;
    struct event event = {
        .lane = lane,
        .at = {1, ++bench.seq[lane]},
        .kind = dice % 50 == 0 ? OP_SET : OP_ADD,
        .delta = dice % 10 == 0 ? -(int64_t)(dice >> 8 & 3) - 1 : (int64_t)(dice >> 8 & 3) + 1,
        .count = 1 + (dice >> 16 & 3),
        .et_ms = START_MS + (int64_t)((double)bench.span_ms * (double)index / (double)of),
        .counter_type = slice_str(types[counter % TYPES])};

    if (dice >> 20 & 1 && dice % 25 == 1)
        event.et_ms -= (int64_t)(dice >> 24) % LATE_MS;
    bench.values[counter] += event.delta;
    event.new_value = bench.values[counter];
    event.resource_id = slice_of(name, (size_t)snprintf(name, 16, "r%" PRIu32, counter));
    if (bench.events)
        fprintf(bench.events,
                "%" PRIu64 "\t%s\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRIu64 "\t%" PRId64 "\n", index,
                name, types[counter % TYPES], event.et_ms, event.delta,
                event.kind == OP_ADD ? event.count : 0, event.new_value);
    return event;
}

/* ---- counting ---- */

/* As the service does: beside the counting, which waits only where there is no room. */
static void commit(void) {
    double since_us = now_us(CLOCK_MONOTONIC);

    must(analytics_commit_end(bench.analytics, true), "commit");
    sample(&bench.waits, since_us);
    (void)analytics_commit_begin(bench.analytics);
}

static void ask_top(void) {
    static struct top_answer answer;
    struct top_query query = {slice_str(types[random_next(&bench.random) % TYPES]),
                              (enum time_range)(random_next(&bench.random) % RANGES), 0, 10};
    double since_us = now_us(CLOCK_MONOTONIC);

    must(analytics_top(bench.analytics, &query, &answer), "top");
    sample(&bench.tops, since_us);
}

static void move(int64_t now_ms) {
    double since_us = now_us(CLOCK_MONOTONIC);

    must(analytics_move(bench.analytics, now_ms), "move");
    must(analytics_catch_up_all(bench.analytics), "catch up"); /* what is asked is exact */
    sample(&bench.moves, since_us);
}

/* Events of one batch are of any lane: analytics takes them as they come. */
static void count(struct event *events, size_t n) {
    double since_us = now_us(CLOCK_MONOTONIC);
    enum err err;

    while ((err = analytics_apply(bench.analytics, events, n)) == ERR_BUSY)
        commit();
    must(err, "apply");
    sample(&bench.batches, since_us);
}

/* ---- answers ---- */

static void dump_top(uint64_t index, uint32_t type, enum time_range range) {
    static struct top_answer answer;
    struct top_query query = {slice_str(types[type]), range, 0, TOP};

    must(analytics_top(bench.analytics, &query, &answer), "top");
    for (size_t i = 0; i < answer.count; i++)
        fprintf(bench.answers,
                "top\t%" PRIu64 "\t%" PRId64 "\t%s\t%s\t%.*s\t%" PRId64 "\t%" PRIu64 "\n", index,
                analytics_end_ms(bench.analytics), types[type], time_range_name(range),
                SLICE_ARGS(top_item(&answer, i)->resource_id), top_item(&answer, i)->tally.sum,
                top_item(&answer, i)->tally.increments);
}

static void dump_series(uint64_t index, uint32_t counter, enum time_range range) {
    static struct stats_answer answer;
    char name[16];
    struct stats_query query = {.counter_type = slice_str(types[counter % TYPES]), .range = range};

    query.resource_id = slice_of(name, (size_t)snprintf(name, sizeof(name), "r%" PRIu32, counter));
    must(analytics_series(bench.analytics, &query, &answer), "series");
    for (size_t i = 0; i < answer.count; i++)
        fprintf(bench.answers,
                "series\t%" PRIu64 "\t%" PRId64 "\t%s\t%s\t%s\t%" PRId64 "\t%" PRId64 "\n", index,
                analytics_end_ms(bench.analytics), types[counter % TYPES], time_range_name(range),
                name, answer.points[i].start_ms, answer.points[i].tally.sum);
}

static void dump(uint64_t index) {
    move(0); /* to the latest event */
    for (unsigned r = 0; bench.answers && r < RANGES; r++) {
        for (uint32_t type = 0; type < TYPES; type++)
            dump_top(index, type, (enum time_range)r);
        for (uint32_t counter = 0; counter < 6; counter++)
            dump_series(index, counter * counter * 7 % bench.counters, (enum time_range)r);
    }
}

/* ---- the whole ---- */

static void open_state(const char *folder) {
    static const struct event_position none[LANES];
    struct rocks_tally_conf conf = {16 << 20, 16 << 20};
    struct analytics_conf own = {
        .counters_max = UINT32_MAX / 4, .pending_max = PENDING, .hash_seed = {1, 2}};
    const char *detail = NULL;
    double since_us = now_us(CLOCK_MONOTONIC);

    must(rocks_tally_open(folder, &conf, &bench.rocks, &detail), "open");
    must(analytics_open(rocks_tally_view(bench.rocks), &own, START_MS, &bench.analytics), "open");
    must(analytics_source(bench.analytics, 1, LANES, none), "source");
    printf("open     %.0f ms\n", (now_us(CLOCK_MONOTONIC) - since_us) / 1000);
}

static void run(uint64_t of) {
    static struct event events[BATCH];
    static char names[BATCH][16];
    double busy_us = 0;
    double thread_us = 0;
    double process_us = now_us(CLOCK_PROCESS_CPUTIME_ID);
    double made_us = 0;

    for (uint64_t index = 0; index < of; index += BATCH) {
        size_t n = of - index < BATCH ? (size_t)(of - index) : BATCH;
        double made = now_us(CLOCK_THREAD_CPUTIME_ID);

        for (size_t i = 0; i < n; i++)
            events[i] = make_event(index + i, of, names[i]);
        made_us += now_us(CLOCK_THREAD_CPUTIME_ID) - made;
        double began_us = now_us(CLOCK_MONOTONIC);
        double began_thread_us = now_us(CLOCK_THREAD_CPUTIME_ID);
        move(events[0].et_ms);
        count(events, n);
        busy_us += now_us(CLOCK_MONOTONIC) - began_us;
        thread_us += now_us(CLOCK_THREAD_CPUTIME_ID) - began_thread_us;
        ask_top();
        if ((index + n) * INSTANTS / of != index * INSTANTS / of)
            dump(index + n);
    }
    must(analytics_commit(bench.analytics), "commit");
    process_us = now_us(CLOCK_PROCESS_CPUTIME_ID) - process_us - made_us;
    printf("ingest   %.0f events/s, %.2f us of the thread's CPU an event, %.2f us with RocksDB's "
           "threads\n",
           (double)of / busy_us * 1e6, thread_us / (double)of, process_us / (double)of);
}

int main(int argc, char **argv) {
    if (argc != 5 && argc != 7) {
        fprintf(stderr,
                "usage: bench_analytics FOLDER EVENTS COUNTERS SPAN_S [EVENTS.tsv ANSWERS.tsv]\n");
        return 64;
    }
    uint64_t of = strtoull(argv[2], NULL, 10);
    bench.counters = (uint32_t)strtoul(argv[3], NULL, 10);
    bench.span_ms = strtoll(argv[4], NULL, 10) * 1000;
    bench.random = 20261126;
    bench.events = argc == 7 ? fopen(argv[5], "w") : NULL;
    bench.answers = argc == 7 ? fopen(argv[6], "w") : NULL;
    if (!of || !bench.counters || (argc == 7 && (!bench.events || !bench.answers)))
        return 66;
    make_zipf();
    size_t before = resident_bytes();
    open_state(argv[1]);
    run(of);
    struct analytics_stats stats;
    analytics_stats(bench.analytics, &stats);
    print_samples("top-10", &bench.tops);
    print_samples("batch", &bench.batches);
    print_samples("wait", &bench.waits);
    print_samples("move", &bench.moves);
    printf("memory   %.1f MB more for %" PRIu32 " counters\n",
           (double)(resident_bytes() - before) / 1e6, stats.counters);
    if (bench.events && (fclose(bench.events) != 0 || fclose(bench.answers) != 0))
        return 74;
    analytics_close(bench.analytics);
    rocks_tally_close(bench.rocks);
    return 0;
}
