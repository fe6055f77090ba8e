/* check.c - replays the outbox. */
#include "check.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/inspect.h"

#define EVENT_OPS_MAX 64

struct check {
    struct history *history;
    size_t events;
    size_t counters_seen;
    bool begun; /* the fields below say where the walk is */
    uint32_t lane;
    uint64_t epoch;
    uint64_t seq;
    int64_t et_ms;
};

#define WRONG(check, op, ...) trace_violation((check)->history->trace, (op), __VA_ARGS__)

/* 'id' is resource_id, a zero byte, counter_type. */
static struct sim_counter *find_counter(struct history *history, struct slice id) {
    for (size_t i = 0; i < history->counters_count; i++) {
        struct sim_counter *counter = &history->counters[i];
        struct slice name = slice_str(counter->id);
        struct slice type = slice_str(counter->type);

        if (id.len == name.len + 1 + type.len && slice_starts(id, name) && id.ptr[name.len] == 0 &&
            slice_eq(slice_skip(id, name.len + 1), type))
            return counter;
    }
    return NULL;
}

static void check_lane(struct check *check, const struct outbox_entry *entry,
                       const struct outbox_event *event) {
    bool same = check->begun && check->lane == entry->lane && check->epoch == entry->epoch;

    if (event->seq != (same ? check->seq + 1 : 1))
        WRONG(check, -1, "I9: lane %u epoch %" PRIu64 ": number %" PRIu64 " follows %" PRIu64,
              entry->lane, entry->epoch, event->seq, same ? check->seq : 0);
    if (same && entry->et_ms < check->et_ms)
        WRONG(check, -1, "I8: lane %u number %" PRIu64 ": time goes back by %" PRId64 " ms",
              entry->lane, event->seq, check->et_ms - entry->et_ms);
    check->begun = true;
    check->lane = entry->lane;
    check->epoch = entry->epoch;
    check->seq = event->seq;
    check->et_ms = entry->et_ms;
}

static void applied(struct check *check, struct sim_op *op, const struct outbox_entry *entry,
                    int64_t value) {
    if (++op->applied > 1)
        WRONG(check, op->number,
              "I2: [op %" PRId64 "] is applied %u times, now in lane %u number %" PRIu64
              " (message #%" PRIu64 ")",
              op->number, op->applied, entry->lane, check->seq, entry->number);
    op->in_event = (struct answer){.value = value, .time_ms = entry->et_ms};
}

/* In the order of the message, which is the order the batcher took them in. */
static void sort_by_order(struct sim_op **ops, size_t count) {
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && ops[k]->order < ops[k - 1]->order; k--) {
            struct sim_op *op = ops[k];

            ops[k] = ops[k - 1];
            ops[k - 1] = op;
        }
}

/* The additions whose deltas make up the event's. */
static size_t decode_adds(struct check *check, struct sim_counter *counter,
                          const struct outbox_event *event, struct sim_op **out_ops) {
    uint64_t bits = event->delta < 0 ? 0 - (uint64_t)event->delta : (uint64_t)event->delta;
    size_t count = 0;

    for (unsigned bit = 0; bit < 64; bit++) {
        if (!(bits >> bit & 1))
            continue;
        struct sim_op *op = bit < counter->bits ? counter->adds[bit] : NULL;

        if (!op || (op->op.arg < 0) != (event->delta < 0)) {
            WRONG(check, op ? op->number : -1,
                  "I3: an event on %s has delta %" PRId64 ", which no operations make up",
                  counter->id, event->delta);
            return 0;
        }
        out_ops[count++] = op;
    }
    if (count != event->count) {
        WRONG(check, out_ops[0]->number,
              "I2: an event on %s says %" PRIu64 " operations, its delta %" PRId64 " says %zu",
              counter->id, event->count, event->delta, count);
        return 0;
    }
    return count;
}

static void check_adds(struct check *check, struct sim_counter *counter,
                       const struct outbox_entry *entry, const struct outbox_event *event) {
    struct sim_op *ops[EVENT_OPS_MAX];
    size_t count = decode_adds(check, counter, event, ops);
    int64_t value = counter->value;

    sort_by_order(ops, count);
    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(value, ops[i]->op.arg, &value))
            WRONG(check, ops[i]->number, "[op %" PRId64 "] takes %s out of range, and was applied",
                  ops[i]->number, counter->id);
        applied(check, ops[i], entry, value);
    }
}

