/* consumers.h - who reads the outbox, and how far each has come (RELIABILITY 3.6).
 *
 * Stored in KV_META: a record for each consumer and lane. Positions are within one epoch of the
 * lane: a position in an earlier epoch counts as before that epoch's first event.
 *
 * Threads    One owner.
 * Limits     CONSUMERS_MAX, names of CONSUMER_NAME_BYTES.
 */
#ifndef CORE_CONSUMERS_H
#define CORE_CONSUMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "core/event.h"
#include "core/kv.h"
#include "core/lane.h"

#define CONSUMERS_MAX       8
#define CONSUMER_NAME_BYTES 32

/* Rankings and series are made of what was read under this name. */
#define CONSUMER_ANALYTICS "analytics"
#define CONSUMER_RECOUNT   "analytics-recount" /* counts anew beside it, and ends */

struct consumer {
    char name[CONSUMER_NAME_BYTES + 1];
    struct event_position *at; /* by lane */
    bool *dirty;               /* by lane */
    bool any_dirty;
};

struct consumers {
    struct consumer list[CONSUMERS_MAX];
    uint32_t count;
    uint32_t lanes;
    bool moved; /* a floor may have risen since consumers_settled() */
    struct buf key;
    struct buf value;
};

/* Reads what is stored. ERR_CORRUPT, ERR_NEWER, ERR_NO_MEMORY, the store's. */
MUST_CHECK enum err consumers_open(struct consumers *consumers, struct kv *kv, uint32_t lanes);
void consumers_release(struct consumers *consumers);

/* NULL: there is none. */
struct consumer *consumers_find(struct consumers *consumers, struct slice name);

/* A new one, at the oldest event that each lane still has; the caller stages it. ERR_INVALID: the
 * name is empty or too long; ERR_BUSY: there are CONSUMERS_MAX; ERR_NO_MEMORY. */
MUST_CHECK enum err consumers_add(struct consumers *consumers, struct slice name,
                                  const struct lanes *lanes, struct consumer **out);

/* Stages the deletion of its records. */
void consumers_remove(struct consumers *consumers, struct kv *kv, struct consumer *consumer);

/* Rises only; lower positions are ignored. */
void consumers_report(struct consumers *consumers, struct consumer *consumer, uint32_t lane,
                      struct event_position at);

/* Stages what changed. */
void consumers_stage(struct consumers *consumers, struct kv *kv);

/* The lowest position of all consumers in the lane; there is at least one. */
struct event_position consumers_floor(const struct consumers *consumers, uint32_t lane);

#endif
