/* analytics_query.c - parameters in, JSON out (CONTRACT B). */
#include "gateway/analytics_query.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/counter_json.h"
#include "wire/uri.h"

/* ---- parameters ---- */

/* Decimal digits, at most 'max'. */
static bool read_number(struct slice text, uint32_t max, uint32_t *out) {
    uint64_t value = 0;

    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
        if (value > max)
            return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool read_metrics(struct slice list, unsigned *out) {
    enum stats_metric metric;
    unsigned metrics = 0;

    for (;;) {
        const char *comma = list.len ? memchr(list.ptr, ',', list.len) : NULL;
        size_t len = comma ? (size_t)(comma - list.ptr) : list.len;

        if (!stats_metric_find(slice_of(list.ptr, len), &metric))
            return false;
        metrics |= 1u << metric;
        if (!comma)
            break;
        list = slice_skip(list, len + 1);
    }
    *out = metrics;
    return true;
}

const char *analytics_read_param(struct slice name, struct slice value, bool top,
                                 struct analytics_params *params) {
    if (slice_eq(name, SLICE("time_range")))
        return time_range_find(value, &params->range)
                   ? NULL
                   : "time_range: must be 1h, 24h, 7d, 30d or all";
    if (!top)
        return !slice_eq(name, SLICE("metrics")) || read_metrics(value, &params->metrics)
                   ? NULL
                   : "metrics: must be some of total,avg,peak,trend,rate,increments";
    if (slice_eq(name, SLICE("counter_type")))
        params->counter_type = value;
    else if (slice_eq(name, SLICE("limit")) &&
             (!read_number(value, TOP_LIMIT_MAX, &params->limit) || params->limit == 0))
        return "limit: must be 1 to 1000";
    else if (slice_eq(name, SLICE("offset")) && !read_number(value, TOP_REACH_MAX, &params->offset))
        return "offset: must be 0 to 9999";
    return NULL;
}

enum err analytics_read_params(struct slice query, bool top, struct arena *arena,
                               struct analytics_params *params, const char **out_detail) {
    struct slice name;
    struct slice value;

    while (uri_next_pair(&query, &name, &value)) {
        enum err err = uri_decode_query(name, arena, &name, out_detail);

        if (err == ERR_OK)
            err = uri_decode_query(value, arena, &value, out_detail);
        if (err != ERR_OK)
            return err;
        *out_detail = analytics_read_param(name, value, top, params);
        if (*out_detail)
            return ERR_INVALID;
    }
    if (top && params->counter_type.len == 0)
        *out_detail = "counter_type: is required";
    else if (top && params->offset + params->limit > TOP_REACH_MAX)
        *out_detail = "offset: with limit at most 10000";
    return *out_detail ? ERR_INVALID : ERR_OK;
}

/* ---- answers ---- */

static void add_name(struct buf *out, const char *name) {
    buf_add_char(out, '"');
    buf_add_str(out, name);
    buf_add_slice(out, SLICE("\":"));
}

static void add_text(struct buf *out, const char *name, struct slice text) {
    add_name(out, name);
    json_add_string(out, text);
    buf_add_char(out, ',');
}

/* Digits that read back as the same number: 15 where they do, else 17. */
static void add_double(struct buf *out, double value) {
    char digits[32];

    (void)snprintf(digits, sizeof(digits), "%.15g", value);
    if (strtod(digits, NULL) != value)
        (void)snprintf(digits, sizeof(digits), "%.17g", value);
    buf_add_str(out, isfinite(value) ? digits : "0");
}

/* Partitions in numbers; only where there are some. */
static void add_partitions(struct buf *out, const char *name, const struct coverage *coverage,
                           bool (*has)(const struct coverage *coverage, uint32_t partition)) {
    const char *separator = "";

    buf_add_char(out, ',');
    add_name(out, name);
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < COVERAGE_PARTITIONS_MAX; i++) {
        if (!has(coverage, i))
            continue;
        buf_add_str(out, separator);
        buf_add_u64(out, i);
        separator = ",";
    }
    buf_add_char(out, ']');
}

