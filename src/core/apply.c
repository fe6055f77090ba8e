/* apply.c - one message: split over lanes, judge, load, then apply (RELIABILITY 3.2, 3.3).
 *
 *     SPLIT ─► JUDGE each part ─► LOAD counters, keys, memory ─► RUN each part
 *                                  everything that can fail       stages, never fails
 *
 * Parts have no counter and no key in common, so running them one after another
 * is running the message's operations in their order.
 */
#include <stdlib.h>

#include "core/applier_internal.h"
#include "core/hash.h"
#include "core/outbox.h"
#include "core/rules.h"

#define MESSAGE_OPS_MAX (1u << 20) /* numbers of operations are 32 bits */

static bool is_write(const struct op *op) {
    return op->kind != OP_GET;
}

static void refuse(struct answer *answer, enum err err) {
    *answer = (struct answer){.err = err};
}

/* ---- split ---- */

static enum err make_room(struct applier *a, const struct message *message) {
    size_t id_bytes = 0;
    size_t count = message->count;

    for (size_t i = 0; i < count; i++)
        id_bytes += message->ops[i].resource_id.len + 1 + message->ops[i].counter_type.len;
    buf_clear(&a->ids);
    buf_clear(&a->entry);
    if (!buf_reserve(&a->ids, id_bytes) ||
        !buf_reserve(&a->entry, OUTBOX_HEADER_BYTES_MAX + id_bytes +
                                    count * (OUTBOX_EVENT_BYTES_MAX + BYTES_VARINT_MAX)))
        return ERR_NO_MEMORY;
    if (count <= a->work_cap)
        return ERR_OK;
    struct op_work *work = realloc(a->work, count * sizeof(*work));
    if (work)
        a->work = work;
    struct pending_event *events = realloc(a->events, count * sizeof(*events));
    if (events)
        a->events = events;
    if (!work || !events)
        return ERR_NO_MEMORY;
    a->work_cap = count;
    return ERR_OK;
}

static struct slice join_id(struct buf *ids, const struct op *op) {
    size_t at = ids->len;

    buf_add_slice(ids, op->resource_id);
    buf_add_char(ids, '\0');
    buf_add_slice(ids, op->counter_type);
    return slice_of(ids->ptr + at, ids->len - at);
}

static void add_to_part(struct applier *a, uint32_t lane, uint32_t i, bool write) {
    uint32_t number = a->part_of_lane[lane];

    if (number == NO_NUMBER) {
        number = a->parts_count++;
        a->part_of_lane[lane] = number;
        a->parts[number] = (struct part){.lane = lane, .first = i, .last = i};
    } else {
        a->work[a->parts[number].last].next = i;
        a->parts[number].last = i;
    }
    a->parts[number].writes += write;
}

static void split(struct applier *a, const struct message *message) {
    a->has_keys = false;
    for (uint32_t i = 0; i < message->count; i++) {
        const struct op *op = &message->ops[i];
        struct op_work *work = &a->work[i];

        *work = (struct op_work){.next = NO_NUMBER, .in_event = NO_NUMBER, .key = NO_NUMBER};
        work->valid = op_valid(op);
        if (!work->valid)
            continue;
        work->id = join_id(&a->ids, op);
        a->has_keys |= op->key.ptr != NULL;
        add_to_part(a, hash_lane(work->id, a->layout.lanes), i, is_write(op));
    }
}

/* ---- judge ---- */

static void refuse_part(struct part *part, enum err err) {
    part->fate = PART_REFUSE;
    part->err = err;
}

/* Before anything is changed (RELIABILITY 3.3). The number stays unused. */
static void refuse_writes(struct applier *a, struct part *part) {
    part->fate = PART_FULL;
    a->refused_full_total += part->writes;
}

/* A replay with other operations than the first time is a producer's bug; no answer fits. */
static void judge_known(struct part *part, uint64_t number) {
    struct window_record record;

    part->fate = PART_REPLAY;
    if (window_record_open(window_get(part->window, number), &record) != ERR_OK ||
        record.answers != part->writes)
        refuse_part(part, ERR_INVALID);
}

static void judge_part(struct applier *a, struct part *part, const struct message *message,
                       const struct producer *producer, bool aged) {
    part->fate = PART_READ;
    if (part->writes == 0)
        return;
    part->fate = PART_APPLY;
    part->window = producer ? producer->lanes[part->lane] : NULL;
    switch (window_look(part->window, message->number)) {
    case WINDOW_KNOWN:
        judge_known(part, message->number);
        break;
    case WINDOW_FORGOTTEN:
        refuse_part(part, ERR_TOO_OLD);
        break;
    case WINDOW_NEW:
        /* Right whatever the clock says, also after restarts; see lane.forgotten_ms. */
        if (aged || (RULE(RULE_AGE) && message->issued_ms <= a->lanes.at[part->lane].forgotten_ms))
            refuse_part(part, ERR_TOO_OLD);
        else if (outbox_trim_full(&a->trim))
            refuse_writes(a, part);
        break;
    }
}

