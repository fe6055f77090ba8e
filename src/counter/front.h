/* front.h - the counter's services as gRPC clients see them: one front per loop, on its gRPC host.
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
#include "edge/grpc_host.h"
#include "edge/live.h"
#include "loop/loop.h"

struct front;

struct front_fleet {
    const struct config *config;
    struct metrics *metrics;
    struct counter_backend backend;
    const char *version;
    /* front_fleet_init() makes them */
    metric_series batch_retries;
    metric_series batch_refused;
    struct live_shared watches;
};

/* Makes the series, before any loop starts. */
void front_fleet_init(struct front_fleet *fleet);

/* Ways to the store. They must not be one and the same: the answers come to different places. */
struct front_upstreams {
    struct upstream *calls;         /* for single calls' batches: front_delivered() */
    struct upstream *messages;      /* for gateways' messages: front_message_delivered() */
    struct counter_service *events; /* whose events may be followed; NULL: nobody's */
};

#define FRONT_SERVICES 3 /* counter.CounterService, counter.internal.Lanes and .Outbox */

/* The paths of all their methods, for grpc_host_fleet_init(). */
const struct slice *front_paths(size_t *out_count);

/* On the loop's thread. The upstreams are borrowed. NULL when memory runs out. */
struct front *front_new(struct front_fleet *fleet, struct loop *loop, unsigned shard,
                        const struct front_upstreams *upstreams);
/* Behind its host. */
void front_free(struct front *front);

/* new ─► services ─► grpc_host_new() ─► attach, before the loop runs. */
void front_services(struct front *front, struct grpc_service out[FRONT_SERVICES]);
void front_attach(struct front *front, struct grpc_host *host);

/* The upstreams' answers come in here. */
void front_delivered(struct front *front, struct delivery *delivery);
void front_message_delivered(struct front *front, struct delivery *delivery);

/* What the upstreams have learned of the store's clock. */
void front_set_clock(struct front *front, int64_t clock_ahead_ms);

/* Whether the store can be used; true at first. Health says so, and Hello. */
void front_set_serving(struct front *front, bool serving);

/* The host has drained: calls done() once, when what ended calls have left with the store is back,
 * and what read the store's events is closed. */
void front_drain(struct front *front, void (*done)(void *ctx), void *ctx);

#endif
