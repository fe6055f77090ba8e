/* outbox_feed.h - the events of a counter elsewhere, as a feed (core/feed.h).
 *
 *     analytics ─ feed ─► one stream of counter.internal.Outbox over a channel of its own ─►
 * counter
 *
 * When the counter goes, reads wait: once it is back they go on behind where they were, and
 * positions that were reported are reported again. A counter of another store is refused: every
 * read then ends with ERR_INVALID.
 *
 * Threads    The loop's.
 * Limits     READS_MAX reads at the counter, the others wait for their turn.
 */
#ifndef EDGE_OUTBOX_FEED_H
#define EDGE_OUTBOX_FEED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/slice.h"
#include "core/feed.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct outbox_feed;
struct tls;

struct outbox_feed_conf {
    struct resolver *resolver;
    struct slice address;  /* of the counter; copied */
    struct tls *tls;       /* NULL: plain */
    struct slice consumer; /* its name; borrowed */
    bool passing;          /* the counter forgets it when the feed is closed, if it is there then */
    struct slice gone;     /* outbox_feed_gone() from the beginning; empty: nobody */
    atomic_bool *up;       /* set to whether the counter is followed; outlives the feed */
};

/* NULL when memory runs out. */
struct outbox_feed *outbox_feed_new(struct loop *loop, const struct outbox_feed_conf *conf);
struct feed *outbox_feed_base(struct outbox_feed *feed);

/* Nobody else reads under this name: the counter forgets it now if it is there, and whenever it is
 * followed again, as nobody tells whether it has heard of it. Empty: somebody may. Borrowed. */
void outbox_feed_gone(struct outbox_feed *feed, struct slice consumer);

/* Never opened, or closed. NULL is fine. */
void outbox_feed_free(struct outbox_feed *feed);

#endif
