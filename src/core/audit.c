/* audit.c - one row for each counter and lane, moved by events in their order. */
#include "core/audit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "core/bytes_table.h"
#include "core/hash.h"

/* Events of a lane that haven't come though later ones have. */
struct hole {
    uint64_t epoch;
    uint64_t first;
    uint64_t last;
};

struct lane_row {
    struct event_position began; /* where reading began */
    struct event_position needed;
    struct event_position reached;
    uint64_t begins;
    uint64_t begins_epoch;
    struct hole *holes;
    size_t holes_count;
    size_t holes_cap;
    struct event_position holed; /* behind the latest hole ever seen, filled or not */
    uint64_t out_of_order;
};

struct counter_row {
    struct event_position at;
    struct event_position last_at; /* of its last event */
    uint64_t value;
    uint64_t last; /* its new_value then */
    uint64_t sum;
    uint64_t opening;
    uint64_t external;
    uint64_t lost;
    uint64_t events;
    int64_t total; /* of analytics, */
    enum total_state total_state;
    bool asked; /* if it was */
    bool absent;
    uint32_t lane;
};

struct audit {
    struct audit_conf conf;
    struct lane_row *lanes;
    struct bytes_table names; /* resource_id, a zero byte, counter_type */
    struct counter_row *counters;
    size_t counters_cap;
    struct buf id;
    uint64_t events;
    uint64_t duplicates;
    uint64_t foreign;
};

struct audit *audit_new(const struct audit_conf *conf) {
    struct audit *audit = calloc(1, sizeof(*audit));

    if (!audit)
        return NULL;
    audit->conf = *conf;
    audit->lanes = calloc(conf->lanes, sizeof(*audit->lanes));
    if (!audit->lanes) {
        audit_free(audit);
        return NULL;
    }
    return audit;
}

void audit_free(struct audit *audit) {
    if (!audit)
        return;
    for (uint32_t i = 0; audit->lanes && i < audit->conf.lanes; i++)
        free(audit->lanes[i].holes);
    free(audit->lanes);
    bytes_table_release(&audit->names);
    free(audit->counters);
    buf_release(&audit->id);
    free(audit);
}

/* {epoch, 0}: the epoch has no event yet, so none is waited for. */
static void need(struct lane_row *lane, struct event_position at) {
    if (at.seq && event_position_less(lane->needed, at))
        lane->needed = at;
}

/* ---- what was read ---- */

void audit_lane(struct audit *audit, uint32_t lane, struct event_position at) {
    audit->lanes[lane].began = at;
    need(&audit->lanes[lane], at);
}

static bool make_id(struct audit *audit, struct slice resource_id, struct slice counter_type) {
    buf_clear(&audit->id);
    buf_add_slice(&audit->id, resource_id);
    buf_add_char(&audit->id, '\0');
    buf_add_slice(&audit->id, counter_type);
    return !buf_failed(&audit->id);
}

static bool grow(struct audit *audit) {
    size_t cap = audit->counters_cap ? 2 * audit->counters_cap : 256;
    struct counter_row *rows;

    if (audit->names.count < audit->counters_cap)
        return true;
    rows = realloc(audit->counters, cap * sizeof(*rows));
    if (!rows)
        return false;
    audit->counters = rows;
    audit->counters_cap = cap;
    return true;
}

/* The counter of this name; a new one if 'add'. NULL: there is none, or no memory for one. */
static struct counter_row *row_of(struct audit *audit, bool add) {
    struct slice id = buf_slice(&audit->id);
    uint64_t hash = hash64(id);
    uint32_t number = bytes_table_find(&audit->names, hash, id);

    if (number != BYTES_TABLE_NONE)
        return &audit->counters[number];
    if (!add || !grow(audit))
        return NULL;
    number = bytes_table_add(&audit->names, hash, id);
    if (number == BYTES_TABLE_NONE)
        return NULL;
    audit->counters[number] = (struct counter_row){0};
    return &audit->counters[number];
}

enum err audit_counter(struct audit *audit, uint32_t lane, struct slice resource_id,
                       struct slice counter_type, int64_t value, struct event_position at) {
    struct counter_row *row =
        make_id(audit, resource_id, counter_type) ? row_of(audit, true) : NULL;

    if (!row)
        return ERR_NO_MEMORY;
    *row = (struct counter_row){.at = at, .value = (uint64_t)value, .lane = lane};
    need(&audit->lanes[lane], at);
    return ERR_OK;
}

void audit_total(struct audit *audit, const struct total *total) {
    struct counter_row *row =
        make_id(audit, total->resource_id, total->counter_type) ? row_of(audit, false) : NULL;

    if (!row) /* no memory: it stays unasked, which the counts show */
        return;
    row->asked = true;
    row->total_state = total->state;
    row->total = total->value;
}

/* ---- lanes ---- */

