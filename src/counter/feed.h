/* feed.h - the embedded store's events for one consumer in the same process (core/feed.h).
 *
 *     consumer's loop ── open, report, close ──► mailbox ─► store thread: positions, trimming
 *          ▲    └─ read: straight from the store, up to what is durable
 *          └──────────── more, stored ────────── mailbox ◄─┘
 *
 * Reports are gathered while one is under way and written with the next group, or by themselves
 * without an fsync.
 *
 * Threads    The consumer's loop; new and free where no other call is under way.
 * Order      The service stops after every feed is closed and freed.
 */
#ifndef COUNTER_FEED_H
#define COUNTER_FEED_H

#include "base/attr.h"
#include "core/feed.h"
#include "counter/service.h"

struct counter_feed;

/* 'consumer' is its name in the store (core/consumers.h). 'home' is the loop's. NULL when memory
 * runs out. */
struct counter_feed *counter_feed_new(struct counter_service *service, const char *consumer,
                                      struct mailbox *home);
struct feed *counter_feed_base(struct counter_feed *feed);

/* Never opened, or closed. NULL is fine. */
void counter_feed_free(struct counter_feed *feed);

/* How far the consumer of this name has reported, by lane: what it has done with all it can't be
 * given again. Blocks until the store's thread has told; any other thread that is nobody's loop.
 * ERR_NOT_FOUND: there is none; ERR_LAYOUT: the store hasn't so many lanes; ERR_UNAVAILABLE: it has
 * stopped. */
MUST_CHECK enum err counter_consumer_at(struct counter_service *service, const char *consumer,
                                        struct event_position *out_at, uint32_t lanes);

/* Nobody reads under this name any more: what only it needed may go. Any thread. ERR_NO_MEMORY,
 * ERR_BUSY. */
MUST_CHECK enum err counter_forget_consumer(struct counter_service *service, const char *consumer);

#endif
