/* redis_feed.h - a Redis store's events for one consumer (core/feed.h), shared by its instances.
 *
 *     lease ─► lanes of this instance ─► join: registered, its position ─► assigned()
 *     look (a lane's sequence) ─► [touch, WAIT] ─► end ─► more() ─► read (XRANGE up to the end)
 *     report ─► lua/tidy.lua: the position, and what nobody needs any more is trimmed
 *
 * Nothing is read that was not durable, as far as the mode in force goes, when its lane was looked
 * at: with appendfsync always Redis answers behind the fsync, in mode replicated a WAIT behind a
 * write of our own covers it (RELIABILITY 3.6).
 *
 * Processes that open a feed under the same name share its lanes, by leases of a few seconds. A
 * lease is for liveness only: two instances may read the same lane for a moment, and what both hand
 * on carries the same numbers. A consumer with 'assigned' takes any lanes; one without has all of
 * them or none, and waits in open() until it has.
 *
 * Waking is a look at the lanes' sequences, some milliseconds apart while events come, slower and
 * slower up to LOOK_IDLE_MS while none do.
 *
 * Threads    The consumer's loop.
 * Failures   Redis away: reads say ERR_UNAVAILABLE, and more() comes when it is back.
 */
#ifndef COUNTER_REDIS_FEED_H
#define COUNTER_REDIS_FEED_H

#include "core/feed.h"
#include "counter/redis_store.h"

struct redis_feed;

#define REDIS_FEED_OWNER_BYTES 40

/* 'consumer' is its name in the store; 'shard' the thread's in the metrics. 'owner', up to
 * REDIS_FEED_OWNER_BYTES with its end, names the state of a consumer that has some: what it has
 * read once, no other reads, until the consumer is given up (redis_forget.h); NULL: any instance
 * may. Connects when it is opened. NULL when memory runs out. */
struct redis_feed *redis_feed_new(struct redis_fleet *fleet, const char *consumer,
                                  const char *owner, struct loop *loop, unsigned shard);
struct feed *redis_feed_base(struct redis_feed *feed);

/* Never opened, or closed. NULL is fine. */
void redis_feed_free(struct redis_feed *feed);

#endif
