/* kafka_url.h - kafka://HOST:PORT,HOST:PORT/TOPIC.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_KAFKA_URL_H
#define EDGE_KAFKA_URL_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

#define KAFKA_BROKERS_BYTES 1024
#define KAFKA_TOPIC_BYTES   250 /* Kafka allows 249 */

struct kafka_url {
    char brokers[KAFKA_BROKERS_BYTES]; /* "h:p,h:p" */
    char topic[KAFKA_TOPIC_BYTES];
};

bool kafka_url_is(struct slice text);

/* ERR_INVALID, and a phrase that says what is wrong. */
MUST_CHECK enum err kafka_url_parse(struct slice text, struct kafka_url *out,
                                    const char **out_problem);

#endif
