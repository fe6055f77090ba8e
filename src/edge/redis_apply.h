/* redis_apply.h - a message as a call of lua/apply.lua, or one for each lane, and the replies as
 * answers.
 *
 *     message ─► plan: parts (lanes) of items ─► EVALSHA … ─► said ─► an answer per operation
 *                                                one a part on a Cluster
 *
 * What only reads can do without the script (redis_reads.h).
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
#include "edge/redis_slot.h"

/* Beyond, a number isn't exact in Lua. */
#define REDIS_NUMBER_MAX (1ull << 53)

/* What a store was made with and how it is used. */
struct redis_layout {
    uint32_t lanes;
    uint64_t store_id;            /* on a Cluster each call says it */
    const uint64_t *epochs;       /* by lane */
    const struct redis_tag *tags; /* by lane; NULL: a standalone Redis, where lanes are numbers and
                                     counters Phase 1's keys */
    uint64_t seed[2]; /* the store's own: where a client's key is kept can't be guessed */
    int64_t key_ttl_ms;
    uint64_t outbox_max_bytes; /* of a lane */
    bool coalesce;
    bool touch; /* a call that only reads writes as well, for a WAIT behind it */
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
    bool writes;   /* this or an earlier one writes it */
    int64_t total; /* of an increment: the sum of its deltas */
};

struct redis_plan_part {
    uint32_t lane;
    uint32_t first; /* its items */
    uint32_t last;
    uint32_t items;
    uint32_t writes; /* operations, not items */
    bool plain;      /* increments without keys, one item for a counter, and reads */
};

/* What came of a part. */
struct redis_said {
    enum err err; /* not OK: what all its operations are answered */
    int64_t clock_ms;
    struct slice writes;
    struct slice reads;
    size_t heard_at; /* where in 'heard' both are, one behind the other */
};

struct redis_plan {
    bool coalesce;
    size_t ops_cap; /* of the four below, and of 'latest' */
    struct redis_plan_op *ops;
    struct redis_plan_item *items;
    struct redis_plan_part *parts;
    struct redis_said *said; /* by part */
    uint32_t *latest;        /* by counter: its latest item */
    uint32_t items_count;
    uint32_t parts_count;
    struct bytes_table counters; /* their keys in Redis */
    uint32_t lanes_cap;
    uint32_t *part_of_lane; /* a guess: right when that part is this lane's */
    struct buf scratch;
    struct buf packed;
    struct buf heard;
};

/* A zeroed plan is valid and empty. */
void redis_plan_release(struct redis_plan *plan);

/* Splits the message. ERR_NO_MEMORY; ERR_INVALID: a number or a count out of range. */
MUST_CHECK enum err redis_plan_make(struct redis_plan *plan, const struct redis_layout *layout,
                                    const struct message *message);

/* Again, with room already made, as if 'coalesce' were the setting. */
MUST_CHECK enum err redis_plan_split(struct redis_plan *plan, const struct redis_layout *layout,
                                     const struct message *message, bool coalesce);

/* Appends the call for all lanes (standalone), or for the one of part 'i' (Cluster); nothing to
 * call when plan->parts_count is 0. Check buf_failed(). */
void redis_plan_command(struct redis_plan *plan, const struct redis_layout *layout,
                        const struct message *message, struct buf *out);
void redis_plan_part_command(struct redis_plan *plan, const struct redis_layout *layout,
                             const struct message *message, uint32_t i, struct buf *out);

struct redis_applied {
    int64_t clock_ms; /* the store's; on a Cluster the latest of the lanes' */
    bool replayed;    /* some part was applied before */
};

/* Reads the reply for all lanes: the strings of its array. ERR_CORRUPT: it isn't one; ERR_NEWER;
 * ERR_NO_MEMORY. */
MUST_CHECK enum err redis_plan_answers(struct redis_plan *plan, const struct redis_layout *layout,
                                       const struct message *message, const struct slice *strings,
                                       size_t count, struct answer *out_answers,
                                       struct redis_applied *out);

/* On a Cluster: the reply for part 'i', which is copied; or an error that its operations get. Then
 * redis_plan_finish() when all parts have been heard. Errors as above; redis_plan_finish() has
 * ERR_NO_MEMORY also when a copy failed. */
MUST_CHECK enum err redis_plan_hear(struct redis_plan *plan, uint32_t i,
                                    const struct slice *strings, size_t count);
void redis_plan_refuse(struct redis_plan *plan, uint32_t i, enum err err);
MUST_CHECK enum err redis_plan_finish(struct redis_plan *plan, const struct redis_layout *layout,
                                      const struct message *message, struct answer *out_answers,
                                      struct redis_applied *out);

/* <resource_id>:<counter_type>, '%' and ':' of the type escaped. Appends. */
void redis_counter_id(struct buf *out, struct slice resource_id, struct slice counter_type);

/* Phase 1's key of a counter: counter:<resource_id>:<counter_type> (CONTRACT A). Appends. */
void redis_counter_key(struct buf *out, struct slice resource_id, struct slice counter_type);

/* A lane's key for 'what': hgp:{<tag>}:<what>. Appends. */
void redis_lane_key(struct buf *out, const struct redis_layout *layout, uint32_t lane,
                    const char *what);

/* On a Cluster: the hash that a counter of the lane is in; the field is its id. Appends. */
void redis_counter_home(struct buf *out, const struct redis_layout *layout, uint32_t lane,
                        struct slice id);

#endif
