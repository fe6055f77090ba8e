/* kafka_url.c - brokers up to the slash, then the topic. */
#include "edge/kafka_url.h"

#include <string.h>

#include "base/config.h"

#define SCHEME SLICE("kafka://")

bool kafka_url_is(struct slice text) {
    return slice_starts(text, SCHEME);
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

enum err kafka_url_parse(struct slice text, struct kafka_url *out, const char **out_problem) {
    if (!kafka_url_is(text)) {
        *out_problem = "it doesn't begin with kafka://";
        return ERR_INVALID;
    }
    struct slice rest = slice_skip(text, SCHEME.len);
    const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    struct slice brokers = slice_of(rest.ptr, slash ? (size_t)(slash - rest.ptr) : rest.len);
    struct slice topic = slash ? slice_skip(rest, brokers.len + 1) : SLICE("");

    if (!config_are_upstreams(brokers)) {
        *out_problem = "its brokers aren't HOST:PORT,HOST:PORT";
        return ERR_INVALID;
    }
    if (!is_topic(topic)) {
        *out_problem = "behind the brokers there must be /TOPIC: at most 249 letters, digits, "
                       "dots, dashes and underscores";
        return ERR_INVALID;
    }
    *out = (struct kafka_url){0};
    memcpy(out->brokers, brokers.ptr, brokers.len);
    memcpy(out->topic, topic.ptr, topic.len);
    return ERR_OK;
}
