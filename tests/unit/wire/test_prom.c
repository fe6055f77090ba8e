/* test_prom.c - the text of a scrape, to the byte where it is short. */
#include "wire/prom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const char *render(void) {
    buf_clear(&out);
    prom_render(metrics, &out);
    buf_add_char(&out, '\0');
    assert_false(buf_failed(&out));
    return out.ptr;
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
    metric_series get = metrics_series(metrics, METRIC_HTTP_REQUESTS, "method=\"GET\"");
    metric_series ops = metrics_series(metrics, METRIC_OPERATIONS, "");
    metric_series put = metrics_series(metrics, METRIC_HTTP_REQUESTS, "method=\"PUT\"");
    metric_series open = metrics_series(metrics, METRIC_HTTP_CONNECTIONS, "");
    metrics_add(metrics, 0, get, 2);
    metrics_add(metrics, 1, get, 3);
    metrics_add(metrics, 1, put, UINT64_MAX);
    metrics_add(metrics, 1, ops, 9);
    metrics_add(metrics, 1, open, (uint64_t)-2);
    assert_string_equal(render(),
                        "# HELP hgp_http_requests_total HTTP requests answered, by route template, "
                        "method and status code.\n"
                        "# TYPE hgp_http_requests_total counter\n"
                        "hgp_http_requests_total{method=\"GET\"} 5\n"
                        "hgp_http_requests_total{method=\"PUT\"} 18446744073709551615\n"
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
    metric_series a = metrics_series(metrics, METRIC_HTTP_DURATION, "route=\"/a\"");
    metric_series b = metrics_series(metrics, METRIC_HTTP_DURATION, "route=\"/b\"");

    metrics_observe(metrics, 0, a, 3000000);
    metrics_observe(metrics, 0, b, 0);
    const char *text = render();
    assert_non_null(strstr(text, "_bucket{route=\"/a\",le=\"2.097152\"} 0\n"));
    assert_non_null(strstr(text, "_bucket{route=\"/a\",le=\"4.194304\"} 1\n"));
    assert_non_null(strstr(text, "_sum{route=\"/a\"} 3\n"));
    assert_non_null(strstr(text, "_count{route=\"/b\"} 1\n"));
    assert_non_null(strstr(text, "_sum{route=\"/b\"} 0\n"));
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

static void test_labels_are_escaped(void **state) {
    (void)state;
    struct buf labels = {0};

    prom_label(&labels, "a", SLICE("x\"y\\z\nw"));
    prom_label(&labels, "b", SLICE(""));
    buf_add_char(&labels, '\0');
    assert_string_equal(labels.ptr, "a=\"x\\\"y\\\\z\\nw\",b=\"\"");
    metric_series series = metrics_series(metrics, METRIC_BUILD_INFO, labels.ptr);
    metrics_set(metrics, 0, series, 1);
    assert_non_null(strstr(render(), "\nhgp_build_info{a=\"x\\\"y\\\\z\\nw\",b=\"\"} 1\n"));
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

    prom_render_process(&process, &out);
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
        cmocka_unit_test_setup_teardown(test_labels_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(test_process, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