static bool add_hole(struct lane_row *lane, struct hole hole) {
    if (lane->holes_count == lane->holes_cap) {
        size_t cap = lane->holes_cap ? 2 * lane->holes_cap : 8;
        struct hole *holes = realloc(lane->holes, cap * sizeof(*holes));

        if (!holes)
            return false;
        lane->holes = holes;
        lane->holes_cap = cap;
    }
    lane->holes[lane->holes_count++] = hole;
    return true;
}

/* Takes a number out of the hole that it is in; false: it is in none. */
static bool fill(struct lane_row *lane, struct event_position at, enum err *out_err) {
    for (size_t i = 0; i < lane->holes_count; i++) {
        struct hole *hole = &lane->holes[i];
        struct hole behind = {at.epoch, at.seq + 1, hole->last};

        if (hole->epoch != at.epoch || at.seq < hole->first || at.seq > hole->last)
            continue;
        hole->last = at.seq - 1;
        if (hole->last < hole->first)
            *hole = lane->holes[--lane->holes_count];
        if (behind.first <= behind.last && !add_hole(lane, behind))
            *out_err = ERR_NO_MEMORY;
        return true;
    }
    return false;
}

static enum err step_forward(struct lane_row *lane, struct event_position at) {
    bool same = at.epoch == lane->reached.epoch;
    uint64_t expected = same ? lane->reached.seq + 1 : 1;
    struct hole hole = {at.epoch, expected, at.seq - 1};

    if (!lane->begins) {
        lane->begins = at.seq;
        lane->begins_epoch = at.epoch;
    } else if (at.seq > expected) {
        if (!add_hole(lane, hole))
            return ERR_NO_MEMORY;
        lane->holed = (struct event_position){at.epoch, at.seq - 1};
    }
    lane->reached = at;
    return ERR_OK;
}

/* '*out_first': it hasn't come before. */
static enum err pass_lane(struct lane_row *lane, struct event_position at, bool *out_first) {
    enum err err = ERR_OK;

    *out_first = true;
    if (event_position_less(lane->reached, at))
        return step_forward(lane, at);
    *out_first = fill(lane, at, &err);
    lane->out_of_order += *out_first;
    return err;
}

/* Has the lane's first event ever come, or has it never had one? */
static bool is_whole(const struct lane_row *lane) {
    if (lane->begins)
        return lane->begins == 1 && lane->begins_epoch == 1;
    return lane->needed.seq == 0 && lane->began.epoch <= 1;
}

uint64_t audit_outstanding(const struct audit *audit) {
    uint64_t outstanding = 0;

    for (uint32_t i = 0; i < audit->conf.lanes; i++) {
        const struct lane_row *lane = &audit->lanes[i];
        bool same = lane->reached.epoch == lane->needed.epoch;

        if (event_position_less(lane->reached, lane->needed))
            outstanding += lane->needed.seq - (same ? lane->reached.seq : 0);
    }
    return outstanding;
}

/* ---- events ---- */

/* A change of the value that no event tells of, seen between 'row->last_at' and now. */
static void book(const struct audit *audit, struct counter_row *row, uint64_t jump) {
    const struct lane_row *lane = &audit->lanes[row->lane];
    bool events_missing = event_position_less(row->last_at, lane->holed);

    if (audit->conf.others_write && !events_missing)
        row->external += jump;
    else
        row->lost += jump;
}

static void count(const struct audit *audit, struct counter_row *row, const struct event *event) {
    uint64_t new_value = (uint64_t)event->new_value;
    uint64_t old_value = new_value - (uint64_t)event->delta;

    if (row->events == 0 && !is_whole(&audit->lanes[row->lane]))
        row->opening = old_value;
    else if (old_value != row->last)
        book(audit, row, old_value - row->last);
    row->sum += (uint64_t)event->delta;
    row->last = new_value;
    row->last_at = event->at;
    row->events++;
}

/* A counter that wasn't read, though all of its kind were: it was absent. NULL: it isn't asked for.
 */
static enum err row_for(struct audit *audit, const struct event *event, struct counter_row **out) {
    struct event_position began = audit->lanes[event->lane].began;
    bool add = audit->conf.adds_unread && !event_position_less(began, event->at) &&
               slice_starts(event->resource_id, audit->conf.adds);
    uint32_t before = audit->names.count;

    if (!make_id(audit, event->resource_id, event->counter_type))
        return ERR_NO_MEMORY;
    *out = row_of(audit, add);
    if (*out && audit->names.count != before)
        **out = (struct counter_row){.at = began, .lane = event->lane, .absent = true};
    return add && !*out ? ERR_NO_MEMORY : ERR_OK;
}

enum err audit_event(struct audit *audit, uint64_t store_id, const struct event *event) {
    struct counter_row *row = NULL;
    bool first;

