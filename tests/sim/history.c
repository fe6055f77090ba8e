/* history.c - making operations and believing answers. */
#include "history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TOP_ROOM 4096 /* CLASS_TOP is set this far below INT64_MAX */
#define TOP_BITS 20
#define SET_STEP 1000000007

static void *must(void *ptr) {
    if (!ptr)
        abort();
    return ptr;
}

void history_init(struct history *history, struct trace *trace, unsigned groups) {
    static const enum counter_class classes[] = {CLASS_UP,    CLASS_UP,  CLASS_UP,  CLASS_UP,
                                                 CLASS_MIXED, CLASS_TOP, CLASS_SETS};

    *history = (struct history){.trace = trace, .counters_count = groups * ARRAY_LEN(classes)};
    history->counters = must(calloc(history->counters_count, sizeof(*history->counters)));
    for (size_t i = 0; i < history->counters_count; i++) {
        struct sim_counter *counter = &history->counters[i];

        counter->class = classes[i % ARRAY_LEN(classes)];
        (void)snprintf(counter->id, sizeof(counter->id), "c%zu", i);
        (void)snprintf(counter->type, sizeof(counter->type), "t%zu", i % 3);
    }
}

void history_release(struct history *history) {
    for (size_t i = 0; i < history->ops_count; i++)
        free(history->ops[i]);
    free(history->ops);
    free(history->joints);
    free(history->lost);
    free(history->counters);
}

static struct sim_op *append(struct history *history, struct sim_counter *counter) {
    struct sim_op *op = must(calloc(1, sizeof(*op)));

    if (history->ops_count == history->ops_cap) {
        history->ops_cap = history->ops_cap ? history->ops_cap * 2 : 256;
        history->ops = must(realloc(history->ops, history->ops_cap * sizeof(struct sim_op *)));
    }
    op->number = (int64_t)history->ops_count;
    op->counter = counter;
    op->op.resource_id = slice_str(counter->id);
    op->op.counter_type = slice_str(counter->type);
    history->ops[history->ops_count++] = op;
    return op;
}

static struct sim_op *new_add(struct history *history, struct sim_counter *counter, int sign) {
    if (counter->bits == (counter->class == CLASS_TOP ? TOP_BITS : COUNTER_BITS))
        return NULL;
    struct sim_op *op = append(history, counter);

    op->op.kind = OP_ADD;
    op->op.arg = sign * (int64_t)(UINT64_C(1) << counter->bits);
    counter->adds[counter->bits++] = op;
    return op;
}

static struct sim_op *new_set(struct history *history, struct sim_counter *counter) {
    if (counter->sets_count == COUNTER_SETS)
        return NULL;
    struct sim_op *op = append(history, counter);

    op->op.kind = OP_SET;
    op->op.arg = counter->class == CLASS_TOP ? INT64_MAX - TOP_ROOM + (int)counter->sets_count
                                             : (counter->sets_count + 1) * (int64_t)SET_STEP;
    counter->sets[counter->sets_count++] = op;
    return op;
}

static struct sim_op *new_reset(struct history *history, struct sim_counter *counter) {
    if (counter->reset)
        return NULL;
    counter->reset = append(history, counter);
    counter->reset->op.kind = OP_RESET;
    return counter->reset;
}

static struct sim_op *new_get(struct history *history, struct sim_counter *counter) {
    struct sim_op *op = append(history, counter);

    op->op.kind = OP_GET;
    return op;
}

static struct sim_op *new_write(struct history *history, struct rng *rng,
                                struct sim_counter *counter) {
    switch (counter->class) {
    case CLASS_MIXED:
        return new_add(history, counter, rng_chance(rng, 50) ? -1 : 1);
    case CLASS_TOP:
        if (counter->sets_count == 0 || rng_chance(rng, 10))
            return new_set(history, counter);
        return new_add(history, counter, rng_chance(rng, 40) ? -1 : 1);
    case CLASS_SETS:
        if (rng_chance(rng, 30))
            return rng_chance(rng, 80) ? new_set(history, counter) : new_reset(history, counter);
        return new_add(history, counter, 1);
    default:
        return new_add(history, counter, 1);
    }
}

struct sim_op *history_new_op(struct history *history, struct rng *rng, unsigned read_percent,
                              bool keyed) {
    /* Half of the traffic on a quarter of the counters, so that messages coalesce. */
    size_t among =
        rng_chance(rng, 50) ? (history->counters_count + 3) / 4 : history->counters_count;
    struct sim_counter *counter = &history->counters[rng_next(rng) % among];

    if (rng_chance(rng, read_percent))
        return new_get(history, counter);
    struct sim_op *op = new_write(history, rng, counter);

    if (op && keyed) {
        (void)snprintf(op->key, sizeof(op->key), "key-%" PRId64, op->number);
        op->op.key = slice_str(op->key);
    }
    return op;
}

