/* rewind_plan.c - which events are lost, which the topic lacks, and what counters become. */
#include "core/rewind_internal.h"

/* ---- what they make ---- */

static void go(struct way *way, const struct item *item) {
    if (way->events++ == 0)
        way->first = (int64_t)((uint64_t)item->new_value - (uint64_t)item->delta);
    way->sets |= item->kind != OP_ADD;
    way->wide |= __builtin_add_overflow(way->sum, item->delta, &way->sum);
    way->last = item->new_value;
}

/* The store's own event of the number that the topic's has, where it is another one. */
static const struct item *own_beside(const struct lane_row *lane, const struct item *heard) {
    size_t at = (size_t)(heard->at.seq - lane->said.shared.seq - 1);
    const struct item *own = at < lane->own.count ? &lane->own.list[at] : NULL;

    if (heard->at.epoch != lane->said.store.epoch || !own || own->at.seq == 0)
        return NULL;
    return own->says == heard->says ? NULL : own;
}

/* What the topic has is lost, unless the store has it too. It has every number up to its last: what
 * is neither in its outbox nor another one in the topic has been shipped from there, and is the
 * topic's. */
static void count_heard(struct rewind *rewind, struct lane_row *lane) {
    for (size_t i = 0; i < lane->heard.count; i++) {
        const struct item *item = &lane->heard.list[i];
        struct counter_row *row = &rewind->counters[item->counter];

        if (item->et_ms > lane->said.et_ms)
            lane->said.et_ms = item->et_ms;
        if (event_position_less(lane->said.store, item->at) || own_beside(lane, item)) {
            go(&row->lost, item);
            lane->said.lost++;
        } else {
            row->both_sum += (uint64_t)item->delta;
        }
    }
}

/* Number 'n' behind 'shared', which the store has had: its own, or the topic's. */
static const struct item *own_event(const struct lane_row *lane, uint64_t n, bool *out_heard) {
    const struct item *own = n <= lane->own.count ? &lane->own.list[n - 1] : NULL;
    const struct item *heard = n <= lane->heard.count ? &lane->heard.list[n - 1] : NULL;

    if (heard &&
        (heard->at.epoch != lane->said.store.epoch || heard->at.seq != lane->said.shared.seq + n))
        heard = NULL;
    if (own && own->at.seq == 0)
        own = NULL;
    *out_heard = heard && (!own || own->says == heard->says);
    return own ? own : heard;
}

static enum err add_again(struct lane_row *lane, const struct item *item) {
    struct items *again = &lane->again;

    if (!rewind_room(again, again->count + 1))
        return ERR_NO_MEMORY;
    again->list[again->count++] = *item;
    return ERR_OK;
}

static bool is_counted(const struct counter_row *row) {
    return row->lost.events || row->own.events;
}

/* The lost first, then the store's own: a set is the last word on what was before it. ERR_RANGE. */
static enum err settle(struct counter_row *row) {
    const struct way *lost = &row->lost;
    const struct way *own = &row->own;
    int64_t base = lost->events ? lost->first : own->first;

    row->read = (int64_t)((uint64_t)base + (uint64_t)lost->sum + row->both_sum);
    row->becomes = own->last;
    if (own->sets)
        return ERR_OK;
    row->becomes = lost->sets ? lost->last : base;
    if ((!lost->sets && (lost->wide || __builtin_add_overflow(base, lost->sum, &row->becomes))) ||
        own->wide || __builtin_add_overflow(row->becomes, own->sum, &row->becomes))
        return ERR_RANGE;
    return ERR_OK;
}

/* False: a value past the range. */
static bool renumber(struct lane_row *lane, struct item *item, struct counter_row *row) {
    int64_t before = row->read;

    if (item->et_ms < lane->said.et_ms)
        item->et_ms = lane->said.et_ms; /* a lane's time doesn't go back */
    lane->said.et_ms = item->et_ms;
    if (item->kind != OP_ADD)
        item->delta = (int64_t)((uint64_t)item->new_value - (uint64_t)before);
    else if (__builtin_add_overflow(before, item->delta, &item->new_value))
        return false;
    row->read = item->new_value;
    return true;
}

/* What the topic hasn't, as it comes behind all that it has. */
static enum err renumber_all(struct rewind *rewind, struct lane_row *lane) {
    for (size_t i = 0; i < lane->again.count; i++) {
        struct item *item = &lane->again.list[i];

        if (!renumber(lane, item, &rewind->counters[item->counter]))
            return ERR_RANGE;
    }
    return ERR_OK;
}

/* Where the order makes a difference, as there were sets: one more, to what the counter has become.
 */
static enum err correct(struct rewind *rewind, struct lane_row *lane, uint32_t number) {
    struct counter_row *row = &rewind->counters[number];
    struct item item = {.kind = OP_SET,
                        .counter = number,
                        .delta = (int64_t)((uint64_t)row->becomes - (uint64_t)row->read),
                        .new_value = row->becomes,
                        .count = 1,
                        .et_ms = lane->said.et_ms};