/* Age is judged behind the window: a replay is always safe, however late. A message that is too
 * old and in no window is refused as a whole, its reads too. */
static bool judge(struct applier *a, const struct message *message) {
    const struct producer *producer = windows_find(&a->windows, &message->producer);
    bool aged = RULE(RULE_AGE) && (message->issued_ms < a->clock_ms - MESSAGE_MAX_AGE_MS ||
                                   message->issued_ms > a->clock_ms + MESSAGE_MAX_AHEAD_MS);
    bool known = false;

    for (uint32_t i = 0; i < a->parts_count; i++) {
        judge_part(a, &a->parts[i], message, producer, aged);
        known |= a->parts[i].fate == PART_REPLAY;
    }
    a->replayed_messages_total += known;
    return !aged || known;
}

/* ---- load ---- */

static enum err load_window(struct applier *a, struct part *part, const struct message *message) {
    struct producer *producer = windows_producer(&a->windows, &message->producer);

    if (!producer)
        return ERR_NO_MEMORY;
    part->window = windows_lane(producer, part->lane);
    if (!part->window || !window_reserve(part->window, message->number, part->writes))
        return ERR_NO_MEMORY;
    return ERR_OK;
}

static enum err load_part(struct applier *a, struct part *part, const struct message *message) {
    enum err err = part->fate == PART_APPLY ? load_window(a, part, message) : ERR_OK;

    for (uint32_t i = part->first; i != NO_NUMBER && err == ERR_OK; i = a->work[i].next) {
        const struct op *op = &message->ops[i];
        struct op_work *work = &a->work[i];

        if (is_write(op) && part->fate != PART_APPLY)
            continue;
        err = counter_cache_load(&a->cache, a->kv, work->id, &work->lookup, &work->counter);
        if (err == ERR_OK && is_write(op) && op->key.ptr && RULE(RULE_KEY_RECORD))
            err = key_records_load(&a->keys, a->kv, part->lane, work->id, op, &work->key);
    }
    return err;
}

/* The counters of a message are anywhere in memory: ask for all before waiting for the first. */
static void prefetch(struct applier *a, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (a->work[i].valid)
            counter_cache_prepare(&a->cache, a->work[i].id, &a->work[i].lookup);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (a->work[i].valid)
            counter_cache_prefetch_row(&a->cache, &a->work[i].lookup);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (a->work[i].valid)
            counter_cache_prefetch_id(&a->cache, &a->work[i].lookup);
    }
}

static enum err load(struct applier *a, const struct message *message) {
    enum err err = ERR_OK;

    prefetch(a, (uint32_t)message->count);
    for (uint32_t i = 0; i < a->parts_count && err == ERR_OK; i++) {
        if (a->parts[i].fate != PART_REFUSE)
            err = load_part(a, &a->parts[i], message);
    }
    return err;
}

/* ---- run ---- */

static enum err change(const struct op *op, int64_t *value) {
    if (op->kind == OP_ADD && RULE(RULE_RANGE))
        return counter_add(value, op->arg);
    if (op->kind == OP_ADD)
        *value = (int64_t)((uint64_t)*value + (uint64_t)op->arg);
    else
        *value = op_arg(op);
    return ERR_OK;
}

/* RELIABILITY 3.3: only increments of one sign and without a key, and only into the counter's
 * latest event; their sum must still be a delta (from near INT64_MIN to near INT64_MAX it isn't).
 */
static bool joins(const struct pending_event *event, const struct op *op) {
    int64_t sum;

    return event->kind == OP_ADD && op->kind == OP_ADD && !event->keyed && !op->key.ptr &&
           ((event->delta < 0) == (op->arg < 0) || !RULE(RULE_COALESCE_SIGN)) &&
           !__builtin_add_overflow(event->delta, op->arg, &sum);
}

static void add_event(struct applier *a, const struct op *op, uint32_t i, int64_t old_value) {
    uint32_t number = a->work[i].counter;
    struct cached_counter *counter = counter_cache_at(&a->cache, number);
    int64_t delta = (int64_t)((uint64_t)counter->value - (uint64_t)old_value);

    if (a->conf.coalesce && counter->event_message == a->message_serial &&
        joins(&a->events[counter->event], op)) {
        struct pending_event *event = &a->events[counter->event];

        event->delta += delta;
        event->new_value = counter->value;
        event->count++;
        a->work[event->last].in_event = i;
        event->last = i;
        return;
    }
    counter->event = a->events_count++;
    counter->event_message = a->message_serial;
    a->events[counter->event] = (struct pending_event){.counter = number,
                                                       .kind = op->kind,
                                                       .keyed = op->key.ptr != NULL,
                                                       .delta = delta,
                                                       .new_value = counter->value,
                                                       .count = 1,
                                                       .first = i,
                                                       .last = i};
}

