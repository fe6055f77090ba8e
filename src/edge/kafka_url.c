/* kafka_url.c - brokers up to the slash, then the topic. */
#include "edge/kafka_url.h"

#include <string.h>

#include "base/config.h"
#include "edge/url_text.h"

#define SCHEME     SLICE("kafka://")
#define TLS_SCHEME SLICE("kafkas://")

static bool is_kafka_url(struct slice text) {
    return slice_starts(text, SCHEME) || slice_starts(text, TLS_SCHEME);
}

/* https://kafka.apache.org: letters, digits, '.', '_' and '-', at most 249, not "." or "..". */
static bool is_topic(struct slice topic) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    for (size_t i = 0; i < topic.len; i++)
        if (!memchr(allowed, topic.ptr[i], sizeof(allowed) - 1))
            return false;
    return topic.len > 0 && topic.len < KAFKA_TOPIC_BYTES && !slice_eq(topic, SLICE(".")) &&
           !slice_eq(topic, SLICE(".."));
}

static const char *parse(struct slice text, struct kafka_url *url) {
    struct slice rest;
    const char *problem =
        url_take_credentials(text, url->user, url->password, sizeof(url->user), &rest);
    struct slice topic = url_cut(&rest, '/', false);

    if (problem)
        return problem;
    if (url->password[0] && !url->user[0])
        return "a password needs a user in front of it";
    if (!config_are_upstreams(rest))
        return "its brokers aren't HOST:PORT,HOST:PORT";
    if (!is_topic(topic))
        return "behind the brokers there must be /TOPIC: at most 249 letters, digits, dots, dashes "
               "and underscores";
    memcpy(url->brokers, rest.ptr, rest.len);
    memcpy(url->topic, topic.ptr, topic.len);
    return NULL;
}

enum err kafka_url_parse(struct slice text, struct kafka_url *out, const char **out_problem) {
    struct kafka_url url = {.is_tls = slice_starts(text, TLS_SCHEME)};

    if (!is_kafka_url(text)) {
        *out_problem = "it doesn't begin with kafka:// or kafkas://";
        return ERR_INVALID;
    }
    *out_problem = parse(slice_skip(text, url.is_tls ? TLS_SCHEME.len : SCHEME.len), &url);
    if (*out_problem)
        return ERR_INVALID;
    *out = url;
    return ERR_OK;
}
