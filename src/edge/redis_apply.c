/* redis_apply.c - a message split into parts of items. */
#include "edge/redis_apply.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "core/hash.h"

#define OPS_MAX   (1u << 20)
#define PLAIN_MAX 1000 /* items of a plain part: so many values Lua takes as arguments at once */

/* ---- split ---- */

void redis_plan_release(struct redis_plan *plan) {
    free(plan->ops);
    free(plan->items);
    free(plan->parts);
    free(plan->said);
    free(plan->latest);
    free(plan->part_of_lane);
    bytes_table_release(&plan->counters);
    buf_release(&plan->scratch);
    buf_release(&plan->packed);
    buf_release(&plan->heard);
}

static bool make_lanes(struct redis_plan *plan, uint32_t lanes) {
    if (lanes <= plan->lanes_cap)
        return true;
    free(plan->part_of_lane);
    plan->part_of_lane = calloc(lanes, sizeof(*plan->part_of_lane));
    plan->lanes_cap = plan->part_of_lane ? lanes : 0;
    return plan->part_of_lane != NULL;
}

static bool make_room(struct redis_plan *plan, size_t count) {
    if (count <= plan->ops_cap)
        return true;
    struct redis_plan_op *ops = realloc(plan->ops, count * sizeof(*ops));
    if (ops)
        plan->ops = ops;
    struct redis_plan_item *items = realloc(plan->items, count * sizeof(*items));
    if (items)
        plan->items = items;
    struct redis_plan_part *parts = realloc(plan->parts, count * sizeof(*parts));
    if (parts)
        plan->parts = parts;
    struct redis_said *said = realloc(plan->said, count * sizeof(*said));
    if (said)
        plan->said = said;
    uint32_t *latest = realloc(plan->latest, count * sizeof(*latest));
    if (latest)
        plan->latest = latest;
    if (!ops || !items || !parts || !said || !latest)
        return false;
    plan->ops_cap = count;
    return true;
}

void redis_counter_key(struct buf *out, struct slice resource_id, struct slice counter_type) {
    buf_add_str(out, "counter:");
    redis_counter_id(out, resource_id, counter_type);
}

void redis_counter_id(struct buf *out, struct slice resource_id, struct slice counter_type) {
    buf_add_slice(out, resource_id);
    buf_add_char(out, ':');
    for (size_t i = 0; i < counter_type.len; i++) {
        char c = counter_type.ptr[i];

        if (c == '%' || c == ':')
            buf_add_str(out, c == '%' ? "%25" : "%3A");
        else
            buf_add_char(out, c);
    }
}

static uint32_t lane_of(struct redis_plan *plan, const struct op *op, uint32_t lanes) {
    buf_clear(&plan->scratch);
    buf_add_slice(&plan->scratch, op->resource_id);
    buf_add_char(&plan->scratch, '\0');
    buf_add_slice(&plan->scratch, op->counter_type);
    return hash_lane(buf_slice(&plan->scratch), lanes);
}

/* The counter's number in the message, BYTES_TABLE_NONE when memory runs out. */
static uint32_t counter_of(struct redis_plan *plan, const struct redis_layout *layout,
                           const struct op *op) {
    buf_clear(&plan->scratch);
    if (layout->tags)
        redis_counter_id(&plan->scratch, op->resource_id, op->counter_type);
    else
        redis_counter_key(&plan->scratch, op->resource_id, op->counter_type);
    if (buf_failed(&plan->scratch))
        return BYTES_TABLE_NONE;
    struct slice key = buf_slice(&plan->scratch);
    uint64_t hash = siphash(layout->seed, key);
    uint32_t number = bytes_table_find(&plan->counters, hash, key);
    if (number != BYTES_TABLE_NONE)
        return number;
    number = bytes_table_add(&plan->counters, hash, key);
    if (number != BYTES_TABLE_NONE)
        plan->latest[number] = REDIS_PLAN_END;
    return number;
}

static struct redis_plan_part *part_of(struct redis_plan *plan, uint32_t lane) {
    uint32_t *at = &plan->part_of_lane[lane];

