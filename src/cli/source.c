/* source.c - see source.h. */
#include "cli/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/events.h"
#include "cli/store_url.h"
#include "core/consumers.h"

bool source_is_counter(const struct config *config) {
    return !events_in_kafka(config) && !store_url_is_redis(config);
}

void source_name(const struct config *config, char out[SOURCE_NAME_BYTES]) {
    struct kafka_url url;
    const char *problem;

    (void)snprintf(out, SOURCE_NAME_BYTES, "%s", config->counter);
    if (!events_in_kafka(config) && store_url_is_redis(config))
        store_name(config, out, SOURCE_NAME_BYTES);
    else if (events_in_kafka(config) &&
             kafka_url_parse(slice_str(config->events_url), &url, &problem) == ERR_OK) {
        (void)snprintf(out, SOURCE_NAME_BYTES, "kafka://%s/%s", url.brokers, url.topic);
        explicit_bzero(&url, sizeof(url));
    }
}

/* "0,1,5", "none" or "", all: false when it isn't such a list. */
static bool read_partitions(const char *text, struct kafka_partitions *out) {
    *out = (struct kafka_partitions){.others = !*text};
    if (strcmp(text, "none") == 0)
        return true;
    while (*text) {
        char *end;
        unsigned long number = strtoul(text, &end, 10);

        if (end == text || text[0] < '0' || text[0] > '9' || number > INT32_MAX ||
            out->count == KAFKA_PARTITIONS_NAMED_MAX || (*end && (*end != ',' || !end[1])))
            return false;
        out->named[out->count++] = (uint32_t)number;
        text = *end ? end + 1 : end;
    }
    return true;
}

static void check_kafka(const struct config *config, struct config_problems *problems) {
    struct kafka_partitions partitions;

    events_check(config, problems);
    if (!read_partitions(config->analytics_partitions, &partitions))
        config_problem(problems,
                       "analytics.partitions: must be none, or at most %d numbers with commas "
                       "between",
                       KAFKA_PARTITIONS_NAMED_MAX);
}

static void check_store(const struct config *config, struct config_problems *problems) {
    bool asked = config->source[CONFIG_KEY_store].layer != CONFIG_DEFAULT;

    store_url_check(config, problems);
    if (events_in_kafka(config)) /* it tells what the topic's store is */
        return;
    if (asked && !store_url_is_redis(config))
        config_problem(
            problems,
            "store: analytics reads the events of a Redis; of a store in a folder it reads "
            "them from the counter that has it (counter)");
}

/* A counter's embedded store has one owner, and so has every event one place to come from. */
void source_check(const struct config *config, struct config_problems *problems) {
    check_store(config, problems);
    if (events_in_kafka(config)) {
        check_kafka(config, problems);
        return;
    }
    struct slice list = slice_str(config->counter);
    (void)config_next_upstream(&list);
    if (list.len)
        config_problem(problems, "counter: analytics reads the events of one counter");
    if (config->analytics_partitions[0])
        config_problem(problems, "analytics.partitions: only a Kafka topic has some (events.url)");
}

const char *source_open(struct source *source) {
    if (!events_in_kafka(source->config))
        return NULL;
    if (!read_partitions(source->config->analytics_partitions, &source->partitions))
        return "analytics.partitions is no list"; /* source_check() has seen it */
    return events_url_read(source->config, &source->url);
}

static struct feed *make_kafka(struct source *source, struct loop *loop) {
    struct kafka_feed_conf conf = {.url = source->url,
                                   .partitions = source->partitions,
                                   .lanes = source->lanes,
                                   .up = &source->up};

    source->kafka = kafka_feed_new(loop, &conf);
    return source->kafka ? kafka_feed_base(source->kafka) : NULL;
}

static struct feed *make_outbox(struct source *source, struct loop *loop) {
    struct outbox_feed_conf conf = {
        .resolver = source->resolver,
        .address = slice_str(source->config->counter),
        .tls = source->tls,
        .consumer = source->recount ? SLICE(CONSUMER_RECOUNT) : SLICE(CONSUMER_ANALYTICS),
        .passing = source->recount,
        .gone = source->recount ? SLICE("") : SLICE(CONSUMER_RECOUNT),
        .up = &source->up,
    };

    source->outbox = outbox_feed_new(loop, &conf);
    return source->outbox ? outbox_feed_base(source->outbox) : NULL;
}

void source_beside(struct source *source, bool recount) {
    if (source->outbox)
        outbox_feed_gone(source->outbox, recount ? SLICE("") : SLICE(CONSUMER_RECOUNT));
}

static struct feed *make(void *ctx, struct loop *loop) {
    struct source *source = ctx;

    return events_in_kafka(source->config) ? make_kafka(source, loop) : make_outbox(source, loop);
}

static void release(void *ctx) {
    struct source *source = ctx;

    outbox_feed_free(source->outbox);
    kafka_feed_free(source->kafka);
    source->outbox = NULL;
    source->kafka = NULL;
}

struct feed_maker source_feed_maker(struct source *source) {
    return (struct feed_maker){.ctx = source, .make = make, .release = release};
}
