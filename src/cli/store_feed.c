/* store_feed.c - the embedded store's. */
#include "cli/store_feed.h"

static struct feed *make(void *ctx, struct loop *loop) {
    struct store_feed *feed = ctx;

    feed->embedded = counter_feed_new(feed->store->counter, feed->consumer, loop_mailbox(loop));
    return feed->embedded ? counter_feed_base(feed->embedded) : NULL;
}

static void release(void *ctx) {
    struct store_feed *feed = ctx;

    counter_feed_free(feed->embedded);
    feed->embedded = NULL;
}

struct feed_maker store_feed_maker(struct store_feed *feed) {
    return (struct feed_maker){.ctx = feed, .make = make, .release = release};
}

enum err store_feed_forget(const struct store *store, const char *consumer) {
    return counter_forget_consumer(store->counter, consumer);
}