/* What every answer ends with. */
static void add_truth(struct buf *out, const struct analytics_ask *ask,
                      const struct certainty *certainty) {
    add_name(out, "exact");
    buf_add_str(out, certainty->exact ? "true" : "false");
    if (!certainty->exact && certainty->max_error >= 0) {
        buf_add_char(out, ',');
        add_name(out, "max_error");
        buf_add_i64(out, certainty->max_error);
    }
    if (certainty->since_ms) {
        buf_add_char(out, ',');
        add_name(out, "complete_since");
        buf_add_i64(out, (certainty->since_ms + 999) / 1000);
    }
    if (coverage_missing(&ask->coverage))
        add_partitions(out, "missing_partitions", &ask->coverage, coverage_is_missing);
    if (coverage_doubled(&ask->coverage))
        add_partitions(out, "doubled_partitions", &ask->coverage, coverage_is_doubled);
    buf_add_char(out, ',');
    add_name(out, "as_of");
    buf_add_i64(out, ask->as_of_ms / 1000);
    buf_add_char(out, ',');
    add_name(out, "lag_events");
    buf_add_u64(out, ask->lag);
}

static void add_begin(struct buf *out) {
    buf_add_slice(out, SLICE("{\"data\":{"));
}

static void add_end(struct buf *out) {
    buf_add_slice(out, SLICE("},\"status\":\"success\"}"));
}

static void add_item(struct buf *out, const struct analytics_ask *ask, size_t index) {
    const struct top_item *item = top_item(&ask->top_answer, index);

    buf_add_slice(out, index ? SLICE(",{\"rank\":") : SLICE("{\"rank\":"));
    buf_add_u64(out, ask->top.offset + index + 1);
    buf_add_char(out, ',');
    add_text(out, "resource_id", item->resource_id);
    add_text(out, "counter_type", ask->top.counter_type);
    add_name(out, "value");
    buf_add_i64(out, item->tally.sum);
    buf_add_char(out, '}');
}

void analytics_add_top(struct buf *out, const struct analytics_ask *ask) {
    add_text(out, "counter_type", ask->top.counter_type);
    add_text(out, "time_range", slice_str(time_range_name(ask->top.range)));
    add_name(out, "counters");
    buf_add_char(out, '[');
    for (size_t i = 0; i < ask->top_answer.count; i++)
        add_item(out, ask, i);
    buf_add_slice(out, SLICE("],"));
    add_truth(out, ask, &ask->top_answer.certainty);
}

void analytics_write_top(struct buf *out, const struct analytics_ask *ask) {
    add_begin(out);
    analytics_add_top(out, ask);
    add_end(out);
}

static void add_metric(struct buf *out, const struct stats_answer *answer,
                       enum stats_metric metric) {
    struct stats_figure figure = stats_metric_of(answer, metric);

    if (figure.whole)
        buf_add_i64(out, figure.whole_value);
    else
        add_double(out, figure.value);
}

static void add_metrics(struct buf *out, const struct stats_answer *answer, unsigned metrics) {
    const char *separator = "";

    add_name(out, "metrics");
    buf_add_char(out, '{');
    for (unsigned i = 0; i < STATS_METRICS; i++) {
        if (!(metrics & 1u << i))
            continue;
        buf_add_str(out, separator);
        separator = ",";
        add_name(out, stats_metric_name((enum stats_metric)i));
        add_metric(out, answer, (enum stats_metric)i);
    }
    buf_add_slice(out, SLICE("},"));
}

static void add_series(struct buf *out, const struct stats_answer *answer) {
    add_name(out, "series");
    buf_add_char(out, '[');
    for (size_t i = 0; i < answer->count; i++) {
        buf_add_slice(out, i ? SLICE(",{\"timestamp\":") : SLICE("{\"timestamp\":"));
        buf_add_i64(out, answer->points[i].start_ms / 1000);
        buf_add_slice(out, SLICE(",\"value\":"));
        buf_add_i64(out, answer->points[i].tally.sum);
        buf_add_char(out, '}');
    }
    buf_add_slice(out, SLICE("],"));
}

void analytics_write_stats(struct buf *out, const struct analytics_ask *ask, unsigned metrics) {
    add_begin(out);
    add_text(out, "resource_id", ask->stats.resource_id);
    add_text(out, "counter_type", ask->stats.counter_type);
    add_text(out, "time_range", slice_str(time_range_name(ask->stats.range)));
    add_metrics(out, &ask->stats_answer, metrics);
    add_series(out, &ask->stats_answer);
    add_truth(out, ask, &ask->stats_answer.certainty);
    add_end(out);
}
