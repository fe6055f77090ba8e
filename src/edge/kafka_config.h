/* kafka_config.h - what producers and consumers tell librdkafka alike.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_KAFKA_CONFIG_H
#define EDGE_KAFKA_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include <librdkafka/rdkafka.h>

#include "base/attr.h"
#include "edge/kafka_url.h"

/* Where librdkafka says what it refuses. */
struct kafka_detail {
    char text[512];
};

/* Names of librdkafka's CONFIGURATION.md. */
MUST_CHECK bool kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value,
                          struct kafka_detail *detail);

/* Brokers, how to reach them, and to be quiet. */
MUST_CHECK bool kafka_set_common(rd_kafka_conf_t *conf, const struct kafka_url *url,
                                 struct kafka_detail *detail);

#endif