struct sim_op *history_new_misuse(struct history *history, struct sim_op *original) {
    struct sim_op *op = NULL;

    /* A key belongs to a kind of operation on a counter (RELIABILITY 3.5). */
    if (original->op.kind == OP_ADD)
        op = new_add(history, original->counter, 1);
    else if (original->op.kind == OP_SET)
        op = new_set(history, original->counter);
    if (!op)
        return NULL;
    (void)snprintf(op->key, sizeof(op->key), "%s", original->key);
    op->op.key = slice_str(op->key);
    op->original = original;
    return op;
}

static const struct sim_op *find_add(const struct sim_counter *counter, int64_t delta) {
    uint64_t bits = delta < 0 ? 0 - (uint64_t)delta : (uint64_t)delta;
    unsigned bit = bits ? (unsigned)__builtin_ctzll(bits) : 0;

    return bit < counter->bits ? counter->adds[bit] : NULL;
}

struct sim_counter *history_counter(const struct history *history, struct slice resource_id) {
    for (size_t i = 0; i < history->counters_count; i++)
        if (slice_eq(resource_id, slice_str(history->counters[i].id)))
            return &history->counters[i];
    return NULL;
}

/* Whose operation that is, from its counter and argument; NULL for a read. */
static const struct sim_op *find_op(const struct history *history, const struct op *op) {
    const struct sim_counter *counter = history_counter(history, op->resource_id);

    if (!counter || op->kind == OP_GET)
        return NULL;
    if (op->kind == OP_ADD)
        return find_add(counter, op->arg);
    if (op->kind == OP_RESET)
        return counter->reset;
    for (unsigned k = 0; k < counter->sets_count; k++)
        if (counter->sets[k]->op.arg == op->arg)
            return counter->sets[k];
    return NULL;
}

void history_describe(const struct history *history, const struct op *op, struct buf *out) {
    static const char *const verbs[] = {
        [OP_ADD] = "+=", [OP_SET] = "=", [OP_RESET] = "reset", [OP_GET] = "?"};
    const struct sim_op *found = find_op(history, op);

    if (found)
        buf_printf(out, " [op %" PRId64 "]", found->number);
    buf_printf(out, " %.*s %s", SLICE_ARGS(op->resource_id), verbs[op->kind]);
    if (op->kind == OP_ADD || op->kind == OP_SET)
        buf_printf(out, " %" PRId64, op->arg);
    if (op->key.ptr)
        buf_printf(out, " (%.*s)", SLICE_ARGS(op->key));
    buf_add_char(out, ';');
}

int64_t history_floor(const struct history *history, const struct sim_op *op) {
    (void)history;
    return op->counter->class == CLASS_UP ? op->counter->high : INT64_MIN;
}

static bool may_be_lost(const struct history *history, uint64_t commit) {
    for (unsigned i = 0; i < history->lossy_epoch; i++)
        if (commit > history->lost[i].from && commit <= history->lost[i].to)
            return true;
    return false;
}

/* I10: what was told once isn't taken back. */
static void check_floor(struct history *history, const struct sim_op *op, int64_t value,
                        int64_t floor) {
    if (value < floor)
        trace_violation(history->trace, op->number,
                        "I10: [op %" PRId64 "] on %s was answered %" PRId64 " after %" PRId64
                        " had been told",
                        op->number, op->counter->id, value, floor);
    else if (op->counter->class == CLASS_UP && value > op->counter->high)
        op->counter->high = value;
}

static void believe_ok(struct history *history, struct sim_op *op, const struct answer *answer,
                       const struct facts *facts, int64_t floor) {
    if (may_be_lost(history, facts->commit)) {
        if (op->belief == BELIEF_NOT)
            op->belief = BELIEF_MAYBE;
        op->was_lost = true;
        return;
    }
    if (op->op.kind == OP_GET) {
        check_floor(history, op, answer->value, floor);
        op->belief = BELIEF_ACKED;
        op->answer = *answer;
        op->commit = facts->commit;
        return;
    }
    if (op->original && op->original->belief == BELIEF_ACKED && !op->original->was_lost)
        trace_violation(history->trace, op->number,
                        "[op %" PRId64 "] reused the key of [op %" PRId64
                        "] with another payload and was answered OK",
                        op->number, op->original->number);
    if (op->belief == BELIEF_ACKED &&
        (op->answer.value != answer->value || op->answer.time_ms != answer->time_ms))
        trace_violation(history->trace, op->number,
                        "I7: [op %" PRId64 "] was answered %" PRId64 " at %" PRId64
                        " and, the key repeated, %" PRId64 " at %" PRId64,
                        op->number, op->answer.value, op->answer.time_ms, answer->value,
                        answer->time_ms);
    if (op->belief != BELIEF_ACKED) {
        op->belief = BELIEF_ACKED;
        op->answer = *answer;
        op->commit = facts->commit;
    }
    /* A replay tells the value of back then, which is no news. */
    if (!answer->replayed)
        check_floor(history, op, answer->value, INT64_MIN);
}

