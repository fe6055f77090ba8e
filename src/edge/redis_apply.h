/* redis_apply.h - a message as one call of lua/apply.lua, and its reply as answers.
 *
 *     message ─► plan: parts (lanes) of items ─► EVALSHA … ─► strings ─► an answer per operation
 *
 * Increments of one counter, of one sign and without a key are one item, as long as nothing else
 * touches the counter between: Redis adds their sum once, and the values between are computed
 * here, where integers have 64 bits. A plan depends on nothing but the message, the number of lanes
 * and 'coalesce', so that an instance understands what another one has stored in the window.
 *
 * Threads    One owner.
 * Ownership  A plan keeps its memory for the next message. Messages are borrowed for the calls.
 */
#ifndef EDGE_REDIS_APPLY_H
#define EDGE_REDIS_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "core/bytes_table.h"
#include "core/message.h"

/* Beyond, a number isn't exact in Lua. */
#define REDIS_NUMBER_MAX (1ull << 53)

/* What a store was made with and how it is used. */
struct redis_layout {
    uint32_t lanes;
    const uint64_t *epochs; /* by lane */
    uint64_t seed[2];       /* the store's own: where a client's key is kept can't be guessed */
    int64_t key_ttl_ms;
    bool coalesce;
};

struct redis_plan_op {
    uint32_t next; /* of the same item, REDIS_PLAN_END at the end */
    bool valid;
};

#define REDIS_PLAN_END UINT32_MAX

struct redis_plan_item {
    uint32_t counter; /* in 'counters' */
    uint32_t first;   /* its operations */
    uint32_t last;
    uint32_t count;
    uint32_t next; /* of the same part, REDIS_PLAN_END at the end */
    bool shared;   /* an earlier item has the same counter */
    int64_t total; /* of an increment: the sum of its deltas */
};

struct redis_plan_part {
    uint32_t lane;
    uint32_t first; /* its items */
    uint32_t last;
    uint32_t items;
    uint32_t writes; /* operations, not items */
};

struct redis_plan {
    bool coalesce;
    size_t ops_cap; /* of the three below, and of 'latest' */
    struct redis_plan_op *ops;
    struct redis_plan_item *items;
    struct redis_plan_part *parts;
    uint32_t *latest; /* by counter: its latest item */
    uint32_t items_count;
    uint32_t parts_count;
    struct bytes_table counters; /* their keys in Redis */
    uint32_t lanes_cap;
    uint32_t *part_of_lane; /* a guess: right when that part is this lane's */
    struct buf scratch;
    struct buf packed;
};

/* A zeroed plan is valid and empty. */
void redis_plan_release(struct redis_plan *plan);

/* Splits the message. ERR_NO_MEMORY; ERR_INVALID: a number or a count out of range. */
MUST_CHECK enum err redis_plan_make(struct redis_plan *plan, const struct redis_layout *layout,
                                    const struct message *message);

/* Appends the call; nothing to call when plan->parts_count is 0. Check buf_failed(). */
void redis_plan_command(struct redis_plan *plan, const struct redis_layout *layout,
                        const struct message *message, struct buf *out);

struct redis_applied {
    int64_t clock_ms; /* the store's */
    bool replayed;    /* some part was applied before */
};

/* Reads the script's reply: the strings of its array. ERR_CORRUPT: it isn't one;
 * ERR_NO_MEMORY. */
MUST_CHECK enum err redis_plan_answers(struct redis_plan *plan, const struct redis_layout *layout,
                                       const struct message *message, const struct slice *strings,
                                       size_t count, struct answer *out_answers,
                                       struct redis_applied *out);

/* Phase 1's key of a counter: counter:<resource_id>:<counter_type>, '%' and ':' of the type
 * escaped (CONTRACT A). Appends. */
void redis_counter_key(struct buf *out, struct slice resource_id, struct slice counter_type);

#endif