static void read_counter(struct applier *a, uint32_t number, struct answer *out) {
    const struct cached_counter *counter = counter_cache_at(&a->cache, number);

    *out = (struct answer){.err = ERR_OK, .value = counter->value, .time_ms = counter->time_ms};
}

/* True: the key was used before and '*out' says what it gets. */
static bool replay_key(struct applier *a, const struct op *op, uint32_t key, struct answer *out) {
    const struct key_record *record = key == NO_NUMBER ? NULL : key_records_get(&a->keys, key);

    if (!record)
        return false;
    if (record->arg != op_arg(op) && RULE(RULE_FINGERPRINT)) {
        refuse(out, ERR_MISMATCH);
        return true;
    }
    *out = (struct answer){.replayed = true, .value = record->value, .time_ms = record->time_ms};
    a->replayed_keys_total++;
    return true;
}

static void run_write(struct applier *a, const struct op *op, uint32_t i, int64_t et_ms,
                      struct answer *out) {
    const struct op_work *work = &a->work[i];
    struct cached_counter *counter = counter_cache_at(&a->cache, work->counter);
    int64_t old_value = counter->value;

    if (replay_key(a, op, work->key, out))
        return;
    enum err err = change(op, &counter->value);
    *out = (struct answer){.err = err, .value = counter->value, .time_ms = et_ms};
    if (err != ERR_OK)
        return; /* not recorded: the same key may succeed later */
    counter->time_ms = et_ms;
    counter_cache_touch(&a->cache, work->counter);
    add_event(a, op, i, old_value);
    a->operations_total++;
    if (work->key != NO_NUMBER)
        key_records_put(&a->keys, a->kv, work->key, op_arg(op), out->value, et_ms);
}

static void encode_events(struct applier *a) {
    for (uint32_t e = 0; e < a->events_count; e++) {
        const struct pending_event *event = &a->events[e];
        uint32_t before = 0;

        outbox_encode_event(&a->entry, event->kind, counter_cache_id(&a->cache, event->counter),
                            event->delta, event->new_value, event->count);
        for (uint32_t i = event->first; i != NO_NUMBER; i = a->work[i].in_event) {
            bytes_add_varint(&a->entry, i - before);
            before = i;
        }
    }
}

/* The chain runs over the operations in the order in which the entry lists them. */
static uint64_t chain_events(const struct applier *a, const struct message *message,
                             uint64_t chain) {
    for (uint32_t e = 0; e < a->events_count; e++) {
        for (uint32_t i = a->events[e].first; i != NO_NUMBER; i = a->work[i].in_event)
            chain = hash_chain(chain, &message->producer, message->number, i);
    }
    return chain;
}

static void stage_events(struct applier *a, uint32_t number, const struct message *message,
                         int64_t et_ms) {
    struct lane *lane = &a->lanes.at[number];

    if (a->events_count == 0)
        return;
    lane->seq += a->events_count;
    lane->chain = chain_events(a, message, lane->chain);
    struct outbox_entry entry = {.et_ms = et_ms,
                                 .chain = lane->chain,
                                 .producer = message->producer,
                                 .number = message->number,
                                 .events = a->events_count};
    outbox_encode_entry(&a->entry, &entry);
    encode_events(a);
    outbox_key(number, lane->epoch, lane->seq, &a->key);
    kv_put(a->kv, KV_OUTBOX, buf_slice(&a->key), buf_slice(&a->entry));
    a->events_total += a->events_count;
    outbox_trim_added(&a->trim, lane,
                      &(struct lane_head){.epoch = lane->epoch,
                                          .last_seq = lane->seq,
                                          .et_ms = et_ms,
                                          .events = a->events_count,
                                          .bytes = a->key.len + a->entry.len});
}

static void stage_window(struct applier *a, const struct part *part, const struct message *message,
                         int64_t et_ms, const struct answer *answers) {
    struct window_part record = {
        .windows = &a->windows,
        .window = part->window,
        .producer = message->producer,
        .lane = part->lane,
        .number = message->number,
        .et_ms = et_ms,
        .active_ms = message->issued_ms > a->clock_ms ? message->issued_ms : a->clock_ms,
        .answers = part->writes,
    };

    if (!window_takes(part->window, message->number))
        return;
    window_begin(&record, a->kv);
    for (uint32_t i = part->first; i != NO_NUMBER; i = a->work[i].next) {
        if (is_write(&message->ops[i]))
            window_answer(&record, &answers[i]);
    }
    window_store(&record, a->kv);
}

