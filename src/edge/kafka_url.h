/* kafka_url.h - kafka://[user[:password]@]HOST:PORT,HOST:PORT/TOPIC; kafkas:// the same by TLS. A
 * user means SASL. '%41' stands for a byte in user and password.
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
#define KAFKA_SECRET_BYTES  256

struct kafka_url {
    char brokers[KAFKA_BROKERS_BYTES]; /* "h:p,h:p" */
    char topic[KAFKA_TOPIC_BYTES];
    bool is_tls;
    char user[KAFKA_SECRET_BYTES]; /* "": no SASL */
    char password[KAFKA_SECRET_BYTES];
    /* What the URL doesn't say; borrowed, NULL or "": librdkafka's default, or none. */
    const char *mechanism; /* of SASL */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
};

/* ERR_INVALID, and a phrase that says what is wrong. */
MUST_CHECK enum err kafka_url_parse(struct slice text, struct kafka_url *out,
                                    const char **out_problem);

/* NULL, or a sentence: what this librdkafka and the URL's mechanism won't do together. */
const char *kafka_url_caution(const struct kafka_url *url);

#endif
