/* test_prom.c - the text of a scrape, to the byte where it is short. */
#include "wire/prom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "test.h"

static struct metrics *metrics;
static struct buf out;

static int begin(void **state) {
    (void)state;
    metrics = metrics_new(2);
    return metrics ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    metrics_free(metrics);
    buf_release(&out);
    return 0;
}

static const char *render_as(enum prom_format format) {
    buf_clear(&out);
    prom_render(metrics, NULL, format, &out);
    buf_add_char(&out, '\0');
    assert_false(buf_failed(&out));
    return out.ptr;
}

static const char *render(void) {
    return render_as(PROM_TEXT);
}

static unsigned occurrences(const char *text, const char *what) {
    unsigned n = 0;

    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

static void test_counters_and_gauges(void **state) {
    (void)state;
    assert_string_equal(render(), "");
    /* Made out of order: a family still comes in one piece. */
    metric_series get =
        metrics_series(metrics, METRIC_HTTP_REQUESTS, "route=\"/\",method=\"GET\",code=\"200\"");
    metric_series ops = metrics_series(metrics, METRIC_OPERATIONS, "");
    metric_series put =
        metrics_series(metrics, METRIC_HTTP_REQUESTS, "route=\"/\",method=\"PUT\",code=\"200\"");
    metric_series open = metrics_series(metrics, METRIC_HTTP_CONNECTIONS, "");
    metrics_add(metrics, 0, get, 2);
    metrics_add(metrics, 1, get, 3);
    metrics_add(metrics, 1, put, UINT64_MAX);
    metrics_add(metrics, 1, ops, 9);
    metrics_add(metrics, 1, open, (uint64_t)-2);
    assert_string_equal(
        render(),
        "# HELP hgp_http_requests_total HTTP requests answered, by route template, "
        "method and status code.\n"
        "# TYPE hgp_http_requests_total counter\n"
        "hgp_http_requests_total{route=\"/\",method=\"GET\",code=\"200\"} 5\n"
        "hgp_http_requests_total{route=\"/\",method=\"PUT\",code=\"200\"} 18446744073709551615\n"
        "# HELP hgp_http_connections Open client connections.\n"
        "# TYPE hgp_http_connections gauge\n"
        "hgp_http_connections -2\n"
        "# HELP hgp_counter_operations_total Operations applied by the counter "
        "core.\n"
        "# TYPE hgp_counter_operations_total counter\n"
        "hgp_counter_operations_total 9\n");
}

static void test_histogram_in_seconds(void **state) {
    (void)state;
    metric_series series = metrics_series(metrics, METRIC_STORE_COMMIT, "");

    metrics_observe(metrics, 0, series, 1);
    metrics_observe(metrics, 1, series, 1500);
    metrics_observe(metrics, 1, series, 2000);
    metrics_observe(metrics, 0, series, 60000000);
    const char *text = render();
    assert_non_null(strstr(text, "_seconds_bucket{le=\"0.000001\"} 1\n"));
    assert_non_null(strstr(text, "_seconds_bucket{le=\"0.001024\"} 1\n"));
    assert_non_null(strstr(text, "_seconds_bucket{le=\"0.002048\"} 3\n"));
    assert_non_null(strstr(text, "_seconds_bucket{le=\"8.388608\"} 3\n"));
    assert_non_null(strstr(text, "_seconds_bucket{le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(text, "hgp_store_commit_duration_seconds_sum 60.003501\n"));
    assert_non_null(strstr(text, "hgp_store_commit_duration_seconds_count 4\n"));
    assert_int_equal(occurrences(text, "_bucket{"), METRICS_BUCKETS + 1);
    assert_int_equal(occurrences(text, "# TYPE "), 1);
    assert_non_null(strstr(text, " histogram\n"));
}

static void test_histogram_with_labels(void **state) {
    (void)state;
    metric_series a = metrics_series(metrics, METRIC_GRPC_DURATION, "method=\"/a\"");
    metric_series b = metrics_series(metrics, METRIC_GRPC_DURATION, "method=\"/b\"");

    metrics_observe(metrics, 0, a, 3000000);
    metrics_observe(metrics, 0, b, 0);
    const char *text = render();
    assert_non_null(strstr(text, "_bucket{method=\"/a\",le=\"2.097152\"} 0\n"));
    assert_non_null(strstr(text, "_bucket{method=\"/a\",le=\"4.194304\"} 1\n"));
    assert_non_null(strstr(text, "_sum{method=\"/a\"} 3\n"));
    assert_non_null(strstr(text, "_count{method=\"/b\"} 1\n"));
    assert_non_null(strstr(text, "_sum{method=\"/b\"} 0\n"));
    assert_int_equal(occurrences(text, "# HELP "), 1);
    assert_int_equal(occurrences(text, "# TYPE "), 1);
}

static void test_histogram_of_ones(void **state) {
    (void)state;
    metric_series series = metrics_series(metrics, METRIC_BATCH_OPERATIONS, "");

    metrics_observe(metrics, 0, series, 64);
    const char *text = render();
    assert_non_null(strstr(text, "hgp_batch_operations_bucket{le=\"32\"} 0\n"));
    assert_non_null(strstr(text, "hgp_batch_operations_bucket{le=\"64\"} 1\n"));
    assert_non_null(strstr(text, "hgp_batch_operations_sum 64\n"));
}

/* Stored in microseconds, like every duration. */
static void test_gauge_in_seconds(void **state) {
    (void)state;
    metric_series lag = metrics_series(metrics, METRIC_RELAY_LAG, "");

    metrics_set(metrics, 0, lag, 2500000);
    assert_non_null(strstr(render(), "\nhgp_relay_lag_seconds 2.5\n"));
    metrics_set(metrics, 1, lag, (uint64_t)-4000000);
    assert_non_null(strstr(render(), "\nhgp_relay_lag_seconds -1.5\n"));
}

static void test_open_metrics(void **state) {
    (void)state;
    metric_series operations = metrics_series(metrics, METRIC_OPERATIONS, "");
    metric_series bytes = metrics_series(metrics, METRIC_OUTBOX_BYTES, "");

    metrics_add(metrics, 0, operations, 3);
    metrics_set(metrics, 0, bytes, 1048576);
    assert_string_equal(render_as(PROM_OPENMETRICS),
                        "# HELP hgp_counter_operations Operations applied by the counter core.\n"
                        "# TYPE hgp_counter_operations counter\n"
                        "hgp_counter_operations_total 3\n"
                        "# HELP hgp_outbox_bytes Bytes in the outbox.\n"
                        "# TYPE hgp_outbox_bytes gauge\n"
                        "# UNIT hgp_outbox_bytes bytes\n"
                        "hgp_outbox_bytes 1048576\n"
                        "# EOF\n");
}

/* The last traced request of each bucket, for who asks for OpenMetrics; plain text has none. */
static void test_exemplars(void **state) {
    (void)state;
    metric_series commit = metrics_series(metrics, METRIC_STORE_COMMIT, "");
    struct trace_context trace = {.trace_id = {0x0a, 0xf7}, .span_id = {[7] = 0xb7}};

    metrics_observe(metrics, 1, commit, 900);
    metrics_exemplar(metrics, commit, 900, &trace, 1700000000123);
    trace.span_id[7] = 0xc8; /* another one in the same bucket, and one beyond all bounds */
    metrics_exemplar(metrics, commit, 1000, &trace, 1700000001000);
    metrics_exemplar(metrics, commit, UINT64_C(1) << 30, &trace, 1700000002000);
    assert_null(strstr(render(), "trace_id"));
    const char *text = render_as(PROM_OPENMETRICS);
    assert_int_equal(occurrences(text, "trace_id"), 2);
    assert_non_null(strstr(text, "_bucket{le=\"0.001024\"} 1 # "
                                 "{trace_id=\"0af70000000000000000000000000000\","
                                 "span_id=\"00000000000000c8\"} 0.001 1700000001\n"));
    assert_non_null(strstr(text, "_bucket{le=\"+Inf\"} 1 # {trace_id="));
}

/* Bounds as every OpenMetrics library spells them, which compares them as text. */
static void test_open_metrics_bounds(void **state) {
    static const char *const bounds[] = {
        "seconds_bucket{le=\"1e-06\"} 0\n",          "seconds_bucket{le=\"6.4e-05\"} 0\n",
        "seconds_bucket{le=\"0.000128\"} 0\n",       "seconds_bucket{le=\"1.048576\"} 0\n",
        "seconds_bucket{le=\"+Inf\"} 0\n",           "operations_bucket{le=\"1.0\"} 0\n",
        "operations_bucket{le=\"524288.0\"} 0\n",    "operations_bucket{le=\"1.048576e+06\"} 0\n",
        "operations_bucket{le=\"8.388608e+06\"} 0\n"};

    (void)state;
    metrics_series(metrics, METRIC_STORE_COMMIT, "");
    metrics_series(metrics, METRIC_BATCH_OPERATIONS, "");
    const char *text = render_as(PROM_OPENMETRICS);
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
        if (!strstr(text, bounds[i]))
            fail_msg("no %s", bounds[i]);
    assert_non_null(strstr(text, "# UNIT hgp_store_commit_duration_seconds seconds\n"));
}

static void test_which_format(void **state) {
    (void)state;
    static const struct {
        const char *accept;
        enum prom_format format;
    } rows[] = {
        {"", PROM_TEXT},
        {"*/*", PROM_TEXT},
        {"text/plain;version=0.0.4", PROM_TEXT},
        /* What Prometheus 2.42 sends. */
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         PROM_OPENMETRICS},
    };

    assert_int_equal(prom_format_for((struct slice){NULL, 0}), PROM_TEXT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(prom_format_for(slice_str(rows[i].accept)), rows[i].format);
}

static void test_labels_are_escaped(void **state) {
    (void)state;
    struct buf labels = {0};

    prom_label(&labels, "method", SLICE("x\"y\\z\nw"));
    prom_label(&labels, "code", SLICE(""));
    buf_add_char(&labels, '\0');
    assert_string_equal(labels.ptr, "method=\"x\\\"y\\\\z\\nw\",code=\"\"");
    metric_series series = metrics_series(metrics, METRIC_GRPC_REQUESTS, labels.ptr);
    metrics_add(metrics, 0, series, 1);
    assert_non_null(strstr(render(), "_total{method=\"x\\\"y\\\\z\\nw\",code=\"\"} 1\n"));
    buf_release(&labels);
}

static void test_process(void **state) {
    (void)state;
    struct prom_process process = {.cpu_seconds = 1.25,
                                   .open_fds = 12,
                                   .max_fds = 1048576,
                                   .virtual_memory_bytes = 1e12,
                                   .resident_memory_bytes = 20971520,
                                   .start_time_seconds = 1790000000.25};

    buf_clear(&out);
    prom_render(metrics, &process, PROM_TEXT, &out);
    buf_add_char(&out, '\0');
    assert_int_equal(occurrences(out.ptr, "# HELP process_"), 6);
    assert_non_null(strstr(out.ptr, "# TYPE process_cpu_seconds_total counter\n"
                                    "process_cpu_seconds_total 1.25\n"));
    assert_non_null(strstr(out.ptr, "\nprocess_open_fds 12\n"));
    assert_non_null(strstr(out.ptr, "\nprocess_max_fds 1048576\n"));
    assert_non_null(strstr(out.ptr, "\nprocess_virtual_memory_bytes 1000000000000\n"));
    assert_non_null(strstr(out.ptr, "\nprocess_resident_memory_bytes 20971520\n"));
    assert_non_null(strstr(out.ptr, "\nprocess_start_time_seconds 1790000000.25\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counters_and_gauges, begin, end),
        cmocka_unit_test_setup_teardown(test_histogram_in_seconds, begin, end),
        cmocka_unit_test_setup_teardown(test_histogram_with_labels, begin, end),
        cmocka_unit_test_setup_teardown(test_histogram_of_ones, begin, end),
        cmocka_unit_test_setup_teardown(test_gauge_in_seconds, begin, end),
        cmocka_unit_test_setup_teardown(test_open_metrics, begin, end),
        cmocka_unit_test_setup_teardown(test_exemplars, begin, end),
        cmocka_unit_test_setup_teardown(test_open_metrics_bounds, begin, end),
        cmocka_unit_test_setup_teardown(test_which_format, begin, end),
        cmocka_unit_test_setup_teardown(test_labels_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(test_process, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
