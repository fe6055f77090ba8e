/* lane.h - the unit of order: one sequence, one clock, one outbox (RELIABILITY 3.1, 3.3).
 *
 * Threads    One owner.
 */
#ifndef CORE_LANE_H
#define CORE_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/meta_record.h"

/* The oldest entry of the lane's outbox, in memory so that trimming asks only when due. */
struct lane_head {
    bool known; /* false: the outbox is empty, or look it up after the next commit */
    uint64_t epoch;
    uint64_t last_seq; /* both: its key */
    int64_t et_ms;
    uint64_t events;
    uint64_t bytes;
};

struct lane {
    /* stored */
    uint64_t epoch; /* from 1 */
    uint64_t seq;   /* of the last event in this epoch, from 1 */
    uint64_t chain; /* after the last event */
    int64_t last_et_ms;
    /* The latest activity of any producer this lane has forgotten: an unknown producer's
     * message issued up to then may be a duplicate, whatever the clock says by now. */
    int64_t forgotten_ms;
    /* The store's clock when this was stored: PRODUCER_KEEP_MS or more ahead of forgotten_ms. It
     * goes on from there, so that nothing newly issued lies behind forgotten_ms. */
    int64_t clock_ms;
    uint64_t outbox_bytes; /* keys and values */
    uint64_t outbox_epoch; /* no live entry has a lower key than (outbox_epoch, outbox_seq): */
    uint64_t outbox_seq;   /* a seek that starts there crosses nothing deleted */

    /* memory only */
    struct lane_head head;
    bool dirty; /* the record differs from the store's */
    struct lane *next_dirty;
};

/* All of a store's; a commit visits the dirty ones only, as there may be thousands. */
struct lanes {
    struct lane *at; /* by number */
    uint32_t count;
    struct lane *dirty; /* by 'next_dirty' */
};

void lane_init(struct lane *lane);

static inline void lanes_touch(struct lanes *lanes, uint32_t number) {
    struct lane *lane = &lanes->at[number];

    if (lane->dirty)
        return;
    lane->dirty = true;
    lane->next_dirty = lanes->dirty;
    lanes->dirty = lane;
}

/* Its key in KV_META. */
void lane_key(uint32_t number, struct buf *out);

void lane_encode(const struct lane *lane, struct buf *out);

/* Memory-only fields become zero. ERR_CORRUPT; ERR_NEWER with the version found. */
MUST_CHECK enum err lane_decode(struct slice record, struct lane *out, unsigned *out_version);

#endif
