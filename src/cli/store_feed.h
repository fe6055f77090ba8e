/* store_feed.h - the events of this process's store for one of its consumers.
 *
 * Threads    Filled in and given up by the main thread; the maker's functions are the consumer's.
 * Ownership  Lives until the consumer has ended; the store outlives both.
 */
#ifndef CLI_STORE_FEED_H
#define CLI_STORE_FEED_H

#include "base/attr.h"
#include "cli/store.h"
#include "counter/feed.h"
#include "counter/redis_feed.h"
#include "counter/redis_forget.h"
#include "edge/feed_maker.h"

struct store_feed {
    const struct store *store;
    const char *consumer;          /* its name in the store */
    const char *owner;             /* names its state; NULL: it has none (redis_feed.h) */
    unsigned shard;                /* of the consumer's thread, in the metrics */
    struct counter_feed *embedded; /* made: one of them */
    struct redis_feed *redis;
    struct redis_forget *forget;
};

struct feed_maker store_feed_maker(struct store_feed *feed);

/* Nothing is made of it: the store need keep nothing for this consumer; a Redis, as long as no
 * other process runs it. */
MUST_CHECK enum err store_feed_forget(struct store_feed *feed);

/* As counter_consumer_at() (counter/feed.h), of either kind of store. */
MUST_CHECK enum err store_consumer_at(const struct store *store, const char *consumer,
                                      struct event_position *out_at, uint32_t lanes);

/* The consumer has ended, and isn't given up any more. One that was never filled in is fine. */
void store_feed_close(struct store_feed *feed);

#endif
