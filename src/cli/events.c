/* events.c - none, or a Kafka topic. */
#include "cli/events.h"

#include <stdio.h>
#include <string.h>

#include "cli/exit.h"
#include "edge/kafka_url.h"

static bool wanted(const struct config *config) {
    return strcmp(config->events_url, "none") != 0;
}

static const char *problem_of(const struct config *config) {
    static struct kafka_url url;
    const char *problem = NULL;

    return kafka_url_parse(slice_str(config->events_url), &url, &problem) == ERR_OK ? NULL
                                                                                    : problem;
}

void events_check(const struct config *config, struct config_problems *problems) {
    const char *problem = wanted(config) ? problem_of(config) : NULL;
    struct buf source = {0};

    if (!problem)
        return;
    config_print_source(config_row(CONFIG_KEY_events_url), config->source[CONFIG_KEY_events_url],
                        &source);
    config_problem(problems, "events.url (%.*s): %s", SLICE_ARGS(buf_slice(&source)), problem);
    buf_release(&source);
}

/* What a registered consumer hasn't taken is kept for it: one that won't come back must go. */
static int forget(struct events_part *part) {
    enum err err = store_feed_forget(&part->feed);

    return err == ERR_OK
               ? EX_OK
               : give_up("the events' positions can't be changed", err_text(err), EX_OSERR);
}

int events_start(struct events_part *part, const struct config *config, const struct store *store,
                 struct metrics *metrics, unsigned shard) {
    struct shipper_conf conf = {
        .protobuf = config->events_format == CONFIG_EVENTS_PROTOBUF,
        .partitions = config->events_partitions,
        .in_flight = config->events_in_flight,
        .feed = store_feed_maker(&part->feed),
        .metrics = metrics,
        .shard = shard,
    };
    const char *detail = "";

    part->feed = (struct store_feed){.store = store, .consumer = SHIPPER_CONSUMER, .shard = shard};
    if (!wanted(config))
        return forget(part);
    if (kafka_url_parse(slice_str(config->events_url), &conf.url, &detail) == ERR_OK &&
        shipper_start(&conf, &part->shipper, &detail) == ERR_OK)
        return EX_OK;
    return give_up("events can't go to Kafka", detail, EX_CONFIG);
}

void events_stop(struct events_part *part, int64_t flush_ms) {
    shipper_stop(part->shipper, flush_ms);
    store_feed_close(&part->feed);
}

void events_status(void *ctx, struct gateway_events *out) {
    struct shipper_status status;

    shipper_status(ctx, &status);
    *out = (struct gateway_events){
        .connected = status.connected && status.lanes_stopped == 0,
        .sent = status.shipped_total,
        .in_flight = status.in_flight,
        .queued = status.lag_events,
        .lag_ms = status.lag_ms,
        .errors = status.errors_total,
        .last_sent_s = status.last_shipped_ms / 1000,
    };
    if (!out->connected)
        (void)snprintf(out->problem, sizeof(out->problem), "%s", status.problem);
}
