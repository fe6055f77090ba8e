/* kafka_feed.h - the events of a Kafka topic, as a feed (core/feed.h).
 *
 *     a thread: kafka_consumer ─► chunks of events ─► mailbox ─► the consumer's loop: reads by lane
 *
 * Some partitions or all; which ones can change while it runs: then everything that hasn't been
 * passed is thrown away and read again. What a consumer has taken moves the offsets of feed_mark();
 * the consumer stores them with its positions and gives them back to feed_resume(): read again is
 * what lies between the two, and it drops that. There is no consumer group. Opened when the first
 * event has told whose store it is; any other store's event, or a message that is none, ends every
 * read: ERR_INVALID, ERR_CORRUPT. Where Kafka hasn't got an offset any more, reading goes on at the
 * first that it has; the reader sees by the lanes' numbers what it has missed.
 *
 * Threads    The loop's; a thread of its own inside.
 * Limits     CHUNKS chunks ahead of the consumer. Closing may wait two seconds for a broker
 *            that doesn't answer.
 */
#ifndef EDGE_KAFKA_FEED_H
#define EDGE_KAFKA_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/feed.h"
#include "edge/kafka_partitions.h"
#include "edge/kafka_url.h"
#include "loop/loop.h"

struct kafka_feed;

/* A topic doesn't say how many lanes its store has: as many as one may have. */
#define KAFKA_FEED_LANES 4096

struct kafka_feed_conf {
    struct kafka_url url;
    struct kafka_partitions partitions;
    uint32_t lanes;  /* that its store has; 0: nobody knows, KAFKA_FEED_LANES at most */
    atomic_bool *up; /* set to whether the topic is read; outlives the feed */
};

/* NULL when memory runs out. */
struct kafka_feed *kafka_feed_new(struct loop *loop, const struct kafka_feed_conf *conf);
struct feed *kafka_feed_base(struct kafka_feed *feed);

/* Never opened, or closed. NULL is fine. */
void kafka_feed_free(struct kafka_feed *feed);

#endif
