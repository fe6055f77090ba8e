/* store_feed.c - of the store in a folder, or of a Redis. */
#include "cli/store_feed.h"

#include "cli/store_reading.h"

static struct feed *make_embedded(struct store_feed *feed, struct loop *loop) {
    feed->embedded = counter_feed_new(feed->store->counter, feed->consumer, loop_mailbox(loop));
    return feed->embedded ? counter_feed_base(feed->embedded) : NULL;
}

static struct feed *make_redis(struct store_feed *feed, struct loop *loop) {
    feed->redis =
        redis_feed_new(feed->store->redis, feed->consumer, feed->owner, loop, feed->shard);
    return feed->redis ? redis_feed_base(feed->redis) : NULL;
}

static struct feed *make(void *ctx, struct loop *loop) {
    struct store_feed *feed = ctx;

    return feed->store->redis ? make_redis(feed, loop) : make_embedded(feed, loop);
}

static void release(void *ctx) {
    struct store_feed *feed = ctx;

    counter_feed_free(feed->embedded);
    redis_feed_free(feed->redis);
    feed->embedded = NULL;
    feed->redis = NULL;
}

struct feed_maker store_feed_maker(struct store_feed *feed) {
    return (struct feed_maker){.ctx = feed, .make = make, .release = release};
}

enum err store_feed_forget(struct store_feed *feed) {
    if (!feed->store->redis)
        return counter_forget_consumer(feed->store->counter, feed->consumer);
    feed->forget = redis_forget_start(feed->store->redis, feed->consumer, feed->shard);
    return feed->forget ? ERR_OK : ERR_NO_MEMORY;
}

enum err store_consumer_at(const struct store *store, const char *consumer,
                           struct event_position *out_at, uint32_t lanes) {
    if (store->redis)
        return store_reading_consumer(store, consumer, out_at, lanes);
    return counter_consumer_at(store->counter, consumer, out_at, lanes);
}

void store_feed_close(struct store_feed *feed) {
    redis_forget_stop(feed->forget);
    feed->forget = NULL;
}
