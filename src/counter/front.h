/* front.h - the counter service as gRPC clients see it: one front per loop.
 *
 * Calls from outside go through a batcher of the front's own, so that a thousand single calls of
 * one tick cost one message to the store (DESIGN decision 1). Gateways' messages don't
 * (front_apply.h).
 *
 * Threads    A front belongs to its loop. What they share is read by all after start.
 */
#ifndef COUNTER_FRONT_H
#define COUNTER_FRONT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/config.h"
#include "base/metrics.h"
#include "core/batcher.h"
#include "counter/backend.h"
#include "loop/loop.h"

struct front;
struct tls;

struct front_fleet {
    const struct config *config;
    struct metrics *metrics;
    struct counter_backend backend;
    const char *version;
    struct tls *tls;            /* of the listener; NULL: plain */
    _Atomic size_t connections; /* open now, on all loops */
    metric_series *requests;    /* [method][status]; front_fleet_init() makes them */
    metric_series *duration;    /* [method] */
    metric_series batch_retries;
    metric_series batch_refused;
};

/* Makes the series, before any loop starts; false when memory runs out. */
MUST_CHECK bool front_fleet_init(struct front_fleet *fleet);
void front_fleet_release(struct front_fleet *fleet);

/* Ways to the store. They must not be one and the same: the answers come to different places. */
struct front_upstreams {
    struct upstream *calls;    /* for single calls' batches: front_delivered() */
    struct upstream *messages; /* for gateways' messages: front_message_delivered() */
};

/* On the loop's thread; 'fd' (listening) is taken over. The upstreams are borrowed. NULL when
 * memory runs out or the kernel refuses. */
struct front *front_new(struct front_fleet *fleet, struct loop *loop, unsigned shard,
                        const struct front_upstreams *upstreams, int fd);
void front_free(struct front *front);

/* The upstreams' answers come in here. */
void front_delivered(struct front *front, struct delivery *delivery);
void front_message_delivered(struct front *front, struct delivery *delivery);

/* What the upstreams have learned of the store's clock. */
void front_set_clock(struct front *front, int64_t clock_ahead_ms);

/* Whether the store can be used; true at first. Health says so, and Hello. */
void front_set_serving(struct front *front, bool serving);

/* Says NOT_SERVING, sends clients away in two steps, finishes what is under way, then calls done()
 * once. */
void front_drain(struct front *front, void (*done)(void *ctx), void *ctx);

/* During a drain: closes what clients still hold open. */
void front_abort(struct front *front);

#endif
