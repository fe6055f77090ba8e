/* outbox_trim.h - deletes what nobody needs any more (RELIABILITY 3.6).
 *
 * With consumers: what all of them have reported, and nothing else; outbox_trim_full() then says
 * when there is no room. Without: by age and by bytes over all lanes, oldest first.
 *
 * Threads    One owner.
 * Limits     One run deletes a bounded number of entries; the rest waits for the next.
 */
#ifndef CORE_OUTBOX_TRIM_H
#define CORE_OUTBOX_TRIM_H

#include <stdint.h>

#include "core/consumers.h"
#include "core/kv.h"
#include "core/lane.h"

struct outbox_trim {
    struct kv *kv;
    struct lanes *lanes;
    struct consumers *consumers;
    uint64_t max_bytes;
    int64_t max_age_ms;
    uint64_t bytes; /* in all lanes */
    uint64_t trimmed_events_total;
    bool more;       /* the last run had no time for all */
    int64_t next_ms; /* nothing is too old before */
    struct buf from; /* scratch */
    struct buf key;
    struct buf value;
};

/* Reads each lane's oldest entry. ERR_CORRUPT with '*out_lane' when it isn't there. */
MUST_CHECK enum err outbox_trim_open(struct outbox_trim *trim, uint32_t *out_lane);
void outbox_trim_release(struct outbox_trim *trim);

/* An entry was staged, the lane's newest. */
void outbox_trim_added(struct outbox_trim *trim, struct lane *lane, const struct lane_head *entry);

/* Consumers are behind by all that may be kept: nothing may be added. */
bool outbox_trim_full(const struct outbox_trim *trim);

/* Stages deletions when due and touches lanes. The store's errors, ERR_CORRUPT. */
MUST_CHECK enum err outbox_trim_run(struct outbox_trim *trim, int64_t now_ms);

#endif
