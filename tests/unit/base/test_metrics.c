/* test_metrics.c - shards sum up, buckets are where they say, names are as
 * Prometheus wants them. */
#include "base/metrics.h"

#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"
#include "test.h"

#define THREADS 4
#define ROUNDS  20000

static void test_series(void **state) {
    (void)state;
    struct metrics *metrics = metrics_new(1);

    assert_non_null(metrics);
    metric_series key = metrics_series(metrics, METRIC_REPLAYS, "kind=\"key\"");
    metric_series message = metrics_series(metrics, METRIC_REPLAYS, "kind=\"message\"");
    metric_series other = metrics_series(metrics, METRIC_OPERATIONS, "");
    assert_int_not_equal(key, message);
    assert_int_not_equal(key, other);
    assert_int_equal(key, metrics_series(metrics, METRIC_REPLAYS, "kind=\"key\""));
    metrics_add(metrics, 0, key, 5);
    metrics_add(metrics, 0, message, 7);
    assert_int_equal(metrics_sum(metrics, key), 5);
    assert_int_equal(metrics_sum(metrics, message), 7);
    assert_int_equal(metrics_sum(metrics, other), 0);
    metrics_free(metrics);
    metrics_free(NULL);
}

static void test_gauge(void **state) {
    (void)state;
    struct metrics *metrics = metrics_new(2);
    metric_series gauge = metrics_series(metrics, METRIC_HTTP_CONNECTIONS, "");

    metrics_set(metrics, 0, gauge, 10);
    metrics_set(metrics, 1, gauge, 4);
    metrics_set(metrics, 0, gauge, 3);
    assert_int_equal(metrics_sum(metrics, gauge), 7);
    /* Opened on one shard, closed on another. */
    metrics_add(metrics, 1, gauge, (uint64_t)-5);
    assert_int_equal((int64_t)metrics_sum(metrics, gauge), 2);
    metrics_free(metrics);
}

/* clang-format off */
static const struct {
    uint64_t value;
    unsigned bucket;
} observations[] = {
    {0, 0}, {1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {1024, 10}, {1025, 11},
    {(1u << 23) - 1, 23}, {1u << 23, 23}, {(1u << 23) + 1, METRICS_BUCKETS},
    {UINT64_MAX, METRICS_BUCKETS},
};
/* clang-format on */

static void test_buckets(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(observations); i++) {
        struct metrics *metrics = metrics_new(1);
        metric_series series = metrics_series(metrics, METRIC_BATCH_OPERATIONS, "");
        struct metric_histogram got;

        metrics_observe(metrics, 0, series, observations[i].value);
        metrics_histogram(metrics, series, &got);
        for (unsigned b = 0; b <= METRICS_BUCKETS; b++)
            if (got.buckets[b] != (b == observations[i].bucket))
                fail_msg("%llu: bucket %u has %llu", (unsigned long long)observations[i].value, b,
                         (unsigned long long)got.buckets[b]);
        assert_int_equal(got.count, 1);
        assert_true(got.sum == observations[i].value);
        metrics_free(metrics);
    }
    assert_int_equal(metrics_bound(0), 1);
    assert_int_equal(metrics_bound(METRICS_BUCKETS - 1), 1u << (METRICS_BUCKETS - 1));
}

/* A histogram's cells and its neighbours' don't overlap, in no shard. */
static void test_neighbours(void **state) {
    (void)state;
    struct metrics *metrics = metrics_new(2);
    metric_series first = metrics_series(metrics, METRIC_STORE_COMMIT, "");
    metric_series counter = metrics_series(metrics, METRIC_OPERATIONS, "");
    metric_series last = first;
    struct metric_histogram got;

    for (unsigned i = 2; i < METRICS_SERIES_MAX; i++) {
        char labels[32];

        (void)snprintf(labels, sizeof(labels), "method=\"%u\"", i);
        last = metrics_series(metrics, METRIC_GRPC_DURATION, labels);
    }
    metrics_observe(metrics, 0, first, UINT64_C(1) << 40);
    metrics_observe(metrics, 0, last, UINT64_C(1) << 40);
    metrics_add(metrics, 1, counter, 9);
    assert_int_equal(metrics_sum(metrics, counter), 9);
    metrics_histogram(metrics, first, &got);
    assert_int_equal(got.count, 1);
    metrics_histogram(metrics, last, &got);
    assert_int_equal(got.count, 1);
    assert_true(got.sum == UINT64_C(1) << 40);
    metrics_free(metrics);
}

struct worker {
    struct metrics *metrics;
    metric_series counter;
    metric_series histogram;
    unsigned shard;
};

static void *work(void *arg) {
    struct worker *worker = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        metrics_add(worker->metrics, worker->shard, worker->counter, 2);
        metrics_observe(worker->metrics, worker->shard, worker->histogram, i % 3);
    }
    return NULL;
}

/* Read while four threads write: never more than there is, all of it at the end. */
static void test_threads(void **state) {
    (void)state;
    struct metrics *metrics = metrics_new(THREADS);
    metric_series counter = metrics_series(metrics, METRIC_OPERATIONS, "");
    metric_series histogram = metrics_series(metrics, METRIC_BATCH_OPERATIONS, "");
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    struct metric_histogram got;
    uint64_t before = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){metrics, counter, histogram, i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 1000; i++) {
        uint64_t now = metrics_sum(metrics, counter);

        assert_true(now >= before && now <= 2 * THREADS * ROUNDS);
        before = now;
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metrics_sum(metrics, counter), 2 * THREADS * ROUNDS);
    metrics_histogram(metrics, histogram, &got);
    assert_int_equal(got.count, THREADS * ROUNDS);
    assert_int_equal(got.buckets[1], THREADS * (ROUNDS / 3));
    metrics_free(metrics);
}

