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
#include "edge/feed_maker.h"

struct store_feed {
    const struct store *store;
    const char *consumer;          /* its name in the store */
    struct counter_feed *embedded; /* made */
};

struct feed_maker store_feed_maker(struct store_feed *feed);

/* Nobody here will read under this name: the store need keep nothing for it. */
MUST_CHECK enum err store_feed_forget(const struct store *store, const char *consumer);

#endif