static void check_set(struct check *check, struct sim_counter *counter,
                      const struct outbox_entry *entry, const struct outbox_event *event) {
    struct sim_op *op = event->kind == OP_RESET ? counter->reset : NULL;

    for (unsigned i = 0; event->kind == OP_SET && i < counter->sets_count; i++)
        if (counter->sets[i]->op.arg == event->new_value)
            op = counter->sets[i];
    if (!op || event->count != 1 || (event->kind == OP_RESET && event->new_value != 0)) {
        WRONG(check, -1, "I3: a set or reset on %s to %" PRId64 " that nobody asked for",
              counter->id, event->new_value);
        return;
    }
    applied(check, op, entry, event->new_value);
}

static enum err check_event(void *ctx, const struct outbox_entry *entry,
                            const struct outbox_event *event) {
    struct check *check = ctx;
    struct sim_counter *counter = find_counter(check->history, event->id);

    check->events++;
    check_lane(check, entry, event);
    if (!counter) {
        WRONG(check, -1, "an event on a counter that nobody uses");
        return ERR_OK;
    }
    if (event->old_value != counter->value ||
        (uint64_t)event->new_value - (uint64_t)event->old_value != (uint64_t)event->delta)
        WRONG(check, -1,
              "I3: lane %u number %" PRIu64 ": %s goes from %" PRId64 " to %" PRId64 " by %" PRId64
              ", after %" PRId64,
              entry->lane, event->seq, counter->id, event->old_value, event->new_value,
              event->delta, counter->value);
    if (event->kind == OP_ADD)
        check_adds(check, counter, entry, event);
    else
        check_set(check, counter, entry, event);
    counter->value = event->new_value;
    counter->value_time_ms = entry->et_ms;
    return ERR_OK;
}

static enum err check_counter(void *ctx, const struct inspect_counter *stored) {
    struct check *check = ctx;
    struct sim_counter *counter = find_counter(check->history, stored->id);

    check->counters_seen++;
    if (!counter || counter->value != stored->value || counter->value_time_ms != stored->time_ms)
        WRONG(check, -1,
              "I3: %.*s is stored as %" PRId64 " of %" PRId64 ", its events make %" PRId64
              " of %" PRId64,
              SLICE_ARGS(stored->resource_id), stored->value, stored->time_ms,
              counter ? counter->value : 0, counter ? counter->value_time_ms : 0);
    return ERR_OK;
}

/* A counter that only grows tells by its bits which additions a read has seen. */
static void check_read(struct check *check, const struct sim_op *op) {
    const struct sim_counter *counter = op->counter;

    for (unsigned bit = 0; counter->class == CLASS_UP && bit < 64; bit++) {
        if (!((uint64_t)op->answer.value >> bit & 1))
            continue;
        if (bit >= counter->bits || counter->adds[bit]->applied == 0)
            WRONG(check, op->number,
                  "[op %" PRId64 "] read %" PRId64
                  " from %s, in which there is an addition of %" PRIu64 " that isn't applied",
                  op->number, op->answer.value, counter->id, UINT64_C(1) << bit);
    }
}

static void check_op(struct check *check, const struct sim_op *op) {
    if (op->belief == BELIEF_NOT && op->applied)
        WRONG(check, op->number, "[op %" PRId64 "] was refused for certain, and is applied",
              op->number);
    if (op->belief != BELIEF_ACKED)
        return;
    if (op->op.kind == OP_GET)
        check_read(check, op);
    else if (op->applied == 0)
        WRONG(check, op->number, "I1: [op %" PRId64 "] was acknowledged, and is lost", op->number);
    else if (op->answer.value != op->in_event.value || op->answer.time_ms != op->in_event.time_ms)
        WRONG(check, op->number,
              "[op %" PRId64 "] was answered %" PRId64 " of %" PRId64 ", its event says %" PRId64
              " of %" PRId64,
              op->number, op->answer.value, op->answer.time_ms, op->in_event.value,
              op->in_event.time_ms);
}

size_t check_store(struct history *history, struct kv *kv) {
    struct check check = {.history = history};
    size_t changed = 0;
    enum err err = inspect_outbox(kv, check_event, &check);

    if (err == ERR_OK)
        err = inspect_counters(kv, check_counter, &check);
    if (err != ERR_OK)
        WRONG(&check, -1, "the store doesn't read: %s", err_name(err));
    for (size_t i = 0; i < history->counters_count; i++)
        changed += history->counters[i].value_time_ms != 0;
    if (changed != check.counters_seen)
        WRONG(&check, -1, "I3: %zu counters have events, %zu are stored", changed,
              check.counters_seen);
    for (size_t i = 0; i < history->ops_count; i++)
        check_op(&check, history->ops[i]);
    return check.events;
}