    if (*at < plan->parts_count && plan->parts[*at].lane == lane)
        return &plan->parts[*at];
    *at = plan->parts_count++;
    plan->parts[*at] =
        (struct redis_plan_part){.lane = lane, .first = REDIS_PLAN_END, .plain = true};
    return &plan->parts[*at];
}

/* RELIABILITY 3.3: one sign and no key, so that the sum overflows when any prefix does; and the
 * sum must be a delta itself. */
static bool joins(const struct redis_plan *plan, const struct message *message, uint32_t at,
                  const struct op *op, int64_t *out_total) {
    if (at == REDIS_PLAN_END || !plan->coalesce)
        return false;
    const struct redis_plan_item *item = &plan->items[at];
    const struct op *first = &message->ops[item->first];

    return op->kind == OP_ADD && first->kind == OP_ADD && !op->key.ptr && !first->key.ptr &&
           (op->arg < 0) == (first->arg < 0) &&
           !__builtin_add_overflow(item->total, op->arg, out_total);
}

/* Whether an item may stand in a plain part, where it joins no other's event. */
static bool plain_item(const struct op *op, bool rewrites) {
    return op->kind == OP_GET || (op->kind == OP_ADD && !op->key.ptr && !rewrites);
}

static void add_item(struct redis_plan *plan, struct redis_plan_part *part, uint32_t counter,
                     const struct op *op, uint32_t i) {
    uint32_t at = plan->items_count++;
    uint32_t before = plan->latest[counter];
    bool rewrites = before != REDIS_PLAN_END && plan->items[before].writes;

    plan->items[at] = (struct redis_plan_item){.counter = counter,
                                               .first = i,
                                               .last = i,
                                               .count = 1,
                                               .next = REDIS_PLAN_END,
                                               .shared = before != REDIS_PLAN_END,
                                               .writes = rewrites || op->kind != OP_GET,
                                               .total = op->kind == OP_ADD ? op->arg : 0};
    part->plain = part->plain && plain_item(op, rewrites) && part->items < PLAIN_MAX;
    if (part->first == REDIS_PLAN_END)
        part->first = at;
    else
        plan->items[part->last].next = at;
    part->last = at;
    part->items++;
    plan->latest[counter] = at;
}

static enum err add_op(struct redis_plan *plan, const struct redis_layout *layout,
                       const struct message *message, uint32_t i) {
    const struct op *op = &message->ops[i];
    int64_t total;

    plan->ops[i] = (struct redis_plan_op){.next = REDIS_PLAN_END, .valid = op_valid(op)};
    if (!plan->ops[i].valid)
        return ERR_OK;
    struct redis_plan_part *part = part_of(plan, lane_of(plan, op, layout->lanes));
    uint32_t counter = counter_of(plan, layout, op);
    if (buf_failed(&plan->scratch) || counter == BYTES_TABLE_NONE)
        return ERR_NO_MEMORY;
    part->writes += op->kind != OP_GET;
    if (!joins(plan, message, plan->latest[counter], op, &total)) {
        add_item(plan, part, counter, op, i);
        return ERR_OK;
    }
    struct redis_plan_item *item = &plan->items[plan->latest[counter]];
    plan->ops[item->last].next = i;
    item->last = i;
    item->count++;
    item->total = total;
    return ERR_OK;
}

enum err redis_plan_split(struct redis_plan *plan, const struct redis_layout *layout,
                          const struct message *message, bool coalesce) {
    enum err err = ERR_OK;

    plan->coalesce = coalesce;
    plan->items_count = 0;
    plan->parts_count = 0;
    bytes_table_clear(&plan->counters);
    for (uint32_t i = 0; i < message->count && err == ERR_OK; i++)
        err = add_op(plan, layout, message, i);
    return err;
}

enum err redis_plan_make(struct redis_plan *plan, const struct redis_layout *layout,
                         const struct message *message) {
    if (message->number == 0 || message->number >= REDIS_NUMBER_MAX || message->count > OPS_MAX)
        return ERR_INVALID;
    if (!make_room(plan, message->count) || !make_lanes(plan, layout->lanes))
        return ERR_NO_MEMORY;
    buf_clear(&plan->heard);
    return redis_plan_split(plan, layout, message, layout->coalesce);
}
