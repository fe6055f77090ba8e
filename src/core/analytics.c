/* analytics.c - each event once, in order; or the lane stands still. */
#include "core/analytics.h"

#include <stdlib.h>

#include "core/analytics_internal.h"

#define LOOK_AHEAD 32 /* events whose counters are looked for side by side */

/* ---- open and close ---- */

static enum err make(struct analytics *a) {
    enum err err = analytics_generations_init(a);

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
    if (a->committing) /* its memory is read */
        (void)a->store->ops->end(a->store, true);
    analytics_windows_release(a);
    analytics_generations_release(a);
    analytics_counters_release(a);
    buf_release(&a->mark);
    buf_release(&a->scratch);
    buf_release(&a->record);
    buf_release(&a->looked);
    free(a->touched);
    free(a->unproven);
    free(a->lanes);
    free(a);
}

/* ---- the source ---- */

void analytics_find_since(struct analytics *a) {
    a->since_ms = 0;
    for (uint32_t i = 0; i < a->lanes_count; i++)
        if (!analytics_elsewhere(a, i) && a->lanes[i].since_ms > a->since_ms)
            a->since_ms = a->lanes[i].since_ms;
}

static void set_since(struct analytics *a, struct analytics_lane *lane, int64_t since_ms) {
    lane->since_ms = since_ms > 0 ? since_ms : 1;
    analytics_find_since(a);
}

/* Nothing happened before. */
static bool is_the_beginning(struct event_position from) {
    return from.epoch <= 1 && from.seq == 0;
}

enum err analytics_source(struct analytics *a, uint64_t store_id, uint32_t lanes,
                          const struct event_position *from) {
    if (a->lanes && (a->store_id != store_id || a->lanes_count != lanes))
        return ERR_LAYOUT;
    if (!a->lanes) {
        if (!analytics_make_lanes(a, lanes))
            return ERR_NO_MEMORY;
        a->store_id = store_id;
        a->made = ANALYTICS_VERSION;
        analytics_open_generation(a)->source_dirty = true;
        analytics_mark_lanes(a);
    }
    for (uint32_t i = 0; i < lanes; i++) {
        struct analytics_lane *lane = &a->lanes[i];

        if (lane->at.epoch)
            continue;
        lane->at = lane->stored = from[i];
        analytics_open_generation(a)->lanes_dirty = true;
        if (!is_the_beginning(from[i])) /* until its first event tells better */
            set_since(a, lane, a->end_ms);
    }
    return ERR_OK;
}

uint64_t analytics_store_id(const struct analytics *a, uint32_t *out_lanes) {
    *out_lanes = a->lanes_count;
    return a->store_id;
}

struct event_position analytics_position(const struct analytics *a, uint32_t lane) {
    return a->lanes[lane].at;
}

struct event_position analytics_stored_position(const struct analytics *a, uint32_t lane) {
    return a->lanes[lane].stored;
}

void analytics_skip(struct analytics *a, uint32_t number, struct event_position at) {
    struct analytics_lane *lane = &a->lanes[number];

    if (lane->at.epoch || is_the_beginning(at))
        return;
    lane->at = at;
    set_since(a, lane, a->end_ms);
    analytics_open_generation(a)->lanes_dirty = true;
}

void analytics_rehome(struct analytics *a, struct tally_store *store, void (*ended)(void *ctx),
                      void *ctx) {
    a->store = store;
    a->conf.ended = ended;
    a->conf.ctx = ctx;
}

void analytics_halt(struct analytics *a, uint32_t lane) {
    struct analytics_lane *it = &a->lanes[lane];

    a->stats.halted += !it->halted;
    a->stats.missed += !it->missed;
    it->halted = it->missed = true;
    analytics_open_generation(a)->lanes_dirty = true;
    analytics_still_end_all(a); /* they say that nothing is missing */
}

/* ---- one event ---- */

/* Of counters beyond the limit only the increases count: none of them can have more. */
static struct tally tally_of(const struct tracked *counter, const struct event *event) {
    if (analytics_is_rest(counter))
        return (struct tally){event->delta > 0 ? event->delta : 0, event->count};
    return (struct tally){event->delta, event->kind == OP_ADD ? event->count : 0};
}

static struct tally value_after(const struct tracked *counter, struct tally before,
                                const struct event *event, struct tally tally, bool first) {
    struct tally after = {before.sum, before.increments + tally.increments};

    if (!analytics_is_rest(counter) || first || event->new_value > before.sum)
        after.sum = event->new_value;
    return after;
}

/* The finest bucket that is kept for the time; false: none is. */
static bool finest_bucket(const struct analytics *a, int64_t et_ms, struct tally_cell *out) {
    for (unsigned i = 0; i < BUCKET_WIDTHS; i++) {
        out->width = (enum bucket_width)i;
        out->bucket = time_bucket_of(out->width, et_ms);
        if (out->bucket >= time_bucket_oldest(out->width, a->end_ms))
            return true;
    }
    return false;
}

static void count_in_windows(struct analytics *a, uint32_t counter, int64_t et_ms,
                             struct tally more) {
    for (unsigned i = 0; i < RANGE_WINDOWS; i++) {
        enum time_range range = (enum time_range)i;

        if (!bucket_span_has(a->spans[range], time_bucket_of(time_range_width(range), et_ms)))
            continue;
        struct tally tally = analytics_tally(a, counter, range);
        tally_add(&tally, more);
        analytics_rank(a, counter, range, tally);
    }
}

/* An event tells the value before it: the total here, if nothing has gone wrong. Not of a counter
 * that isn't held, or whose total isn't known from an event before or from the beginning. */
