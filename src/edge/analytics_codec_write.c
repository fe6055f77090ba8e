/* analytics_codec_write.c - analytics.AnalyticsService's messages, encoded. */
#include <string.h>

#include "core/stats_metric.h"
#include "edge/analytics_codec.h"
#include "edge/analytics_fields.h"
#include "wire/proto_write.h"

/* Room for 'size' bytes, of which there may be none. */
static char *begin(struct buf *out, size_t size) {
    return buf_reserve(out, size ? size : 1) ? out->ptr + out->len : NULL;
}

static void end(struct buf *out, const char *p) {
    out->len = (size_t)(p - out->ptr);
}

/* One number or text, by itself. */
static void add_number(struct buf *out, unsigned field, int64_t value) {
    char *p = begin(out, proto_number_size(value));

    if (p)
        end(out, proto_put_number(p, field, value));
}

static void add_text(struct buf *out, unsigned field, struct slice text) {
    char *p = begin(out, proto_text_size(text));

    if (p)
        end(out, proto_put_text(p, field, text));
}

static uint64_t bits_of(double value) {
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* ---- questions ---- */

void analytics_encode_top(struct buf *out, const struct top_query *query) {
    add_text(out, TOP_TYPE, query->counter_type);
    add_number(out, TOP_LIMIT, query->limit);
    add_text(out, TOP_RANGE, slice_str(time_range_name(query->range)));
    add_number(out, TOP_OFFSET, query->offset);
}

void analytics_encode_stats(struct buf *out, const struct stats_query *query) {
    add_text(out, ASKED_ID, query->resource_id);
    add_text(out, ASKED_TYPE, query->counter_type);
    add_text(out, ASKED_RANGE, slice_str(time_range_name(query->range)));
}

/* ---- answers ---- */

static void add_item(struct buf *out, const struct analytics_ask *ask, size_t index) {
    const struct top_item *item = top_item(&ask->top_answer, index);
    int64_t rank = (int64_t)(ask->top.offset + index + 1);
    int64_t increments = (int64_t)item->tally.increments;
    size_t size = proto_number_size(rank) + proto_text_size(item->resource_id) +
                  proto_text_size(ask->top.counter_type) + proto_number_size(item->tally.sum) +
                  proto_number_size(increments);
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return;
    p = proto_put_message(p, RANKING_ITEMS, size);
    p = proto_put_number(p, ITEM_RANK, rank);
    p = proto_put_text(p, ITEM_ID, item->resource_id);
    p = proto_put_text(p, ITEM_TYPE, ask->top.counter_type);
    p = proto_put_number(p, ITEM_VALUE, item->tally.sum);
    end(out, proto_put_number(p, ITEM_INCREMENTS, increments));
}

static size_t partitions_size(const uint64_t set[COVERAGE_WORDS], uint32_t of) {
    size_t size = 0;

    for (uint32_t i = 0; i < of; i++)
        if (coverage_in(set, i))
            size += proto_varint_size(i);
    return size;
}

/* Packed, as proto3 has repeated numbers. */
static char *put_partitions(char *p, unsigned field, const uint64_t set[COVERAGE_WORDS],
                            uint32_t of, size_t size) {
    if (!size)
        return p;
    p = proto_put_message(p, field, size);
    for (uint32_t i = 0; i < of; i++)
        if (coverage_in(set, i))
            p = proto_put_varint(p, i);
    return p;
}

static size_t packed_size(size_t size) {
    return size ? proto_message_size(size) : 0;
}

static void add_coverage(struct buf *out, unsigned field, const struct coverage *coverage) {
    if (!coverage->by_partitions)
        return;
    size_t counted = partitions_size(coverage->counted, coverage->of);
    size_t stale = partitions_size(coverage->stale, coverage->of);
    size_t size = proto_number_size(coverage->of) + packed_size(counted) +
                  proto_number_size(coverage->moving) + packed_size(stale);
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return;
    p = proto_put_message(p, field, size);
    p = proto_put_number(p, COVERAGE_OF, coverage->of);
    p = put_partitions(p, COVERAGE_COUNTED, coverage->counted, coverage->of, counted);
    p = proto_put_number(p, COVERAGE_MOVING, coverage->moving);
    end(out, put_partitions(p, COVERAGE_STALE, coverage->stale, coverage->of, stale));
}

void analytics_encode_top_answer(struct buf *out, const struct analytics_ask *ask) {
    const struct certainty *certainty = &ask->top_answer.certainty;

    for (size_t i = 0; i < ask->top_answer.count; i++)
        add_item(out, ask, i);
    add_number(out, RANKING_EXACT, certainty->exact);
    add_number(out, RANKING_ERROR, certainty->exact ? 0 : certainty->max_error);
    add_number(out, RANKING_AS_OF, ask->as_of_ms / 1000);
    add_number(out, RANKING_LAG, (int64_t)ask->lag);
    add_number(out, RANKING_AS_OF_MS, ask->as_of_ms);
    add_number(out, RANKING_SINCE_MS, certainty->since_ms);
    add_coverage(out, RANKING_COVERAGE, &ask->coverage);
}

static void add_figure(struct buf *out, const struct stats_answer *answer,
                       enum stats_metric metric) {
    struct slice name = slice_str(stats_metric_name(metric));
    struct stats_figure figure = stats_metric_of(answer, metric);
    size_t size = proto_text_size(name) + proto_fixed64_size(bits_of(figure.value)) +
                  proto_number_size(figure.whole_value);
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return;
    p = proto_put_message(p, FIGURES_METRICS, size);
    p = proto_put_text(p, FIGURE_NAME, name);
    p = proto_put_fixed64(p, FIGURE_VALUE, bits_of(figure.value));
    end(out, proto_put_number(p, FIGURE_WHOLE, figure.whole_value));
}

static void add_point(struct buf *out, const struct series_point *point) {
    size_t size = proto_number_size(point->start_ms / 1000) + proto_number_size(point->tally.sum);
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return;
    p = proto_put_message(p, FIGURES_SERIES, size);
    p = proto_put_number(p, POINT_TIMESTAMP, point->start_ms / 1000);
    end(out, proto_put_number(p, POINT_VALUE, point->tally.sum));
}

void analytics_encode_stats_answer(struct buf *out, const struct analytics_ask *ask,
                                   unsigned metrics) {
    const struct stats_answer *answer = &ask->stats_answer;

    add_text(out, FIGURES_ID, ask->stats.resource_id);
    add_text(out, FIGURES_TYPE, ask->stats.counter_type);
    for (unsigned i = 0; i < STATS_METRICS; i++)
        if (metrics & 1u << i)
            add_figure(out, answer, (enum stats_metric)i);
    for (size_t i = 0; i < answer->count; i++)
        add_point(out, &answer->points[i]);
    add_number(out, FIGURES_AS_OF, ask->as_of_ms / 1000);
    add_number(out, FIGURES_EXACT, answer->certainty.exact);
    add_number(out, FIGURES_ERROR, answer->certainty.exact ? 0 : answer->certainty.max_error);
    add_number(out, FIGURES_LAG, (int64_t)ask->lag);
    add_number(out, FIGURES_AS_OF_MS, ask->as_of_ms);
    add_number(out, FIGURES_SINCE_MS, answer->certainty.since_ms);
    add_coverage(out, FIGURES_COVERAGE, &ask->coverage);
}
