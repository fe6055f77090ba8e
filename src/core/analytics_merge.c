/* analytics_merge.c - rankings merged by value, series added up point by point. */
#include "core/analytics_merge.h"

#include <stdlib.h>
#include <string.h>

/* As exact as the least of them. */
static void doubt(struct certainty *all, const struct certainty *one) {
    bool first = all->exact;

    if (one->since_ms > all->since_ms)
        all->since_ms = one->since_ms;
    if (one->exact)
        return;
    all->exact = false;
    if (first || (all->max_error >= 0 && (one->max_error < 0 || one->max_error > all->max_error)))
        all->max_error = one->max_error;
}

/* ---- partitions ---- */

static void cover(struct analytics_ask *ask, struct analytics_ask *const *parts, size_t count) {
    ask->coverage = parts[0]->coverage;
    for (size_t i = 1; i < count; i++)
        coverage_merge(&ask->coverage, &parts[i]->coverage);
}

/* What another one counts is missing, or is there twice: no part can know. */
static void doubt_coverage(const struct coverage *coverage, struct certainty *all) {
    if (!coverage_whole(coverage))
        doubt(all, &(struct certainty){.exact = false, .max_error = -1});
}

/* ---- rankings ---- */

/* As core/ranking.h orders equal values. */
static int by_bytes(struct slice a, struct slice b) {
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_rank(const void *a, const void *b) {
    const struct top_item *left = a;
    const struct top_item *right = b;

    if (left->tally.sum != right->tally.sum)
        return left->tally.sum > right->tally.sum ? -1 : 1;
    return by_bytes(left->resource_id, right->resource_id);
}

/* The page's names, out of the parts' buffers. */
static bool keep_page(struct top_answer *out, const struct top_item *items, size_t count) {
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += items[i].resource_id.len;
    if (!buf_reserve(&out->names, bytes + 1))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct top_item item = items[i];
        size_t at = out->names.len;

        buf_add_slice(&out->names, item.resource_id);
        item.resource_id = slice_of(out->names.ptr + at, item.resource_id.len);
        buf_add(&out->items, &item, sizeof(item));
    }
    out->count = count;
    return !buf_failed(&out->items);
}

/* Parts of different windows, as one keeps its rankings for the moment in which a bucket leaves, or
 * has another clock: right for no instant. */
static bool same_window(enum time_range range, struct analytics_ask *const *parts, size_t count) {
    enum bucket_width width = time_range_width(range);
    size_t i = 1;

    while (i < count &&
           time_bucket_of(width, parts[i]->as_of_ms) == time_bucket_of(width, parts[0]->as_of_ms))
        i++;
    return i == count;
}

static enum err merge_tops(struct analytics_ask *ask, struct analytics_ask *const *parts,
                           size_t count) {
    struct buf all = {0};

    ask->top_answer.certainty = (struct certainty){.exact = true};
    for (size_t i = 0; i < count; i++) {
        const struct top_answer *part = &parts[i]->top_answer;

        doubt(&ask->top_answer.certainty, &part->certainty);
        buf_add(&all, part->items.ptr, part->count * sizeof(struct top_item));
    }
    if (ask->top.range != RANGE_ALL && !same_window(ask->top.range, parts, count))
        doubt(&ask->top_answer.certainty, &(struct certainty){.max_error = -1});
    doubt_coverage(&ask->coverage, &ask->top_answer.certainty);
    size_t found = all.len / sizeof(struct top_item);
    struct top_item *items = (struct top_item *)(void *)all.ptr;
    if (found)
        qsort(items, found, sizeof(*items), by_rank);
    size_t skip = ask->top.offset - parts[0]->top.offset;
    if (skip > found)
        skip = found;
    size_t left = found - skip;
    bool kept = !buf_failed(&all) && keep_page(&ask->top_answer, left ? items + skip : items,
                                               left < ask->top.limit ? left : ask->top.limit);
    buf_release(&all);
    return kept ? ERR_OK : ERR_NO_MEMORY;
}

/* ---- series ---- */

static void add_point(struct stats_answer *all, const struct series_point *point) {
    size_t at = all->count;

    while (at > 0 && all->points[at - 1].start_ms > point->start_ms)
        at--;
    if (at > 0 && all->points[at - 1].start_ms == point->start_ms) {
        tally_add(&all->points[at - 1].tally, point->tally);
        return;
    }
    if (all->count == RANGE_POINTS_MAX)
        return; /* instances whose clocks are days apart */
    memmove(&all->points[at + 1], &all->points[at],
            (all->count - at) * sizeof(struct series_point));
    all->points[at] = *point;
    all->count++;
}

static void merge_stats(struct analytics_ask *ask, struct analytics_ask *const *parts,
                        size_t count) {
    struct stats_answer *all = &ask->stats_answer;

    all->certainty = (struct certainty){.exact = true};
    all->total = (struct tally){0, 0};
    all->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct stats_answer *part = &parts[i]->stats_answer;

        doubt(&all->certainty, &part->certainty);
        tally_add(&all->total, part->total);
        for (size_t k = 0; k < part->count; k++)
            add_point(all, &part->points[k]);
    }
    doubt_coverage(&ask->coverage, &all->certainty);
    analytics_summarize(all, ask->as_of_ms);
}

/* Where all of them have come to; of a counter's stats, those who know it. */
static int64_t as_of_ms(const struct analytics_ask *ask, struct analytics_ask *const *parts,
                        size_t count) {
    int64_t least_ms = INT64_MAX;
    int64_t known_ms = INT64_MAX;

    for (size_t i = 0; i < count; i++) {
        if (parts[i]->as_of_ms < least_ms)
            least_ms = parts[i]->as_of_ms;
        if (parts[i]->stats_answer.count && parts[i]->as_of_ms < known_ms)
            known_ms = parts[i]->as_of_ms;
    }
    return ask->kind == ASK_STATS && known_ms != INT64_MAX ? known_ms : least_ms;
}

enum err analytics_merge(struct analytics_ask *ask, struct analytics_ask *const *parts,
                         size_t count) {
    cover(ask, parts, count);
    ask->as_of_ms = as_of_ms(ask, parts, count);
    ask->lag = 0;
    for (size_t i = 0; i < count; i++)
        ask->lag += parts[i]->lag;
    if (ask->kind == ASK_TOP)
        return merge_tops(ask, parts, count);
    merge_stats(ask, parts, count);
    return ERR_OK;
}
