/* feed_maker.h - how a consumer gets its feed (core/feed.h) on a loop of its own.
 *
 * Threads    Both functions on the thread of the loop; the loop isn't running yet, or not any more.
 * Order      make ─ feed_open … feed_close ─ closed() ─ release
 */
#ifndef EDGE_FEED_MAKER_H
#define EDGE_FEED_MAKER_H

#include "core/feed.h"
#include "loop/loop.h"

struct feed_maker {
    void *ctx;
    struct feed *(*make)(void *ctx, struct loop *loop); /* NULL: out of memory */
    void (*release)(void *ctx);                         /* what make() gave */
};

#endif
