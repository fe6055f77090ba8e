/* redis_forget.h - gives up a consumer of a Redis store's events that this process doesn't run.
 *
 * Registered consumers hold the outbox, so one that won't come back must go. Another process may
 * run it, though: it is given up only where no instance is alive for as long as a lease lasts, as
 * one that was killed looks alive till then. Redis may be away meanwhile.
 *
 *     up ─► LOOK: is any instance alive? ─► no ─► LEAVE, every lane ─► over
 *             ▲ a second later ─────────── yes ── still, after all that time ─► over
 *
 * Threads    One of its own, asleep when it is over; start and stop by the process.
 */
#ifndef COUNTER_REDIS_FORGET_H
#define COUNTER_REDIS_FORGET_H

#include "counter/redis_store.h"

struct redis_forget;

/* NULL when memory or descriptors run out. */
struct redis_forget *redis_forget_start(struct redis_fleet *fleet, const char *consumer,
                                        unsigned shard);

/* NULL is fine. */
void redis_forget_stop(struct redis_forget *forget);

#endif