static void check_refusal(struct history *history, struct sim_op *op, enum err err,
                          const struct facts *facts) {
    if (err == ERR_RANGE && op->counter->class != CLASS_TOP)
        trace_violation(history->trace, op->number,
                        "[op %" PRId64 "] was refused as out of range on %s, which is far from it",
                        op->number, op->counter->id);
    if (err == ERR_MISMATCH && !op->original && !op->was_lost)
        trace_violation(history->trace, op->number,
                        "I7: [op %" PRId64 "] repeated its key and got a mismatch", op->number);
    if (err == ERR_TOO_OLD && !facts->old_ok)
        trace_violation(history->trace, op->number,
                        "[op %" PRId64 "] was refused as too old within its time: its window had "
                        "been forgotten",
                        op->number);
    if (op->belief == BELIEF_ACKED && op->op.key.ptr && (err == ERR_RANGE || err == ERR_MISMATCH))
        trace_violation(history->trace, op->number,
                        "I7: [op %" PRId64 "] was acknowledged and, the key repeated, refused: %s",
                        op->number, err_name(err));
}

void history_answered(struct history *history, struct sim_op *op, const struct answer *answer,
                      const struct facts *facts, int64_t floor) {
    op->open--;
    switch (answer->err) {
    case ERR_OK:
        believe_ok(history, op, answer, facts, floor);
        return;
    case ERR_RANGE:
    case ERR_MISMATCH:
        if (!may_be_lost(history, facts->commit)) {
            check_refusal(history, op, answer->err, facts);
            op->refusal_commit = facts->commit;
            return;
        }
        break;            /* forgotten with the rest: a duplicate may be judged anew */
    case ERR_UNAVAILABLE: /* surely not applied: the batcher is sure */
    case ERR_UNREACHABLE:
    case ERR_CANCELLED:
    case ERR_BUSY:
        return;
    case ERR_TOO_OLD:
        check_refusal(history, op, answer->err, facts);
        break;
    default:
        break;
    }
    if (op->belief == BELIEF_NOT)
        op->belief = BELIEF_MAYBE;
}

void history_synced(struct history *history) {
    for (size_t i = 0; i < history->counters_count; i++)
        history->counters[i].high_synced = history->counters[i].high;
}

static void lose(struct history *history, uint64_t from, uint64_t to) {
    history->lost =
        must(realloc(history->lost, (history->lossy_epoch + 1) * sizeof(*history->lost)));
    history->lost[history->lossy_epoch++] = (struct lost){from, to};
    for (size_t i = 0; i < history->ops_count; i++) {
        struct sim_op *op = history->ops[i];

        bool acked = op->belief == BELIEF_ACKED && op->commit > from && op->commit <= to;

        if (acked ||
            (op->belief == BELIEF_NOT && op->refusal_commit > from && op->refusal_commit <= to)) {
            op->belief = BELIEF_MAYBE;
            op->was_lost = true;
        }
    }
    for (size_t i = 0; i < history->counters_count; i++)
        history->counters[i].high = history->counters[i].high_synced;
}

void history_lost(struct history *history, uint64_t from, uint64_t to) {
    if (from == to)
        return;
    lose(history, from, to);
    for (size_t i = 0; i < history->joints_count; i++) {
        const struct joint *joint = &history->joints[i];

        if (joint->part > from && joint->part <= to && !may_be_lost(history, joint->joint))
            lose(history, joint->joint - 1, joint->joint);
    }
}

void history_rests_on(struct history *history, uint64_t joint, uint64_t part) {
    if (may_be_lost(history, part)) {
        lose(history, joint - 1, joint);
        return;
    }
    if (history->joints_count == history->joints_cap) {
        history->joints_cap = history->joints_cap ? history->joints_cap * 2 : 64;
        history->joints =
            must(realloc(history->joints, history->joints_cap * sizeof(*history->joints)));
    }
    history->joints[history->joints_count++] = (struct joint){joint, part};
}