    if (store_id != audit->conf.store_id) {
        audit->foreign++;
        return ERR_OK;
    }
    if (event->lane >= audit->conf.lanes || event->at.seq == 0)
        return ERR_CORRUPT;
    enum err err = pass_lane(&audit->lanes[event->lane], event->at, &first);
    if (err != ERR_OK)
        return err;
    audit->events += first;
    audit->duplicates += !first;
    if (first)
        err = row_for(audit, event, &row);
    if (row && !event_position_less(row->at, event->at))
        count(audit, row, event);
    return err;
}

/* ---- verdict ---- */

/* What the total should be: the value; or the last event's, where others have written since. */
static enum audit_analytics judge_total(const struct audit *audit, const struct counter_row *row,
                                        int64_t *out_ahead) {
    bool last_known = row->events || is_whole(&audit->lanes[row->lane]);
    uint64_t total = (uint64_t)row->total;

    *out_ahead = 0;
    if (!row->asked)
        return AUDIT_NOT_ASKED;
    if (row->total_state == TOTAL_NOT_HELD)
        return AUDIT_NOT_HELD;
    if (row->total_state == TOTAL_UNHEARD)
        return AUDIT_UNHEARD;
    if (total == row->value || (last_known && total == row->last))
        return AUDIT_AGREES;
    if (!last_known && audit->conf.others_write)
        return AUDIT_EXPLAINED;
    *out_ahead = (int64_t)(total - (last_known ? row->last : row->value));
    return AUDIT_DIFFERS;
}

static struct audit_verdict judge(const struct audit *audit, uint32_t number) {
    struct counter_row row = audit->counters[number]; /* a copy: what is behind the last event */
    struct slice id = bytes_table_key(&audit->names, number);
    size_t len = strlen(id.ptr); /* a zero byte stands between */
    bool unknown = row.events == 0 && row.value != 0 && !is_whole(&audit->lanes[row.lane]);
    int64_t ahead;
    enum audit_analytics analytics = judge_total(audit, &row, &ahead);

    if (unknown)
        row.opening = row.value;
    else if (row.value != row.last)
        book(audit, &row, row.value - row.last);
    return (struct audit_verdict){
        .resource_id = slice_of(id.ptr, len),
        .counter_type = slice_skip(id, len + 1),
        .lane = row.lane,
        .at = row.at,
        .absent = row.absent,
        .events = row.events,
        .value = (int64_t)row.value,
        .sum = (int64_t)row.sum,
        .opening = (int64_t)row.opening,
        .external = (int64_t)row.external,
        .drift = (int64_t)row.lost,
        .unknown = unknown,
        .analytics = analytics,
        .total = row.total,
        .ahead = ahead,
    };
}

void audit_each(const struct audit *audit,
                void (*take)(void *ctx, const struct audit_verdict *verdict), void *ctx) {
    for (uint32_t i = 0; i < audit->names.count; i++) {
        struct audit_verdict verdict = judge(audit, i);

        take(ctx, &verdict);
    }
}

static struct audit_lane_verdict judge_lane(const struct audit *audit, uint32_t number) {
    const struct lane_row *lane = &audit->lanes[number];
    struct audit_lane_verdict verdict = {
        .lane = number,
        .needed = lane->needed,
        .reached = lane->reached,
        .begins = lane->begins,
        .out_of_order = lane->out_of_order,
    };

    for (size_t i = 0; i < lane->holes_count; i++) {
        const struct hole *hole = &lane->holes[i];

        verdict.missing += hole->last - hole->first + 1;
        if (i == 0 || hole->first < verdict.missing_first) {
            verdict.missing_first = hole->first;
            verdict.missing_last = hole->last;
        }
    }
    return verdict;
}

void audit_each_lane(const struct audit *audit,
                     void (*take)(void *ctx, const struct audit_lane_verdict *verdict), void *ctx) {
    for (uint32_t i = 0; i < audit->conf.lanes; i++) {
        struct audit_lane_verdict verdict = judge_lane(audit, i);

        take(ctx, &verdict);
    }
}

static void add_counter(void *ctx, const struct audit_verdict *verdict) {
    struct audit_totals *totals = ctx;

    totals->counters++;
    totals->drifting += verdict->drift != 0;
    totals->external += verdict->external != 0;
    totals->unknown += verdict->unknown;
    totals->agreeing += verdict->analytics == AUDIT_AGREES;
    totals->differing += verdict->analytics == AUDIT_DIFFERS;
    totals->incomparable += verdict->analytics > AUDIT_DIFFERS;
}

static void add_lane(void *ctx, const struct audit_lane_verdict *verdict) {
    struct audit_totals *totals = ctx;

    totals->missing += verdict->missing;
    totals->out_of_order += verdict->out_of_order;
    totals->behind += event_position_less(verdict->reached, verdict->needed);
}

bool audit_judge(const struct audit *audit, struct audit_totals *out) {
    *out = (struct audit_totals){
        .events = audit->events, .duplicates = audit->duplicates, .foreign = audit->foreign};
    audit_each(audit, add_counter, out);
    audit_each_lane(audit, add_lane, out);
    return out->drifting || out->differing || out->missing || out->out_of_order;
}
