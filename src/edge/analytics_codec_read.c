/* analytics_codec_read.c - analytics.AnalyticsService's messages, decoded. */
#include <stdio.h>

#include "core/bytes.h"
#include "core/stats_metric.h"
#include "edge/analytics_codec.h"
#include "edge/analytics_fields.h"
#include "wire/proto_scan.h"
#include "wire/uri.h"

#define DEFAULT_LIMIT 10
#define DEFAULT_RANGE RANGE_24H

static enum err bad(struct proto_problem *problem, const char *sentence) {
    (void)snprintf(problem->text, sizeof(problem->text), "%s", sentence);
    return ERR_INVALID;
}

/* A field of another type than it should have is no field of ours, as protobuf's readers have it;
 * what it would have said is then missing, which is checked. */
static bool is_text(const struct proto_field *field, unsigned number) {
    return field->number == number && field->type == PROTO_LENGTH;
}

static bool is_number(const struct proto_field *field, unsigned number) {
    return field->number == number && field->type == PROTO_VARINT;
}

static bool is_name(struct slice text) {
    return text.len > 0 && !memchr(text.ptr, '\0', text.len) && utf8_valid(text);
}

/* ---- questions ---- */

static enum err check_range(struct slice name, enum time_range *out,
                            struct proto_problem *problem) {
    if (name.len == 0)
        *out = DEFAULT_RANGE;
    else if (!time_range_find(name, out))
        return bad(problem, "time_range: must be 1h, 24h, 7d, 30d or all");
    return ERR_OK;
}

static enum err check_page(int32_t limit, int32_t offset, struct top_query *out,
                           struct proto_problem *problem) {
    if (limit < 0 || limit > TOP_LIMIT_MAX)
        return bad(problem, "limit: must be 1 to 1000, or 0 for 10");
    out->limit = limit ? (uint32_t)limit : DEFAULT_LIMIT;
    if (offset < 0 || (uint32_t)offset + out->limit > TOP_REACH_MAX)
        return bad(problem, "offset: must be 0 or more, with limit at most 10000");
    out->offset = (uint32_t)offset;
    return ERR_OK;
}

enum err analytics_decode_top(struct slice bytes, struct top_query *out,
                              struct proto_problem *problem) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct top_query query = {.counter_type = {NULL, 0}};
    struct slice range = {NULL, 0};
    struct proto_field field;
    int32_t limit = 0;
    int32_t offset = 0;

    while (proto_scan_next(&scan, &field)) {
        if (is_text(&field, TOP_TYPE))
            query.counter_type = field.bytes;
        else if (is_text(&field, TOP_RANGE))
            range = field.bytes;
        else if (is_number(&field, TOP_LIMIT))
            limit = (int32_t)field.value;
        else if (is_number(&field, TOP_OFFSET))
            offset = (int32_t)field.value;
    }
    if (scan.bad)
        return bad(problem, "the message is not a valid analytics.TopCountersRequest");
    if (!is_name(query.counter_type))
        return bad(problem, "counter_type: must be text, not empty and without U+0000");
    enum err err = check_range(range, &query.range, problem);
    if (err == ERR_OK)
        err = check_page(limit, offset, &query, problem);
    if (err == ERR_OK)
        *out = query;
    return err;
}

enum err analytics_decode_stats(struct slice bytes, struct stats_query *out, unsigned *out_metrics,
                                struct proto_problem *problem) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct stats_query query = {.resource_id = {NULL, 0}};
    struct slice range = {NULL, 0};
    struct proto_field field;
    enum stats_metric metric;
    unsigned metrics = 0;

    while (proto_scan_next(&scan, &field)) {
        if (is_text(&field, ASKED_ID))
            query.resource_id = field.bytes;
        else if (is_text(&field, ASKED_TYPE))
            query.counter_type = field.bytes;
        else if (is_text(&field, ASKED_RANGE))
            range = field.bytes;
        else if (is_text(&field, ASKED_METRICS) && !stats_metric_find(field.bytes, &metric))
            return bad(problem,
                       "metrics: must be some of total, avg, peak, trend, rate, increments");
        else if (is_text(&field, ASKED_METRICS))
            metrics |= 1u << metric;
    }
    if (scan.bad)
        return bad(problem, "the message is not a valid analytics.StatsRequest");
    if (!is_name(query.resource_id))
        return bad(problem, "resource_id: must be text, not empty and without U+0000");
    if (!is_name(query.counter_type))
        return bad(problem, "counter_type: must be text, not empty and without U+0000");
    enum err err = check_range(range, &query.range, problem);
    if (err == ERR_OK) {
        *out = query;
        *out_metrics = metrics ? metrics : STATS_METRICS_ALL;
    }
    return err;
}

/* ---- answers ---- */

static bool put_partition(uint64_t set[COVERAGE_WORDS], uint64_t partition) {
    if (partition >= COVERAGE_PARTITIONS_MAX)
        return false;
    coverage_put(set, (uint32_t)partition);
    return true;
}

/* Packed, or one by one: protobuf's readers must take either. Another type is no field of ours. */
static bool read_partitions(const struct proto_field *field, uint64_t set[COVERAGE_WORDS]) {
    if (field->type == PROTO_VARINT)
        return put_partition(set, field->value);
    if (field->type != PROTO_LENGTH)
        return true;
    struct bytes_reader in = bytes_reader(field->bytes);
    while (bytes_left(&in))
        if (!put_partition(set, bytes_varint(&in)) || in.failed)
            return false;
    return true;
}