static bool ends(const char *name, const char *suffix) {
    size_t len = strlen(name);
    size_t tail = strlen(suffix);

    return len >= tail && strcmp(name + len - tail, suffix) == 0;
}

static bool legal_name(const char *name) {
    if (strncmp(name, "hgp_", 4) != 0 || strstr(name, "__"))
        return false;
    for (; *name; name++)
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

/* Names of labels as one list; le and quantile are the format's own. */
static bool legal_labels(const char *labels) {
    if (!*labels)
        return true;
    for (const char *at = labels;; at++) {
        size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");

        if (len == 0 || *at == '_' || (len == 2 && strncmp(at, "le", 2) == 0) ||
            (len == 8 && strncmp(at, "quantile", 8) == 0))
            return false;
        at += len;
        if (*at != ',')
            return *at == '\0';
    }
}

/* What is wrong with this family by prometheus.io/docs/practices/naming, or NULL. */
static const char *lint(const struct metric_family *family) {
    static const char *const taken[] = {"_bucket", "_sum", "_count"};
    static const char *const scaled[] = {"_us", "_ms", "_milliseconds", "_kb", "_mib", "_minutes"};

    if (!legal_name(family->name))
        return "not hgp_ and snake_case";
    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        if (ends(family->name, taken[i]))
            return "a suffix the format keeps for itself";
    for (size_t i = 0; i < ARRAY_LEN(scaled); i++)
        if (ends(family->name, scaled[i]))
            return "not a base unit";
    if ((family->type == METRIC_COUNTER) != ends(family->name, "_total"))
        return "_total is for counters, all of them and nothing else";
    if ((family->unit == UNIT_BYTES) != (strstr(family->name, "_bytes") != NULL))
        return "the name and the unit disagree about bytes";
    if ((family->unit == UNIT_SECONDS_FROM_US) != (strstr(family->name, "_seconds") != NULL))
        return "the name and the unit disagree about seconds";
    if (!legal_labels(family->labels))
        return "labels are not snake_case, or the format keeps one for itself";
    size_t help = strlen(family->help);
    if (help < 10 || family->help[help - 1] != '.')
        return "the help is not a sentence";
    return NULL;
}

static void test_names(void **state) {
    (void)state;
    for (unsigned i = 0; i < METRIC_FAMILIES; i++) {
        const struct metric_family *family = metric_family((enum metric)i);
        const char *problem = lint(family);

        if (problem)
            fail_msg("%s: %s", family->name, problem);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(family->name, metric_family((enum metric)j)->name);
    }
}

/* The lint itself finds what it is for. */
static void test_lint_bites(void **state) {
    (void)state;
    /* clang-format off */
    static const struct metric_family bad[] = {
        {"requests_total",       "A good sentence.", "", METRIC_COUNTER,   UNIT_ONE},
        {"hgp_requests",         "A good sentence.", "", METRIC_COUNTER,   UNIT_ONE},
        {"hgp_open_total",       "A good sentence.", "", METRIC_GAUGE,     UNIT_ONE},
        {"hgp_wait_ms",          "A good sentence.", "", METRIC_HISTOGRAM, UNIT_ONE},
        {"hgp_wait",             "A good sentence.", "", METRIC_HISTOGRAM, UNIT_SECONDS_FROM_US},
        {"hgp_size",             "A good sentence.", "", METRIC_GAUGE,     UNIT_BYTES},
        {"hgp_batch_count",      "A good sentence.", "", METRIC_GAUGE,     UNIT_ONE},
        {"hgp_Size_bytes",       "A good sentence.", "", METRIC_GAUGE,     UNIT_BYTES},
        {"hgp_asked_total",      "A good sentence.", "Route", METRIC_COUNTER, UNIT_ONE},
        {"hgp_asked_total",      "A good sentence.", "route,", METRIC_COUNTER, UNIT_ONE},
        {"hgp_asked_total",      "A good sentence.", "a,,b", METRIC_COUNTER, UNIT_ONE},
        {"hgp_asked_total",      "A good sentence.", "route,le", METRIC_COUNTER, UNIT_ONE},
        {"hgp_size_bytes",       "no sentence",      "", METRIC_GAUGE,     UNIT_BYTES},
    };
    /* clang-format on */
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!lint(&bad[i]))
            fail_msg("%s passes", bad[i].name);
}

/* Does the process die of making this series? */
static bool refused(enum metric family, const char *labels) {
    struct metrics *metrics = metrics_new(1);
    pid_t child = fork();
    int status;

    if (child == 0) {
        (void)close(STDERR_FILENO);     /* nobody wants the last words */
        (void)signal(SIGABRT, SIG_DFL); /* cmocka has one of its own */
        (void)metrics_series(metrics, family, labels);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    metrics_free(metrics);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* What docs/metrics.md says about labels is what a scrape has. */
static void test_labels_are_the_tables(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "method=\"GET\"",
        "code=\"200\",method=\"/a\"",
        "method=\"/a\",code=\"200\",more=\"1\"",
        "method=\"/a\",code=\"200\",",
        "method=\"/a\",code=200",
        "method=\"/a\",code=\"200",
    };

    assert_false(refused(METRIC_GRPC_REQUESTS, "method=\"/a\",code=\"200\""));
    assert_false(refused(METRIC_GRPC_REQUESTS, "method=\"\\\",\",code=\"\""));
    assert_true(refused(METRIC_OPERATIONS, "method=\"/a\""));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (!refused(METRIC_GRPC_REQUESTS, wrong[i]))
            fail_msg("%s passes", wrong[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series),     cmocka_unit_test(test_gauge),
        cmocka_unit_test(test_buckets),    cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_lint_bites), cmocka_unit_test(test_labels_are_the_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
