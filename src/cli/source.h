/* source.h - where an analytics process gets its events: from a counter elsewhere, or from Kafka.
 *
 * Threads    The feed is its consumer's; source_up() any thread; the rest the main thread.
 */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/config.h"
#include "edge/feed_maker.h"
#include "edge/kafka_feed.h"
#include "edge/outbox_feed.h"

struct source {
    const struct config *config;
    struct resolver *resolver;
    struct tls *tls;            /* NULL: plain */
    bool recount;               /* to count anew, beside another one of this process */
    struct outbox_feed *outbox; /* the consumer's: one of the two */
    struct kafka_feed *kafka;
    struct kafka_partitions partitions;
    uint32_t lanes;       /* that the store has whose events it reads from Kafka; 0: unknown */
    struct kafka_url url; /* of Kafka, with its password */
    atomic_bool up;       /* it has events now */
};

#define SOURCE_NAME_BYTES (KAFKA_BROKERS_BYTES + KAFKA_TOPIC_BYTES + 16)

/* Where an analytics process gets them, for people: a counter's address, a Redis, or brokers and
 * topic. */
void source_name(const struct config *config, char out[SOURCE_NAME_BYTES]);

/* Reads what the feed needs of files. NULL, or a sentence why that can't be. */
MUST_CHECK const char *source_open(struct source *source);

/* What is wrong with the configuration of an analytics process. */
void source_check(const struct config *config, struct config_problems *problems);

/* A counter elsewhere, by gRPC. */
bool source_is_counter(const struct config *config);

/* Whether another source of this process is its recount's: if not, the counter keeps nothing for
 * one that was cut off. On the thread of the feed, which is made; not of a recount. */
void source_beside(struct source *source, bool recount);

struct feed_maker source_feed_maker(struct source *source);

#endif
