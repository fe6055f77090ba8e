/* kafka_consumer.h - reads one topic, every partition from a given offset on, by librdkafka.
 *
 *     kafka_consumer_new() ─► kafka_consumer_open() … ERR_OK ─► kafka_consumer_next() … ─► free
 *
 * No consumer group: who reads keeps the offsets itself, and another reader takes nothing away.
 * Messages of a partition come in order; after trouble with a broker they go on where they were.
 *
 * Threads    One owner; librdkafka's threads are inside.
 * Limits     kafka_consumer_open() blocks for up to KAFKA_OPEN_MS, kafka_consumer_next() as long as
 * it is told to, kafka_consumer_free() until the threads have ended.
 */
#ifndef EDGE_KAFKA_CONSUMER_H
#define EDGE_KAFKA_CONSUMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"
#include "edge/kafka_partitions.h"
#include "edge/kafka_url.h"

#define KAFKA_FROM_FIRST (-2) /* librdkafka's RD_KAFKA_OFFSET_BEGINNING */

struct kafka_consumer;

struct kafka_consumer_conf {
    const struct kafka_url *url; /* copied */
    /* By partition where reading begins; KAFKA_FROM_FIRST, NULL, and behind 'from_count': at the
     * first message kept. */
    const int64_t *from;
    uint32_t from_count;
    const struct kafka_partitions *read; /* copied; NULL: all */
    bool ends;                           /* are told, as messages */
};

struct kafka_message { /* borrowed until the next call */
    int32_t partition;
    int64_t offset;
    struct slice key;
    struct slice value; /* {NULL, 0}: a tombstone */
    bool end; /* none: all before 'offset' was read, or is gone, and there was no more just now */
};

/* Nothing is connected yet. ERR_NO_MEMORY; ERR_INVALID: librdkafka refuses the configuration. */
MUST_CHECK enum err kafka_consumer_new(const struct kafka_consumer_conf *conf,
                                       struct kafka_consumer **out, const char **out_detail);

/* NULL is fine. */
void kafka_consumer_free(struct kafka_consumer *consumer);

/* Finds the topic's partitions and begins to read them. ERR_UNAVAILABLE: no broker answers, try
 * again; ERR_NOT_FOUND: there is no such topic or partition; ERR_NO_MEMORY. */
MUST_CHECK enum err kafka_consumer_open(struct kafka_consumer *consumer, int64_t wait_ms);

/* The next message of any partition; the first that is there, where the wanted one isn't any more.
 * ERR_NOT_FOUND: none came within 'wait_ms'; ERR_UNAVAILABLE: reading a partition has failed,
 * kafka_consumer_problem() says why. */
MUST_CHECK enum err kafka_consumer_next(struct kafka_consumer *consumer, int64_t wait_ms,
                                        struct kafka_message *out);

/* The next one is here already: it takes no wait. */
bool kafka_consumer_has_more(const struct kafka_consumer *consumer);

/* The offsets of the partition's first message and behind its last one, as of now: asks a broker.
 * ERR_UNAVAILABLE: none has answered within 'wait_ms'. */
MUST_CHECK enum err kafka_consumer_end(struct kafka_consumer *consumer, uint32_t partition,
                                       int64_t wait_ms, int64_t *out_first, int64_t *out_end);

/* Of the topic, however many of them are read; 0: not open yet. */
uint32_t kafka_consumer_partitions(const struct kafka_consumer *consumer);

/* The last trouble, a sentence for people; "" when there was none. */
const char *kafka_consumer_problem(const struct kafka_consumer *consumer);

#endif
