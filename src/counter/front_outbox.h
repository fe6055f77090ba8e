/* front_outbox.h - the store's events for another process: Follow of counter.internal.Outbox, for
 * one loop.
 *
 *     Follow ─► follower ─► counter/feed ─► store        a stream is a consumer (core/feed.h)
 *
 * Threads    The loop's thread.
 * Ownership  A follower outlives its call until its feed is closed: a drain waits for it
 *            (front_outbox_idle()).
 * Limits     A follower's reads: one for each lane, and what its client leaves untaken
 *            (grpc_send()).
 */
#ifndef COUNTER_FRONT_OUTBOX_H
#define COUNTER_FRONT_OUTBOX_H

#include <stdbool.h>

#include "counter/service.h"
#include "edge/grpc_host.h"
#include "loop/loop.h"

struct front_outbox;

#define FRONT_NOTHING_TO_FOLLOW                                                                    \
    "there are no events to follow here: the store is a Redis, analytics runs in this process, "   \
    "or analytics.enabled is false"

/* 'service' NULL: there is nothing to follow, and Follow says so. 'settled' is called whenever the
 * last follower has gone. NULL when memory runs out. */
struct front_outbox *front_outbox_new(struct loop *loop, struct counter_service *service,
                                      void (*settled)(void *ctx), void *ctx);

/* Idle. NULL is fine. */
void front_outbox_free(struct front_outbox *outbox);

void front_outbox_method(struct front_outbox *outbox, struct grpc_method *out);

/* No feed is open. */
bool front_outbox_idle(const struct front_outbox *outbox);

#endif
