/* analytics_query.c - tops and series. */
#include <stdlib.h>

#include "core/analytics_internal.h"

/* ---- what may be missing ---- */

/* Nobody knows what is missing: events are, values are being taken, or a partition is on its way.
 */
static bool is_unsure(const struct analytics *a, enum time_range range) {
    return a->stats.missed || analytics_moving(a) ||
           (range == RANGE_ALL && (a->touched || !analytics_values_known(a)));
}

/* 0: the range begins behind all that was not there to be read. */
static int64_t since_ms(const struct analytics *a, enum time_range range) {
    int64_t begin_ms =
        time_range_span(range, a->end_ms).first * time_bucket_ms(time_range_width(range));

    return begin_ms < a->since_ms ? a->since_ms : 0;
}

/* As far as it isn't about counters that aren't held. */
static struct certainty certainty_of_held(const struct analytics *a, enum time_range range) {
    struct certainty certainty = {.exact = true, .since_ms = since_ms(a, range)};

    if (!is_unsure(a, range) && (range == RANGE_ALL || certainty.since_ms == 0))
        return certainty;
    certainty.exact = false;
    certainty.max_error = -1;
    return certainty;
}

struct certainty analytics_certainty(struct analytics *a, const struct counter_type *type,
                                     const struct stats_query *one, enum time_range range) {
    struct certainty certainty = certainty_of_held(a, range);

    if (certainty.exact && analytics_rest_bound(a, type, one, range, &certainty.max_error))
        certainty.exact = false;
    return certainty;
}

/* A type that isn't known may be among those beyond the limit. */
static const struct counter_type *type_or_rest(const struct analytics *a, struct slice name) {
    const struct counter_type *type = analytics_type(a, name);

    return type ? type : a->types[0];
}

/* ---- top ---- */

static struct slice resource_of(const struct analytics *a, uint32_t counter) {
    struct slice id = bytes_table_key(&a->ids, counter);

    return slice_of(id.ptr, strnlen(id.ptr, id.len));
}

static enum err put_items(const struct analytics *a, const struct counter_type *type,
                          const struct still_row *rows, size_t count, struct top_answer *out) {
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += resource_of(a, type->members[rows[i].entry]).len;
    if (!buf_reserve(&out->names, bytes) ||
        !buf_reserve(&out->items, count * sizeof(struct top_item)))
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct slice name = resource_of(a, type->members[rows[i].entry]);
        struct top_item item = {.resource_id = slice_of(out->names.ptr + out->names.len, name.len),
                                .tally = rows[i].tally};

        buf_add_slice(&out->names, name);
        buf_add(&out->items, &item, sizeof(item));
    }
    out->count = count;
    return ERR_OK;
}

/* Ahead of all that may be missing: then nothing is. */
static void trust(struct top_answer *answer, int64_t last) {
    if (answer->certainty.max_error >= 0 && last > answer->certainty.max_error)
        answer->certainty =
            (struct certainty){.exact = true, .since_ms = answer->certainty.since_ms};
}

/* The first 'found' of them, 'reach' were asked for. */
static enum err put_page(const struct analytics *a, const struct counter_type *type,
                         const struct top_query *query, const struct still_row *rows, size_t found,
                         struct top_answer *out) {
    size_t reach = (size_t)query->offset + query->limit;

    if (found > reach)
        found = reach;
    if (found && found == reach)
        trust(out, rows[found - 1].tally.sum);
    return found > query->offset
               ? put_items(a, type, rows + query->offset, found - query->offset, out)
               : ERR_OK;
}

/* As it is now. While a bucket leaves, nobody knows what that is. */
static enum err put_current(struct analytics *a, const struct counter_type *type,
                            const struct top_query *query, struct top_answer *out) {
    size_t reach = (size_t)query->offset + query->limit;
    uint32_t *entries = malloc((reach ? reach : 1) * sizeof(*entries));
    struct still_row *rows = malloc((reach ? reach : 1) * sizeof(*rows));
    size_t found = 0;
    enum err err = entries && rows ? ranking_top(&type->rankings, &type->order, query->range, reach,
                                                 entries, &found)
                                   : ERR_NO_MEMORY;

    for (size_t i = 0; i < found; i++)
        rows[i] =
            (struct still_row){entries[i], ranking_get(&type->rankings, query->range, entries[i])};
    out->certainty = analytics_certainty(a, type, NULL, query->range);
    if (query->range != RANGE_ALL && a->leaving[query->range].cursor) {
        out->certainty.exact = false;
        out->certainty.max_error = -1;
    }
    if (err == ERR_OK)
        err = put_page(a, type, query, rows, found, out);
    free(entries);
    free(rows);
    return err;
}

