/* events.h - where the events of this process's store go, by the configuration.
 *
 * Threads    Started and stopped by the main thread.
 * Errors     Logged, and returned as the process's exit code.
 */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/config.h"
#include "base/metrics.h"
#include "cli/store_feed.h"
#include "counter/shipper.h"
#include "edge/kafka_url.h"
#include "gateway/gateway.h"

struct events_part { /* a zeroed one sends none */
    struct store_feed feed;
    struct shipper *shipper;
};

/* A topic is configured: a store's events go there, analytics gets them there. */
bool events_in_kafka(const struct config *config);

/* events.url with the user's password and what else it takes to connect. NULL, or a sentence why
 * not, which doesn't repeat a password. 'config' is borrowed. */
MUST_CHECK const char *events_url_read(const struct config *config, struct kafka_url *out);

/* What is wrong with the keys by themselves, without a look at servers. */
void events_check(const struct config *config, struct config_problems *problems);

/* Where none are to go anywhere, nobody holds the outbox for Kafka any more. */
MUST_CHECK int events_start(struct events_part *part, const struct config *config,
                            const struct store *store, struct metrics *metrics, unsigned shard);

/* Waits up to 'flush_ms' for what is in flight. Before the store. */
void events_stop(struct events_part *part, int64_t flush_ms);

/* For struct gateway_backend; 'ctx' is the shipper. */
void events_status(void *ctx, struct gateway_events *out);

#endif
