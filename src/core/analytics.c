/* analytics.c - each event once, in order; or the lane stands still. */
#include "core/analytics.h"

#include <stdlib.h>

#include "core/analytics_internal.h"

/* ---- open and close ---- */

static enum err make(struct analytics *a) {
    enum err err = tally_delta_init(&a->delta, a->conf.delta_rows);

    a->changed = malloc(a->conf.delta_rows * sizeof(*a->changed));
    if (!a->changed)
        return ERR_NO_MEMORY;
    return err == ERR_OK ? analytics_make_rest(a) : err;
}

enum err analytics_open(struct tally_store *store, const struct analytics_conf *conf,
                        int64_t now_ms, struct analytics **out) {
    struct analytics *a = calloc(1, sizeof(*a));

    if (!a)
        return ERR_NO_MEMORY;
    a->store = store;
    a->conf = *conf;
    enum err err = make(a);
    if (err == ERR_OK)
        err = analytics_load(a);
    if (err == ERR_OK)
        err = analytics_build_windows(a, now_ms > a->latest_ms ? now_ms : a->latest_ms);
    if (err != ERR_OK) {
        analytics_close(a);
        return err;
    }
    *out = a;
    return ERR_OK;
}

void analytics_close(struct analytics *a) {
    if (!a)
        return;
    analytics_counters_release(a);
    tally_delta_release(&a->delta);
    buf_release(&a->scratch);
    buf_release(&a->record);
    free(a->lanes);
    free(a);
}

/* ---- the source ---- */

enum err analytics_source(struct analytics *a, uint64_t store_id, uint32_t lanes,
                          const struct event_position *from) {
    if (a->lanes && (a->store_id != store_id || a->lanes_count != lanes))
        return ERR_LAYOUT;
    if (!a->lanes) {
        a->lanes = calloc(lanes, sizeof(*a->lanes));
        if (!a->lanes)
            return ERR_NO_MEMORY;
        a->store_id = store_id;
        a->lanes_count = lanes;
        a->source_dirty = true;
    }
    for (uint32_t i = 0; i < lanes; i++) {
        if (a->lanes[i].at.epoch)
            continue;
        a->lanes[i].at = from[i];
        a->lanes[i].dirty = true;
    }
    return ERR_OK;
}

struct event_position analytics_position(const struct analytics *a, uint32_t lane) {
    return a->lanes[lane].at;
}

void analytics_halt(struct analytics *a, uint32_t lane) {
    if (!a->lanes[lane].halted)
        a->stats.halted++;
    a->lanes[lane].halted = true;
}

/* ---- one event ---- */

/* Of counters beyond the limit only the increases count: none of them can have more. */
static struct tally tally_of(const struct tracked *counter, const struct event *event) {
    if (analytics_is_rest(counter))
        return (struct tally){event->delta > 0 ? event->delta : 0, event->count};
    return (struct tally){event->delta, event->kind == OP_ADD ? event->count : 0};
}

static void count_value(struct tracked *counter, const struct event *event, struct tally tally,
                        bool first) {
    counter->increments += tally.increments;
    if (!analytics_is_rest(counter)) {
        counter->external = (int64_t)((uint64_t)counter->external + (uint64_t)event->new_value -
                                      (uint64_t)event->delta - (uint64_t)counter->value);
        counter->value = event->new_value;
    } else if (first || event->new_value > counter->value) {
        counter->value = event->new_value;
    }
}

static void count_in_buckets(struct analytics *a, uint32_t counter, int64_t et_ms,
                             struct tally tally) {
    bool kept[BUCKET_WIDTHS];

    for (unsigned i = 0; i < BUCKET_WIDTHS; i++) {
        enum bucket_width width = (enum bucket_width)i;
        struct tally_cell cell = {width, time_bucket_of(width, et_ms), counter};

        kept[width] = cell.bucket >= time_bucket_oldest(width, a->end_ms);
        if (kept[width])
            tally_delta_add(&a->delta, cell, tally);
    }
    if (!kept[BUCKET_DAY])
        a->stats.late++;
    for (unsigned i = 0; i < RANGE_WINDOWS; i++) {
        enum time_range range = (enum time_range)i;
        enum bucket_width width = time_range_width(range);

        if (bucket_span_has(a->spans[range], time_bucket_of(width, et_ms)))
            analytics_window_add(a, counter, range, tally, false);
    }
}

static enum err count_event(struct analytics *a, const struct event *event) {
    uint32_t number;
    uint32_t known = a->ids.count;
    enum err err = analytics_counter(a, event->resource_id, event->counter_type, &number);

    if (err != ERR_OK)
        return err;
    struct tracked *counter = &a->counters[number];
    struct tally tally = tally_of(counter, event);
    if (analytics_is_rest(counter))
        a->stats.refused++;
    count_value(counter, event, tally, number >= known);
    if (!counter->dirty)
        a->changed[a->changed_count++] = number;
    counter->dirty = true;
    count_in_buckets(a, number, event->et_ms, tally);
    analytics_rank_value(a, number);
    return ERR_OK;
}

/* ---- in order ---- */

enum place { BEHIND, NEXT, AHEAD };

static enum place place_of(struct event_position at, struct event_position event) {
    if (event.epoch != at.epoch)
        return event.epoch < at.epoch ? BEHIND : event.seq == 1 ? NEXT : AHEAD;
    if (event.seq <= at.seq)
        return BEHIND;
    return event.seq == at.seq + 1 ? NEXT : AHEAD;
}

static bool has_room(const struct analytics *a) {
    return tally_delta_room(&a->delta, ANALYTICS_EVENT_ROWS) &&
           a->changed_count < a->conf.delta_rows;
}

static enum err apply_one(struct analytics *a, struct analytics_lane *lane,
                          const struct event *event) {
    enum place place = place_of(lane->at, event->at);

    if (place == BEHIND) {
        a->stats.duplicates++;
        return ERR_OK;
    }
    if (place == AHEAD) {
        analytics_halt(a, event->lane);
        return ERR_TRIMMED;
    }
    if (!has_room(a))
        return ERR_BUSY;
    enum err err = count_event(a, event);
    if (err != ERR_OK)
        return err;
    a->stats.events++;
    lane->at = event->at;
    lane->dirty = true;
    if (event->et_ms > lane->latest_ms)
        lane->latest_ms = event->et_ms;
    if (event->et_ms > a->latest_ms)
        a->latest_ms = event->et_ms;
    return ERR_OK;
}

enum err analytics_apply(struct analytics *a, const struct event *events, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct analytics_lane *lane = &a->lanes[events[i].lane];
        enum err err = lane->halted ? ERR_TRIMMED : apply_one(a, lane, &events[i]);

        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* ---- storing ---- */

bool analytics_dirty(const struct analytics *a) {
    bool dirty = a->source_dirty || a->changed_count || a->delta.count;

    for (uint32_t i = 0; !dirty && i < a->lanes_count; i++)
        dirty = a->lanes[i].dirty;
    return dirty;
}

enum err analytics_commit(struct analytics *a) {
    if (!analytics_dirty(a))
        return ERR_OK;
    analytics_stage(a);
    return a->store->ops->commit(a->store);
}

void analytics_stats(const struct analytics *a, struct analytics_stats *out) {
    *out = a->stats;
    out->counters = a->held;
}