static void compare(struct analytics *a, uint32_t counter, const struct event *event, bool first) {
    uint64_t before = (uint64_t)event->new_value - (uint64_t)event->delta;

    if (analytics_is_rest(&a->counters[counter]) || (first && !analytics_values_known(a)) ||
        !analytics_proven(a, counter))
        return;
    a->stats.checked++;
    if ((uint64_t)analytics_tally(a, counter, RANGE_ALL).sum == before)
        return;
    if (a->conf.others_write)
        a->stats.external++;
    else
        a->stats.drifting++;
}

static enum err count_event(struct analytics *a, const struct event *event,
                            const struct lookup *lookup) {
    struct tally_pending *pending = &analytics_open_generation(a)->pending;
    struct tally_cell cell;
    uint32_t known = a->ids.count;
    enum err err = analytics_counter(a, lookup, event->lane + 1, &cell.counter);

    if (err != ERR_OK)
        return err;
    struct tracked *tracked = &a->counters[cell.counter];
    bool first = cell.counter >= known;
    struct tally tally = tally_of(tracked, event);
    struct pending_counter *counter =
        tally_pending_touch(pending, cell.counter, &tracked->hint[a->open]);

    a->stats.refused += analytics_is_rest(tracked);
    compare(a, cell.counter, event, first);
    counter->now =
        value_after(tracked, analytics_tally(a, cell.counter, RANGE_ALL), event, tally, first);
    analytics_rank(a, cell.counter, RANGE_ALL, counter->now);
    analytics_touch(a, cell.counter);
    if (finest_bucket(a, event->et_ms, &cell))
        tally_pending_add(pending, counter, cell, BUCKET_DAY, tally);
    else
        a->stats.late++;
    count_in_windows(a, cell.counter, event->et_ms, tally);
    return first ? tally_pending_name(pending, counter, bytes_table_key(&a->ids, cell.counter),
                                      tracked->lane)
                 : ERR_OK;
}

/* ---- in order ---- */

enum place { BEHIND, NEXT, AHEAD };

/* Behind {0, 0} anything is next: what came before was not there to be read any more. */
static enum place place_of(struct event_position at, struct event_position event) {
    if (at.epoch == 0)
        return NEXT;
    if (event.epoch != at.epoch)
        return event.epoch < at.epoch ? BEHIND : event.seq == 1 ? NEXT : AHEAD;
    if (event.seq <= at.seq)
        return BEHIND;
    return event.seq == at.seq + 1 ? NEXT : AHEAD;
}

/* With its first event: what isn't there happened before. */
static void begin_lane(struct analytics *a, struct analytics_lane *lane,
                       const struct event *event) {
    bool first = event->at.epoch == 1 && event->at.seq == 1;

    if ((lane->since_ms == 0 && lane->at.epoch == 0 && !first) || lane->since_ms > event->et_ms)
        set_since(a, lane, event->et_ms);
}

static enum err apply_one(struct analytics *a, const struct event *event,
                          const struct lookup *lookup) {
    struct analytics_lane *lane = &a->lanes[event->lane];
    enum place place = place_of(lane->at, event->at);

    if (place == BEHIND) {
        a->stats.duplicates++;
        return ERR_OK;
    }
    if (place == AHEAD) {
        analytics_halt(a, event->lane);
        return ERR_TRIMMED;
    }
    if (!tally_pending_room(&analytics_open_generation(a)->pending))
        return ERR_BUSY;
    if (lane->latest_ms == 0)
        begin_lane(a, lane, event); /* whether its counters' totals are known */
    enum err err = count_event(a, event, lookup);
    if (err != ERR_OK)
        return err;
    a->stats.events++;
    lane->at = event->at;
    analytics_open_generation(a)->lanes_dirty = true;
    if (event->et_ms > lane->latest_ms)
        lane->latest_ms = event->et_ms;
    if (event->et_ms > a->latest_ms)
        a->latest_ms = event->et_ms;
    return ERR_OK;
}

static enum err take(struct analytics *a, const struct event *event, const struct lookup *lookup) {
    const struct analytics_lane *lane = &a->lanes[event->lane];

    if (!analytics_counts(lane->partition))
        return ERR_OK; /* nobody's, or another's */
    return lane->halted ? ERR_TRIMMED : apply_one(a, event, lookup);
}

/* False: no memory. */
static bool look_ahead(struct analytics *a, const struct event *events, size_t count,
                       struct lookup lookups[LOOK_AHEAD]) {
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += events[i].resource_id.len + 1 + events[i].counter_type.len;
    buf_clear(&a->looked);
    if (!buf_reserve(&a->looked, bytes)) /* ids stay where they are */
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t at = a->looked.len;

        buf_add_slice(&a->looked, events[i].resource_id);
        buf_add_char(&a->looked, '\0');
        buf_add_slice(&a->looked, events[i].counter_type);
        analytics_look(a, slice_of(a->looked.ptr + at, a->looked.len - at), &lookups[i]);
    }
    for (size_t i = 0; i < count; i++)
        analytics_look_row(a, &lookups[i]);
    for (size_t i = 0; i < count; i++)
        analytics_look_key(a, &lookups[i]);
    return true;
}

enum err analytics_apply(struct analytics *a, const struct event *events, size_t count) {
    struct lookup lookups[LOOK_AHEAD];
    enum err err = ERR_OK;

    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        size_t left = count - i;

        if (i % LOOK_AHEAD == 0 &&
            !look_ahead(a, events + i, left < LOOK_AHEAD ? left : LOOK_AHEAD, lookups))
            return ERR_NO_MEMORY;
        err = take(a, &events[i], &lookups[i % LOOK_AHEAD]);
    }
    return err;
}

void analytics_stats(const struct analytics *a, struct analytics_stats *out) {
    *out = a->stats;
    out->counters = a->held;
}