static void apply_part(struct applier *a, const struct part *part, const struct message *message,
                       int64_t wall_ms, struct answer *answers) {
    struct lane *lane = &a->lanes.at[part->lane];
    int64_t et_ms =
        RULE(RULE_CLAMP_TIME) && lane->last_et_ms > wall_ms ? lane->last_et_ms : wall_ms;

    a->events_count = 0;
    for (uint32_t i = part->first; i != NO_NUMBER; i = a->work[i].next) {
        const struct op *op = &message->ops[i];

        if (is_write(op))
            run_write(a, op, i, et_ms, &answers[i]);
        else
            read_counter(a, a->work[i].counter, &answers[i]);
    }
    if (part->writes == 0)
        return;
    lane->last_et_ms = et_ms;
    lanes_touch(&a->lanes, part->lane);
    a->staged = true;
    stage_events(a, part->lane, message, et_ms);
    stage_window(a, part, message, et_ms, answers);
}

/* The answers of the first time; reads are read again. */
static void replay_part(struct applier *a, const struct part *part, const struct message *message,
                        struct answer *answers) {
    struct window_record record;
    enum err err = window_record_open(window_get(part->window, message->number), &record);

    for (uint32_t i = part->first; i != NO_NUMBER; i = a->work[i].next) {
        if (!is_write(&message->ops[i]))
            read_counter(a, a->work[i].counter, &answers[i]);
        else if (err == ERR_OK)
            err = window_record_next(&record, &answers[i]);
        if (err != ERR_OK)
            refuse(&answers[i], err);
    }
}

static void read_part(struct applier *a, const struct part *part, const struct message *message,
                      struct answer *answers) {
    for (uint32_t i = part->first; i != NO_NUMBER; i = a->work[i].next) {
        if (is_write(&message->ops[i]))
            refuse(&answers[i], ERR_OUTBOX_FULL);
        else
            read_counter(a, a->work[i].counter, &answers[i]);
    }
}

static void run_part(struct applier *a, const struct part *part, const struct message *message,
                     int64_t wall_ms, struct answer *answers) {
    if (part->fate == PART_REPLAY) {
        replay_part(a, part, message, answers);
    } else if (part->fate == PART_FULL) {
        read_part(a, part, message, answers);
    } else if (part->fate == PART_REFUSE) {
        for (uint32_t i = part->first; i != NO_NUMBER; i = a->work[i].next)
            refuse(&answers[i], part->err);
    } else {
        apply_part(a, part, message, wall_ms, answers);
    }
}

static enum err load_and_run(struct applier *a, const struct message *message, int64_t wall_ms,
                             struct answer *answers) {
    if (a->has_keys) {
        key_records_turn(&a->keys, a->kv, a->clock_ms);
        a->staged |= a->keys.dirty;
    }
    enum err err = load(a, message);
    if (err != ERR_OK)
        return err;
    a->message_serial++;
    for (uint32_t i = 0; i < message->count; i++) {
        if (!a->work[i].valid)
            refuse(&answers[i], ERR_INVALID);
    }
    for (uint32_t i = 0; i < a->parts_count; i++)
        run_part(a, &a->parts[i], message, wall_ms, answers);
    return ERR_OK;
}

static void refuse_all(const struct message *message, enum err err, struct answer *answers) {
    for (size_t i = 0; i < message->count; i++)
        refuse(&answers[i], err);
}

enum err applier_apply(struct applier *applier, const struct message *message,
                       struct applier_time now, struct answer *out_answers) {
    struct applier *a = applier;

    if (a->broken != ERR_OK)
        return a->broken;
    if (message->number == 0 || message->count > MESSAGE_OPS_MAX) {
        refuse_all(message, ERR_INVALID, out_answers);
        return ERR_OK;
    }
    enum err err = make_room(a, message);
    if (err != ERR_OK)
        return err;
    applier_set_time(a, now);
    a->parts_count = 0;
    split(a, message);
    if (judge(a, message))
        err = load_and_run(a, message, now.wall_ms, out_answers);
    else
        refuse_all(message, ERR_TOO_OLD, out_answers);
    for (uint32_t i = 0; i < a->parts_count; i++)
        a->part_of_lane[a->parts[i].lane] = NO_NUMBER;
    if (err != ERR_OK && err != ERR_NO_MEMORY)
        a->broken = err;
    return err;
}
