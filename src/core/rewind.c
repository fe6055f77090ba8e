/* rewind.c - numbers and what they stand for, then the events behind them. */
#include "core/rewind.h"

#include <stdlib.h>

#include "core/bytes.h"
#include "core/hash.h"
#include "core/rewind_internal.h"

struct rewind *rewind_new(uint32_t lanes) {
    struct rewind *rewind = calloc(1, sizeof(*rewind));

    if (!rewind)
        return NULL;
    rewind->lanes = calloc(lanes, sizeof(*rewind->lanes));
    rewind->lanes_count = lanes;
    if (!rewind->lanes) {
        free(rewind);
        return NULL;
    }
    return rewind;
}

void rewind_free(struct rewind *rewind) {
    if (!rewind)
        return;
    for (uint32_t i = 0; i < rewind->lanes_count; i++) {
        free(rewind->lanes[i].marks);
        free(rewind->lanes[i].heard.list);
        free(rewind->lanes[i].own.list);
        free(rewind->lanes[i].again.list);
    }
    free(rewind->lanes);
    bytes_table_release(&rewind->names);
    free(rewind->counters);
    buf_release(&rewind->scratch);
    free(rewind);
}

void rewind_store(struct rewind *rewind, uint32_t lane, struct event_position at) {
    rewind->lanes[lane].said.store = at;
}

/* ---- once through ---- */

static struct slice make_id(struct rewind *rewind, const struct event *event) {
    struct buf *scratch = &rewind->scratch;

    buf_clear(scratch);
    buf_add_slice(scratch, event->resource_id);
    buf_add_char(scratch, '\0');
    buf_add_slice(scratch, event->counter_type);
    return buf_slice(scratch);
}

/* ERR_NO_MEMORY; ERR_CORRUPT. */
static enum err read_event(struct rewind *rewind, const struct event *event, uint64_t *out_says) {
    struct buf *scratch = &rewind->scratch;

    if (event->lane >= rewind->lanes_count || event->at.seq == 0)
        return ERR_CORRUPT;
    (void)make_id(rewind, event);
    buf_add_char(scratch, (char)event->kind);
    bytes_add_be64(scratch, (uint64_t)event->delta);
    bytes_add_be64(scratch, (uint64_t)event->new_value);
    bytes_add_be64(scratch, event->count);
    bytes_add_be64(scratch, (uint64_t)event->et_ms);
    *out_says = hash64(buf_slice(scratch));
    return buf_failed(scratch) ? ERR_NO_MEMORY : ERR_OK;
}

static bool is_same(struct event_position a, struct event_position b) {
    return a.epoch == b.epoch && a.seq == b.seq;
}

static const struct mark *find_mark(const struct lane_row *lane, struct event_position at) {
    size_t low = 0;
    size_t high = lane->marks_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (event_position_less(lane->marks[middle].at, at))
            low = middle + 1;
        else
            high = middle;
    }
    return low < lane->marks_count && is_same(lane->marks[low].at, at) ? &lane->marks[low] : NULL;
}

static enum err add_mark(struct lane_row *lane, struct event_position at, uint64_t says) {
    struct event_position last = lane->said.topic;

    if (lane->marks_count == lane->marks_cap) {
        size_t cap = lane->marks_cap ? 2 * lane->marks_cap : 64;
        struct mark *marks = realloc(lane->marks, cap * sizeof(*marks));

        if (!marks)
            return ERR_NO_MEMORY;
        lane->marks = marks;
        lane->marks_cap = cap;
    }
    if (lane->marks_count && at.seq != event_position_next(last, at.epoch)) {
        lane->gap = last;
        lane->has_gap = true;
    }
    lane->marks[lane->marks_count++] = (struct mark){at, says};
    lane->said.topic = at;
    return ERR_OK;
}

/* Numbers of an epoch that is over have been settled. */
static void meet(struct lane_row *lane, const struct mark *mark, uint64_t says) {
    if (mark->says == says || mark->at.epoch != lane->said.store.epoch)
        return;
    if (lane->conflict.seq == 0 || mark->at.seq < lane->conflict.seq)
        lane->conflict = mark->at;
}

enum err rewind_hear(struct rewind *rewind, const struct event *event) {
    uint64_t says;
    enum err err = read_event(rewind, event, &says);

    if (err != ERR_OK)
        return err;
    struct lane_row *lane = &rewind->lanes[event->lane];
    if (event_position_less(lane->said.topic, event->at))
        return add_mark(lane, event->at, says);
    const struct mark *mark = find_mark(lane, event->at);
    if (mark)
        meet(lane, mark, says);
    return ERR_OK;
}

enum err rewind_compare(struct rewind *rewind, const struct event *event) {
    uint64_t says;
    enum err err = read_event(rewind, event, &says);

    if (err != ERR_OK)
        return err;
    struct lane_row *lane = &rewind->lanes[event->lane];
    const struct mark *mark = find_mark(lane, event->at);
    if (mark)
        meet(lane, mark, says);
    return ERR_OK;
}

/* Has the topic all events behind 'shared'? */
static bool has_all(const struct lane_row *lane) {
    const struct mark *first = lane->marks;
    const struct mark *end = lane->marks + lane->marks_count;
    struct event_position shared = lane->said.shared;

    while (first < end && !event_position_less(shared, first->at))
        first++;
    if (first == end || first->at.seq != event_position_next(shared, first->at.epoch))
        return false;
    return !lane->has_gap || event_position_less(lane->gap, shared);
}

