/* kafka_producer.c - librdkafka's events, served by the owner when a callback of its threads has
 * woken it.
 */
#include "edge/kafka_producer.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "edge/kafka_config.h"

/* Our caller gathers: this is for what it produces in one go. Not more, as librdkafka's thread
 * spins through the last of it (2.0 polls with a timeout of what is left, in whole milliseconds);
 * not 0, which sends the first event by itself. */
#define LINGER_MS "1"

struct kafka_producer {
    struct kafka_conf conf;
    char *topic_name;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t *topic;          /* NULL: not prepared */
    char reason[KAFKA_PROBLEM_BYTES]; /* what a broker, or the way to it, said last */
    bool creating;
    bool finished;
};

static struct kafka_detail new_detail;

/* ---- configuration ---- */

static bool set_all(rd_kafka_conf_t *conf, const struct kafka_conf *own) {
    char number[16];

    (void)snprintf(number, sizeof(number), "%u", own->queue_max);
    /* message.timeout.ms=0: a message that times out leaves a gap behind which others arrive. */
    return kafka_set_common(conf, own->url, &new_detail) &&
           kafka_set(conf, "enable.idempotence", "true", &new_detail) &&
           kafka_set(conf, "acks", "all", &new_detail) &&
           kafka_set(conf, "message.timeout.ms", "0", &new_detail) &&
           kafka_set(conf, "queue.buffering.max.messages", number, &new_detail) &&
           kafka_set(conf, "queue.buffering.max.kbytes", "1048576", &new_detail) &&
           kafka_set(conf, "linger.ms", LINGER_MS, &new_detail);
}

static rd_kafka_conf_t *make_conf(const struct kafka_conf *own) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    if (conf && set_all(conf, own)) {
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR |
                                           RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_CREATETOPICS_RESULT);
        return conf;
    }
    if (conf)
        rd_kafka_conf_destroy(conf);
    return NULL;
}

/* ---- life ---- */

/* On a thread of librdkafka's. */
static void on_event(rd_kafka_t *rk, void *opaque) {
    struct kafka_producer *kafka = opaque;

    (void)rk;
    kafka->conf.wake(kafka->conf.ctx);
}

static enum err start(struct kafka_producer *kafka) {
    rd_kafka_conf_t *conf = make_conf(&kafka->conf);

    kafka->topic_name = strdup(kafka->conf.url->topic);
    if (!conf || !kafka->topic_name) {
        if (conf)
            rd_kafka_conf_destroy(conf);
        return ERR_INVALID;
    }
    kafka->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, new_detail.text, sizeof(new_detail.text));
    if (!kafka->rk) {
        rd_kafka_conf_destroy(conf); /* it takes it over only when it succeeds */
        return ERR_INVALID;
    }
    kafka->queue = rd_kafka_queue_get_main(kafka->rk);
    (void)rd_kafka_set_log_queue(kafka->rk, kafka->queue);
    rd_kafka_queue_cb_event_enable(kafka->queue, on_event, kafka);
    return ERR_OK;
}

enum err kafka_new(const struct kafka_conf *conf, struct kafka_producer **out,
                   const char **out_detail) {
    struct kafka_producer *kafka = calloc(1, sizeof(*kafka));

    *out_detail = new_detail.text;
    (void)snprintf(new_detail.text, sizeof(new_detail.text), "out of memory");
    if (!kafka)
        return ERR_NO_MEMORY;
    kafka->conf = *conf;
    enum err err = start(kafka);
    if (err != ERR_OK) {
        kafka_free(kafka);
        return err;
    }
    *out = kafka;
    return ERR_OK;
}