static bool read_coverage_field(const struct proto_field *field, struct coverage *out) {
    if (field->number == COVERAGE_COUNTED)
        return read_partitions(field, out->counted);
    if (field->number == COVERAGE_STALE)
        return read_partitions(field, out->stale);
    if (is_number(field, COVERAGE_MOVING))
        out->moving = field->value != 0;
    if (!is_number(field, COVERAGE_OF))
        return true;
    out->of = (uint32_t)field->value;
    return field->value <= COVERAGE_PARTITIONS_MAX;
}

static bool read_coverage(struct slice bytes, struct coverage *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    *out = (struct coverage){.by_partitions = true};
    while (proto_scan_next(&scan, &field))
        if (!read_coverage_field(&field, out))
            return false;
    return !scan.bad;
}

static bool read_item(struct slice bytes, struct buf *names, struct top_item *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    *out = (struct top_item){.resource_id = {NULL, 0}};
    while (proto_scan_next(&scan, &field)) {
        if (is_text(&field, ITEM_ID))
            out->resource_id = field.bytes;
        else if (is_number(&field, ITEM_VALUE))
            out->tally.sum = (int64_t)field.value;
        else if (is_number(&field, ITEM_INCREMENTS))
            out->tally.increments = field.value;
    }
    if (scan.bad || !is_name(out->resource_id))
        return false;
    size_t at = names->len;
    buf_add_slice(names, out->resource_id); /* room was made: earlier names stay where they are */
    out->resource_id = slice_of(names->ptr + at, out->resource_id.len);
    return true;
}

enum err analytics_decode_top_answer(struct slice bytes, struct analytics_ask *ask) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct top_answer *answer = &ask->top_answer;
    struct proto_field field;
    struct top_item item;
    bool fits = buf_reserve(&answer->names, bytes.len + 1);

    answer->certainty = (struct certainty){.exact = false};
    while (fits && proto_scan_next(&scan, &field)) {
        if (is_text(&field, RANKING_ITEMS)) {
            if (!read_item(field.bytes, &answer->names, &item))
                return ERR_INVALID;
            buf_add(&answer->items, &item, sizeof(item));
            answer->count++;
        } else if (is_number(&field, RANKING_EXACT)) {
            answer->certainty.exact = field.value != 0;
        } else if (is_number(&field, RANKING_ERROR)) {
            answer->certainty.max_error = (int64_t)field.value;
        } else if (is_number(&field, RANKING_LAG)) {
            ask->lag = field.value;
        } else if (is_number(&field, RANKING_AS_OF_MS)) {
            ask->as_of_ms = (int64_t)field.value;
        } else if (is_number(&field, RANKING_SINCE_MS)) {
            answer->certainty.since_ms = (int64_t)field.value;
        } else if (is_text(&field, RANKING_COVERAGE) &&
                   !read_coverage(field.bytes, &ask->coverage)) {
            return ERR_INVALID;
        }
    }
    if (!fits || buf_failed(&answer->items))
        return ERR_NO_MEMORY;
    return scan.bad ? ERR_INVALID : ERR_OK;
}

static bool read_point(struct slice bytes, struct series_point *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    *out = (struct series_point){.start_ms = 0};
    while (proto_scan_next(&scan, &field)) {
        if (is_number(&field, POINT_TIMESTAMP))
            out->start_ms = (int64_t)field.value * 1000;
        else if (is_number(&field, POINT_VALUE))
            out->tally.sum = (int64_t)field.value;
    }
    return !scan.bad;
}

/* Of the figures only what the series doesn't tell. */
static bool read_figure(struct slice bytes, struct stats_answer *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct slice name = {NULL, 0};
    struct proto_field field;
    enum stats_metric metric;
    int64_t whole = 0;

    while (proto_scan_next(&scan, &field)) {
        if (is_text(&field, FIGURE_NAME))
            name = field.bytes;
        else if (is_number(&field, FIGURE_WHOLE))
            whole = (int64_t)field.value;
    }
    if (scan.bad || !stats_metric_find(name, &metric))
        return !scan.bad;
    if (metric == STATS_TOTAL)
        out->total.sum = whole;
    else if (metric == STATS_INCREMENTS)
        out->total.increments = (uint64_t)whole;
    return true;
}

static bool read_stats_field(const struct proto_field *field, struct analytics_ask *ask) {
    struct stats_answer *answer = &ask->stats_answer;

    if (is_text(field, FIGURES_METRICS))
        return read_figure(field->bytes, answer);
    if (is_text(field, FIGURES_SERIES))
        return answer->count < RANGE_POINTS_MAX &&
               read_point(field->bytes, &answer->points[answer->count++]);
    if (is_text(field, FIGURES_COVERAGE))
        return read_coverage(field->bytes, &ask->coverage);
    if (is_number(field, FIGURES_EXACT))
        answer->certainty.exact = field->value != 0;
    else if (is_number(field, FIGURES_ERROR))
        answer->certainty.max_error = (int64_t)field->value;
    else if (is_number(field, FIGURES_LAG))
        ask->lag = field->value;
    else if (is_number(field, FIGURES_AS_OF_MS))
        ask->as_of_ms = (int64_t)field->value;
    else if (is_number(field, FIGURES_SINCE_MS))
        answer->certainty.since_ms = (int64_t)field->value;
    return true;
}

enum err analytics_decode_stats_answer(struct slice bytes, struct analytics_ask *ask) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct stats_answer *answer = &ask->stats_answer;
    struct proto_field field;

    answer->certainty = (struct certainty){.exact = false};
    answer->total = (struct tally){0, 0};
    answer->count = 0;
    while (proto_scan_next(&scan, &field))
        if (!read_stats_field(&field, ask))
            return ERR_INVALID;
    if (scan.bad)
        return ERR_INVALID;
    analytics_summarize(answer, ask->as_of_ms);
    return ERR_OK;
}