static void judge(struct lane_row *lane) {
    struct rewind_lane *said = &lane->said;

    said->shared = said->store;
    if (lane->conflict.seq)
        said->shared = (struct event_position){lane->conflict.epoch, lane->conflict.seq - 1};
    if (!lane->conflict.seq && !event_position_less(said->store, said->topic))
        return;
    said->fate = has_all(lane) ? REWIND_BACK : REWIND_LACKS;
    said->epoch = 1 + (said->topic.epoch > said->store.epoch ? said->topic : said->store).epoch;
}

bool rewind_judge(struct rewind *rewind) {
    bool any = false;

    for (uint32_t i = 0; i < rewind->lanes_count; i++) {
        judge(&rewind->lanes[i]);
        any |= rewind->lanes[i].said.fate == REWIND_BACK;
    }
    return any;
}

/* ---- once more ---- */

static struct counter_row *counter_row(struct rewind *rewind, const struct event *event,
                                       uint32_t *out_number) {
    struct slice id = make_id(rewind, event);
    uint64_t hash = hash64(id);
    uint32_t number = bytes_table_find(&rewind->names, hash, id);

    if (number == BYTES_TABLE_NONE && rewind->names.count == rewind->counters_cap) {
        uint32_t cap = rewind->counters_cap ? 2 * rewind->counters_cap : 64;
        struct counter_row *rows = realloc(rewind->counters, cap * sizeof(*rows));

        if (!rows)
            return NULL;
        rewind->counters = rows;
        rewind->counters_cap = cap;
    }
    if (number == BYTES_TABLE_NONE) {
        number = bytes_table_add(&rewind->names, hash, id);
        if (number == BYTES_TABLE_NONE)
            return NULL;
        rewind->counters[number] = (struct counter_row){.lane = event->lane};
    }
    *out_number = number;
    return &rewind->counters[number];
}

static enum err make_item(struct rewind *rewind, const struct event *event, uint64_t says,
                          struct item *out) {
    uint32_t number;

    if (!counter_row(rewind, event, &number))
        return ERR_NO_MEMORY;
    *out = (struct item){.at = event->at,
                         .says = says,
                         .kind = event->kind,
                         .counter = number,
                         .delta = event->delta,
                         .new_value = event->new_value,
                         .count = event->count,
                         .et_ms = event->et_ms};
    return ERR_OK;
}

bool rewind_room(struct items *items, size_t count) {
    if (count <= items->cap)
        return true;
    size_t cap = 2 * count;
    struct item *list = realloc(items->list, cap * sizeof(*list));
    if (!list)
        return false;
    items->list = list;
    items->cap = cap;
    return true;
}

static enum err add_heard(struct rewind *rewind, struct lane_row *lane, const struct event *event,
                          uint64_t says) {
    struct items *heard = &lane->heard;

    if (heard->count && !event_position_less(heard->list[heard->count - 1].at, event->at))
        return ERR_OK; /* a copy */
    if (!rewind_room(heard, heard->count + 1))
        return ERR_NO_MEMORY;
    return make_item(rewind, event, says, &heard->list[heard->count++]);
}

/* In any order, from the topic and from the outbox. */
static enum err add_own(struct rewind *rewind, struct lane_row *lane, const struct event *event,
                        uint64_t says) {
    struct items *own = &lane->own;
    size_t at = (size_t)(event->at.seq - lane->said.shared.seq - 1);

    if (event_position_less(lane->said.store, event->at)) {
        lane->twice = true; /* of a store that had come further than this one */
        return ERR_OK;
    }
    if (!rewind_room(own, at + 1))
        return ERR_NO_MEMORY;
    for (; own->count <= at; own->count++)
        own->list[own->count] = (struct item){0};
    if (own->list[at].at.seq) {
        lane->twice |= own->list[at].says != says;
        return ERR_OK;
    }
    return make_item(rewind, event, says, &own->list[at]);
}

static bool is_taken(const struct lane_row *lane, const struct event *event) {
    return lane->said.fate == REWIND_BACK && event_position_less(lane->said.shared, event->at);
}

enum err rewind_take_topic(struct rewind *rewind, const struct event *event) {
    uint64_t says;
    enum err err = read_event(rewind, event, &says);

    if (err != ERR_OK)
        return err;
    struct lane_row *lane = &rewind->lanes[event->lane];
    const struct mark *mark = is_taken(lane, event) ? find_mark(lane, event->at) : NULL;
    if (!mark)
        return ERR_OK; /* or it has come since */
    if (mark->says == says)
        return add_heard(rewind, lane, event, says);
    return event->at.epoch == lane->said.store.epoch ? add_own(rewind, lane, event, says) : ERR_OK;
}

enum err rewind_take_outbox(struct rewind *rewind, const struct event *event) {
    uint64_t says;
    enum err err = read_event(rewind, event, &says);

    if (err != ERR_OK || !is_taken(&rewind->lanes[event->lane], event))
        return err;
    return add_own(rewind, &rewind->lanes[event->lane], event, says);
}
