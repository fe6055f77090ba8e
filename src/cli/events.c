/* events.c - none, or a Kafka topic. */
#include "cli/events.h"

#include <stdio.h>
#include <string.h>

#include "cli/exit.h"
#include "edge/private_file.h"

bool events_in_kafka(const struct config *config) {
    return strcmp(config->events_url, "none") != 0;
}

static const char *mechanism_of(const struct config *config) {
    static const char *const names[] = {[CONFIG_SASL_SCRAM_SHA_512] = "SCRAM-SHA-512",
                                        [CONFIG_SASL_SCRAM_SHA_256] = "SCRAM-SHA-256",
                                        [CONFIG_SASL_PLAIN] = "PLAIN"};

    return names[config->kafka_sasl_mechanism];
}

static const char *judge(const struct config *config, const struct kafka_url *url) {
    bool file = config->kafka_password_file[0] != '\0';

    if (file && !url->user[0])
        return "kafka.password_file is set, and the URL names no user";
    if (file && url->password[0])
        return "it has a password, and so has kafka.password_file";
    if (url->user[0] && !url->password[0] && !file)
        return "it has a user and no password; kafka.password_file names a file with it";
    if (url->user[0] && !url->is_tls && config->kafka_sasl_mechanism == CONFIG_SASL_PLAIN)
        return "kafka.sasl_mechanism plain would send the password for all to read; use kafkas://";
    if (!url->is_tls && (config->kafka_tls_ca_file[0] || config->kafka_tls_cert_file[0]))
        return "kafka_tls.* is set; TLS is kafkas://";
    return NULL;
}

static const char *problem_of(const struct config *config) {
    static struct kafka_url url;
    const char *problem = NULL;

    if (kafka_url_parse(slice_str(config->events_url), &url, &problem) == ERR_OK)
        problem = judge(config, &url);
    explicit_bzero(&url, sizeof(url));
    return problem;
}

/* librdkafka would take a key that everybody may read. */
static const char *key_problem(const char *path) {
    const char *why = NULL;
    FILE *file = path[0] ? private_file_open(path, &why) : NULL;

    if (file)
        (void)fclose(file);
    return why;
}

const char *events_url_read(const struct config *config, struct kafka_url *out) {
    static char sentence[CONFIG_TEXT_BYTES + 256];
    const char *key = "kafka.password_file";
    const char *path = config->kafka_password_file;
    const char *why = problem_of(config);

    if (why || kafka_url_parse(slice_str(config->events_url), out, &why) != ERR_OK)
        return why;
    out->mechanism = mechanism_of(config);
    out->ca_file = config->kafka_tls_ca_file;
    out->cert_file = config->kafka_tls_cert_file;
    out->key_file = config->kafka_tls_key_file;
    if (path[0] && private_file_line(path, out->password, sizeof(out->password), &why) == ERR_OK)
        why = NULL;
    if (!why) {
        key = "kafka_tls.key_file";
        path = config->kafka_tls_key_file;
        why = key_problem(path);
    }
    if (!why)
        return NULL;
    (void)snprintf(sentence, sizeof(sentence), "%s: %s: %s", key, path, why);
    return sentence;
}

void events_check(const struct config *config, struct config_problems *problems) {
    const char *problem = events_in_kafka(config) ? problem_of(config) : NULL;
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
    if (!events_in_kafka(config))
        return forget(part);
    detail = events_url_read(config, &conf.url);
    const char *caution = detail ? NULL : kafka_url_caution(&conf.url);
    if (caution)
        log_line(LOG_WARN, "Kafka may not let us in", LOG_STR("detail", caution));
    if (!detail && shipper_start(&conf, &part->shipper, &detail) == ERR_OK)
        detail = NULL;
    explicit_bzero(conf.url.password, sizeof(conf.url.password));
    if (!detail)
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