void kafka_free(struct kafka_producer *kafka) {
    if (!kafka)
        return;
    if (kafka->queue) {
        rd_kafka_queue_cb_event_enable(kafka->queue, NULL, NULL);
        rd_kafka_queue_destroy(kafka->queue);
    }
    if (kafka->rk)
        (void)rd_kafka_purge(kafka->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    if (kafka->topic)
        rd_kafka_topic_destroy(kafka->topic);
    if (kafka->rk)
        rd_kafka_destroy(kafka->rk);
    free(kafka->topic_name);
    free(kafka);
}

static void say(struct kafka_producer *kafka, const char *what, const char *why) {
    char text[2 * KAFKA_PROBLEM_BYTES];

    (void)snprintf(text, sizeof(text), "%s%s%s", what, why[0] ? ": " : "", why);
    kafka->conf.problem(kafka->conf.ctx, text);
}

static void serve_events(struct kafka_producer *kafka);

/* ---- the topic ---- */

/* The answer comes as an event; asking again before would only be refused. */
static void create_topic(struct kafka_producer *kafka) {
    char why[256] = "";
    rd_kafka_NewTopic_t *topic;
    rd_kafka_AdminOptions_t *options;

    if (kafka->creating)
        return;
    /* -1: as many copies as the brokers' default.replication.factor says. */
    topic =
        rd_kafka_NewTopic_new(kafka->topic_name, (int)kafka->conf.partitions, -1, why, sizeof(why));
    if (!topic) {
        say(kafka, "the topic can't be made", why);
        return;
    }
    options = rd_kafka_AdminOptions_new(kafka->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_CreateTopics(kafka->rk, &topic, 1, options, kafka->queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(topic);
    kafka->creating = true;
}

static void on_created(struct kafka_producer *kafka, rd_kafka_event_t *event) {
    size_t count = 0;
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    const rd_kafka_topic_result_t **topics =
        result ? rd_kafka_CreateTopics_result_topics(result, &count) : NULL;

    kafka->creating = false;
    if (rd_kafka_event_error(event))
        say(kafka, "the topic can't be made", rd_kafka_event_error_string(event));
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t err = rd_kafka_topic_result_error(topics[i]);

        if (err && err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            say(kafka, "the topic can't be made", rd_kafka_err2name(err));
    }
    /* Made: look again at once. */
    kafka->conf.wake(kafka->conf.ctx);
}

/* -1: it isn't there. */
static int partitions_of(const struct rd_kafka_metadata *metadata, const char *name) {
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (strcmp(metadata->topics[i].topic, name) == 0 && !metadata->topics[i].err)
            return metadata->topics[i].partition_cnt;
    return -1;
}

static enum err judge_topic(struct kafka_producer *kafka, int partitions, uint32_t lanes) {
    uint32_t written = kafka->conf.partitions;
    char why[128];

    if (partitions < 0) {
        create_topic(kafka);
        return ERR_UNAVAILABLE;
    }
    if ((uint32_t)partitions < written) {
        (void)snprintf(why, sizeof(why), "it has %d, and events.partitions is %u", partitions,
                       written);
        say(kafka, "the topic has too few partitions", why);
        return ERR_LAYOUT;
    }
    if ((uint32_t)partitions > written && lanes > written)
        log_line(
            LOG_WARN,
            "the topic has more partitions than are written to: analytics processes that share "
            "it would look for lanes elsewhere",
            LOG_STR("topic", kafka->topic_name), LOG_INT("partitions", partitions),
            LOG_INT("events_partitions", written), LOG_INT("lanes", lanes));
    kafka->topic = rd_kafka_topic_new(kafka->rk, kafka->topic_name, NULL);
    return kafka->topic ? ERR_OK : ERR_UNAVAILABLE;
}

enum err kafka_prepare(struct kafka_producer *kafka, uint32_t lanes) {
    const struct rd_kafka_metadata *metadata;

    if (kafka->topic)
        return ERR_OK;
    /* Of all topics: asking for one by name may make it, with the brokers' number of partitions. */
    rd_kafka_resp_err_t err = rd_kafka_metadata(kafka->rk, 1, NULL, &metadata, KAFKA_PREPARE_MS);
    if (err) {
        serve_events(kafka); /* says why, where that is known; once only, then it is quiet */
        say(kafka, "no broker answers", kafka->reason[0] ? kafka->reason : rd_kafka_err2str(err));
        return ERR_UNAVAILABLE;
    }
    int partitions = partitions_of(metadata, kafka->topic_name);
    rd_kafka_metadata_destroy(metadata);
    return judge_topic(kafka, partitions, lanes);
}

/* ---- messages ---- */

/* The array's form: the variadic one's macros aren't standard C. */
static rd_kafka_resp_err_t produce(struct kafka_producer *kafka, uint32_t partition,
                                   struct slice key, struct slice value, int64_t time_ms,
                                   void *opaque) {
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = kafka->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = (int32_t)partition},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)key.ptr, key.len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value.ptr, value.len}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = time_ms},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(kafka->rk, fields, sizeof(fields) / sizeof(fields[0]));
    rd_kafka_resp_err_t err = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;

    if (error)
        rd_kafka_error_destroy(error);
    return err;
}

enum err kafka_produce(struct kafka_producer *kafka, uint32_t partition, struct slice key,
                       struct slice value, int64_t time_ms, void *opaque) {
    if (kafka->finished || !kafka->topic)
        return ERR_UNKNOWN;
    rd_kafka_resp_err_t err = produce(kafka, partition, key, value, time_ms, opaque);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return ERR_OK;
    if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return ERR_BUSY;
    say(kafka, "an event can't be sent", rd_kafka_err2str(err));
    kafka->finished = true;
    return ERR_UNKNOWN;
}

/* One that failed is a gap, whatever the reason: nothing behind it may count as arrived. */
static void on_delivered(struct kafka_producer *kafka, rd_kafka_event_t *event) {
    const rd_kafka_message_t *message;

    while (!kafka->finished && (message = rd_kafka_event_message_next(event))) {
        if (!message->err) {
            kafka->conf.acked(kafka->conf.ctx, message->_private);
            continue;
        }
        say(kafka, "an event was not taken", rd_kafka_err2str(message->err));
        kafka->finished = true;
    }
}

/* "All brokers are down" comes on top of what is wrong with them. */
static void on_passing_error(struct kafka_producer *kafka, rd_kafka_event_t *event) {
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !kafka->reason[0])
        (void)snprintf(kafka->reason, sizeof(kafka->reason), "%s",
                       rd_kafka_event_error_string(event));
    say(kafka, kafka->reason, "");
}

static void on_error(struct kafka_producer *kafka, rd_kafka_event_t *event) {
    char why[256];

    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__FATAL) {
        on_passing_error(kafka, event);
        return;
    }
    (void)rd_kafka_fatal_error(kafka->rk, why, sizeof(why));
    say(kafka, "the producer is finished", why);
    kafka->finished = true;
}

static void handle(struct kafka_producer *kafka, rd_kafka_event_t *event) {
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR:
        on_delivered(kafka, event);
        break;
    case RD_KAFKA_EVENT_ERROR:
        on_error(kafka, event);
        break;
    case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
        on_created(kafka, event);
        break;
    default:
        break; /* its log: what matters comes as an error too */
    }
}

static void serve_events(struct kafka_producer *kafka) {
    rd_kafka_event_t *event;

    while (!kafka->finished && (event = rd_kafka_queue_poll(kafka->queue, 0))) {
        handle(kafka, event);
        rd_kafka_event_destroy(event);
    }
}

enum err kafka_serve(struct kafka_producer *kafka) {
    serve_events(kafka);
    return kafka->finished ? ERR_UNKNOWN : ERR_OK;
}
