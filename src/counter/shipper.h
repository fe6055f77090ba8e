/* shipper.h - the store's events to Kafka: a thread with the relay (core/relay.h) and a producer.
 *
 *     feed ─► relay ─► JSON ─► producer ─► partition lane mod events.partitions
 *       ▲ positions ◄── confirmed ◄──┘
 *
 * Kafka may be away at the start or later: events wait in the outbox, figures say so. When the
 * producer is finished (it lost something, or librdkafka calls it fatal) it is made anew and
 * ships from the confirmed positions.
 *
 * Threads    One of its own; start and stop by the process, shipper_status() any.
 * Order      Starts after the store's service, stops before it.
 */
#ifndef COUNTER_SHIPPER_H
#define COUNTER_SHIPPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/metrics.h"
#include "edge/feed_maker.h"
#include "edge/kafka_url.h"

#define SHIPPER_CONSUMER "kafka" /* its name in the store */

struct shipper;

struct shipper_conf {
    struct kafka_url url;
    bool protobuf; /* else JSON */
    uint32_t partitions;
    uint32_t in_flight;
    struct feed_maker feed; /* the shipper's thread's */
    struct metrics *metrics;
    unsigned shard; /* its thread's */
};

struct shipper_status {
    bool connected; /* the producer has its topic, and the last thing heard wasn't trouble */
    uint64_t shipped_total; /* events that Kafka has confirmed */
    uint64_t lag_events;    /* in the outbox and not confirmed */
    uint64_t in_flight;     /* of them, with the producer */
    int64_t lag_ms;         /* how long the oldest of them has waited, */
    int64_t oldest_ms;      /* since then (wall clock), where there are any */
    uint64_t errors_total;
    int64_t last_shipped_ms; /* wall clock; 0: never */
    uint32_t lanes_stopped;
    char problem[256]; /* why it isn't connected; or why a lane has stopped */
};

/* Starts the thread. ERR_NO_MEMORY, ERR_IO; ERR_INVALID: librdkafka refuses the configuration,
 * '*out_detail' says why. */
MUST_CHECK enum err shipper_start(const struct shipper_conf *conf, struct shipper **out,
                                  const char **out_detail);

/* Waits up to 'flush_ms' for what is in flight, reports and ends. NULL is fine. */
void shipper_stop(struct shipper *shipper, int64_t flush_ms);

void shipper_status(struct shipper *shipper, struct shipper_status *out);

#endif