enum err analytics_top(struct analytics *a, const struct top_query *query, struct top_answer *out) {
    const struct counter_type *type = type_or_rest(a, query->counter_type);
    const struct still_ranking *still =
        analytics_still(a, type, query->range, (size_t)query->offset + query->limit);

    buf_clear(&out->items);
    buf_clear(&out->names);
    out->count = 0;
    out->as_of_ms = still ? a->stills[query->range].as_of_ms : a->end_ms;
    out->since = still ? a->stats.events - a->stills[query->range].events : 0;
    if (!still)
        return put_current(a, type, query, out);
    out->certainty = still->certainty;
    return put_page(a, type, query, still->rows, still->count, out);
}

/* ---- series ---- */

static enum err read_point(struct analytics *a, struct tally_cell cell, struct series_point *out) {
    struct tally tally = {0};

    buf_clear(&a->record);
    enum err err = a->store->ops->get(a->store, analytics_cell_key(&a->scratch, cell), &a->record);
    if (err == ERR_OK)
        err = tally_group_find(buf_slice(&a->record), cell.counter % TALLY_GROUP, &tally);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    for (unsigned i = 0; i < GENERATIONS; i++)
        tally_add(&tally, tally_pending_find(&a->generations[i].pending,
                                             a->counters[cell.counter].hint[i], cell));
    *out = (struct series_point){cell.bucket * time_bucket_ms(cell.width), tally};
    return ERR_OK;
}

static enum err read_points(struct analytics *a, uint32_t counter, enum time_range range,
                            struct stats_answer *out) {
    struct bucket_span span = time_range_span(range, a->end_ms);
    struct tally_cell cell = {.width = time_range_width(range), .counter = counter};

    for (cell.bucket = span.first < 0 ? 0 : span.first; cell.bucket <= span.last; cell.bucket++) {
        struct series_point *point = &out->points[out->count];
        enum err err = read_point(a, cell, point);

        if (err != ERR_OK)
            return err;
        /* The series of all begins with the counter. */
        if (range != RANGE_ALL || out->count || !tally_empty(point->tally))
            out->count++;
    }
    return ERR_OK;
}

/* What the window will be, when all that leaves has left. */
static struct tally sum_of_points(const struct stats_answer *answer) {
    struct tally sum = {0};

    for (size_t i = 0; i < answer->count; i++)
        tally_add(&sum, answer->points[i].tally);
    return sum;
}

enum err analytics_series(struct analytics *a, const struct stats_query *query,
                          struct stats_answer *out) {
    const struct counter_type *type = type_or_rest(a, query->counter_type);
    uint32_t number = analytics_find(a, query->resource_id, query->counter_type);

    if (number != NO_COUNTER && analytics_hidden(a, number))
        number = NO_COUNTER;
    *out = (struct stats_answer){
        .certainty = number == NO_COUNTER ? analytics_certainty(a, type, query, query->range)
                                          : certainty_of_held(a, query->range)};
    if (number == NO_COUNTER)
        return ERR_OK;
    const struct tracked *counter = &a->counters[number];
    out->total = ranking_get(&type->rankings, query->range, counter->entry);
    enum err err = read_points(a, number, query->range, out);
    if (query->range != RANGE_ALL && a->leaving[query->range].cursor)
        out->total = sum_of_points(out);
    if (err == ERR_OK)
        analytics_summarize(out, a->end_ms);
    return err;
}

/* ---- figures of a series ---- */

/* The slope of the least-squares line through the complete points, in units of a point. */
static double slope(const struct series_point *points, size_t count) {
    double mean_x = ((double)count - 1) / 2;
    double mean_y = 0;
    double covariance = 0;
    double variance = 0;

    if (count < 2)
        return 0;
    for (size_t i = 0; i < count; i++)
        mean_y += (double)points[i].tally.sum / (double)count;
    for (size_t i = 0; i < count; i++) {
        covariance += ((double)i - mean_x) * ((double)points[i].tally.sum - mean_y);
        variance += ((double)i - mean_x) * ((double)i - mean_x);
    }
    return covariance / variance;
}

void analytics_summarize(struct stats_answer *answer, int64_t end_ms) {
    double sum = 0;

    answer->avg = answer->rate = answer->trend = 0;
    answer->peak = 0;
    if (answer->count == 0)
        return;
    answer->peak = answer->points[0].tally.sum;
    for (size_t i = 0; i < answer->count; i++) {
        sum += (double)answer->points[i].tally.sum;
        if (answer->points[i].tally.sum > answer->peak)
            answer->peak = answer->points[i].tally.sum;
    }
    int64_t elapsed_ms = end_ms - answer->points[0].start_ms;
    answer->avg = sum / (double)answer->count;
    answer->rate = elapsed_ms > 0 ? sum * 1000 / (double)elapsed_ms : 0;
    answer->trend = slope(answer->points, answer->count - 1);
}