    return row->becomes == row->read ? ERR_OK : add_again(lane, &item);
}

/* An epoch begins with an event, so that whoever reads or waits for events hears of it. */
static enum err mark_epoch(struct rewind *rewind, struct lane_row *lane) {
    const struct item *last = &lane->heard.list[lane->heard.count - 1];
    struct item item = {.kind = OP_SET,
                        .counter = last->counter,
                        .new_value = rewind->counters[last->counter].becomes,
                        .count = 1,
                        .et_ms = lane->said.et_ms};

    return lane->again.count ? ERR_OK : add_again(lane, &item);
}

static enum err count_own(struct rewind *rewind, struct lane_row *lane) {
    uint64_t count = lane->conflict.seq ? lane->said.store.seq - lane->said.shared.seq : 0;
    enum err err = ERR_OK;

    for (uint64_t n = 1; n <= count && err == ERR_OK; n++) {
        bool heard;
        const struct item *item = own_event(lane, n, &heard);

        if (!item)
            return ERR_NOT_FOUND;
        go(&rewind->counters[item->counter].own, item);
        if (!heard)
            err = add_again(lane, item);
    }
    return err;
}

static enum err each_counter(struct rewind *rewind, struct lane_row *lane, bool settled) {
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < rewind->names.count && err == ERR_OK; i++)
        if (&rewind->lanes[rewind->counters[i].lane] == lane && is_counted(&rewind->counters[i]))
            err = settled ? correct(rewind, lane, i) : settle(&rewind->counters[i]);
    return err;
}

static enum err finish(struct rewind *rewind, struct lane_row *lane) {
    count_heard(rewind, lane);
    enum err err = count_own(rewind, lane);

    if (err == ERR_OK)
        err = each_counter(rewind, lane, false);
    if (err == ERR_OK)
        err = renumber_all(rewind, lane);
    if (err == ERR_OK)
        err = each_counter(rewind, lane, true);
    if (err == ERR_OK)
        err = mark_epoch(rewind, lane);
    lane->said.again = lane->again.count;
    return err;
}

enum err rewind_finish(struct rewind *rewind) {
    for (uint32_t i = 0; i < rewind->lanes_count; i++) {
        struct lane_row *lane = &rewind->lanes[i];
        enum err err = ERR_OK;

        if (lane->said.fate == REWIND_BACK && !lane->twice)
            err = finish(rewind, lane);
        else if (lane->said.fate == REWIND_BACK)
            lane->said.fate = REWIND_TWICE;
        if (err == ERR_NOT_FOUND)
            lane->said.fate = REWIND_GONE;
        else if (err == ERR_RANGE)
            lane->said.fate = REWIND_RANGE;
        else if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* ---- the plan ---- */

void rewind_lane(const struct rewind *rewind, uint32_t lane, struct rewind_lane *out) {
    *out = rewind->lanes[lane].said;
}

static void split_id(struct slice id, struct slice *out_resource, struct slice *out_type) {
    const char *zero = memchr(id.ptr, 0, id.len);

    *out_resource = slice_of(id.ptr, (size_t)(zero - id.ptr));
    *out_type = slice_skip(id, out_resource->len + 1);
}

/* By how much, modulo 2^64. */
static uint64_t change_of(const struct counter_row *row) {
    int64_t now = row->own.events ? row->own.last : row->lost.first;

    return is_counted(row) ? (uint64_t)row->becomes - (uint64_t)now : 0;
}

bool rewind_next_counter(const struct rewind *rewind, uint32_t lane, uint32_t *at,
                         struct rewind_counter *out) {
    while (*at < rewind->names.count) {
        uint32_t number = (*at)++;
        const struct counter_row *row = &rewind->counters[number];

        if (row->lane != lane || change_of(row) == 0)
            continue;
        out->number = number;
        split_id(bytes_table_key(&rewind->names, number), &out->resource_id, &out->counter_type);
        return true;
    }
    return false;
}

enum err rewind_value(const struct rewind *rewind, uint32_t number, int64_t store_value,
                      int64_t *out) {
    const struct counter_row *row = &rewind->counters[number];
    int64_t now = row->own.events ? row->own.last : row->lost.first;
    int64_t others; /* have added that */

    if (__builtin_sub_overflow(store_value, now, &others) ||
        __builtin_add_overflow(row->becomes, others, out))
        return ERR_RANGE;
    return ERR_OK;
}

void rewind_event(const struct rewind *rewind, uint32_t lane, uint64_t n, struct event *out) {
    const struct lane_row *row = &rewind->lanes[lane];
    const struct item *item = &row->again.list[n - 1];

    *out = (struct event){.lane = lane,
                          .at = {row->said.epoch, n},
                          .kind = item->kind,
                          .delta = item->delta,
                          .new_value = item->new_value,
                          .count = item->count,
                          .et_ms = item->et_ms};
    split_id(bytes_table_key(&rewind->names, item->counter), &out->resource_id, &out->counter_type);
}
