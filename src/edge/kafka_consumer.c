/* kafka_consumer.c - librdkafka's simple consumer: partitions forwarded to one queue. */
#include "edge/kafka_consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "edge/kafka_config.h"

/* Taken out of librdkafka's queue together: its lock and condition cost what a message does. */
#define BATCH 256

/* Of messages, behind which librdkafka may have stopped fetching; it is asked to go on once in so
 * many, so that it costs nothing. And how long its thread may take to hear. */
#define WAKE_BYTES (4u << 20)
#define WAKE_MS    50

struct kafka_consumer {
    char topic_name[KAFKA_TOPIC_BYTES];
    int64_t *from;
    uint32_t from_count;
    struct kafka_partitions read;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue; /* of messages */
    rd_kafka_topic_t *topic; /* NULL: not open */
    int partitions;
    rd_kafka_message_t *batch[BATCH]; /* the last one given, and what came with it */
    size_t batch_at;
    size_t batch_count;
    size_t bytes;     /* of messages since its thread was last woken */
    char reason[384]; /* what a broker, or the way to it, said last */
    char problem[512];
};

static struct kafka_detail new_detail;

static rd_kafka_conf_t *make_conf(const struct kafka_consumer_conf *own) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    if (kafka_set_common(conf, own->url, &new_detail) &&
        kafka_set(conf, "enable.partition.eof", own->ends ? "true" : "false", &new_detail) &&
        kafka_set(conf, "enable.auto.commit", "false", &new_detail) &&
        /* Where retention took what is wanted, or who asks for the first offset gets no answer:
         * librdkafka's default is the end, and all before it would be passed over unnoticed. */
        kafka_set(conf, "auto.offset.reset", "earliest", &new_detail) &&
        kafka_set(conf, "fetch.wait.max.ms", "100", &new_detail) &&
        kafka_set(conf, "queued.max.messages.kbytes", "16384", &new_detail))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

static void keep_problem(struct kafka_consumer *consumer, const char *what, const char *why) {
    (void)snprintf(consumer->problem, sizeof(consumer->problem), "%.120s: %.380s", what, why);
}

/* Served by rd_kafka_poll(), on the owner's thread: the main queue's errors. */
static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque) {
    struct kafka_consumer *consumer = opaque;

    (void)rk;
    if (err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !consumer->reason[0])
        (void)snprintf(consumer->reason, sizeof(consumer->reason), "%s", reason);
    (void)snprintf(consumer->problem, sizeof(consumer->problem), "%s", consumer->reason);
}

static bool copy_from(struct kafka_consumer *consumer, const struct kafka_consumer_conf *conf) {
    if (!conf->from_count)
        return true;
    consumer->from = malloc(conf->from_count * sizeof(*conf->from));
    if (!consumer->from)
        return false;
    memcpy(consumer->from, conf->from, conf->from_count * sizeof(*conf->from));
    consumer->from_count = conf->from_count;
    return true;
}

static enum err start(struct kafka_consumer *consumer, const struct kafka_consumer_conf *own) {
    rd_kafka_conf_t *conf = make_conf(own);

    if (!conf)
        return ERR_INVALID;
    rd_kafka_conf_set_opaque(conf, consumer);
    rd_kafka_conf_set_error_cb(conf, on_error);
    consumer->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, new_detail.text, sizeof(new_detail.text));
    if (!consumer->rk) {
        rd_kafka_conf_destroy(conf); /* it takes it over only when it succeeds */
        return ERR_INVALID;
    }
    (void)rd_kafka_set_log_queue(consumer->rk, NULL); /* the main queue */
    consumer->queue = rd_kafka_queue_new(consumer->rk);
    return ERR_OK;
}

enum err kafka_consumer_new(const struct kafka_consumer_conf *conf, struct kafka_consumer **out,
                            const char **out_detail) {
    struct kafka_consumer *consumer = calloc(1, sizeof(*consumer));

    *out_detail = new_detail.text;
    (void)snprintf(new_detail.text, sizeof(new_detail.text), "out of memory");
    if (!consumer)
        return ERR_NO_MEMORY;
    (void)snprintf(consumer->topic_name, sizeof(consumer->topic_name), "%s", conf->url->topic);
    consumer->read = conf->read ? *conf->read : (struct kafka_partitions){.others = true};
    enum err err = copy_from(consumer, conf) ? start(consumer, conf) : ERR_NO_MEMORY;
    if (err != ERR_OK) {
        kafka_consumer_free(consumer);
        return err;
    }
    *out = consumer;
    return ERR_OK;
}

/* The last one given. */
static void drop_message(struct kafka_consumer *consumer) {
    if (consumer->batch_at < consumer->batch_count)
        rd_kafka_message_destroy(consumer->batch[consumer->batch_at++]);
}

static bool is_read(const struct kafka_consumer *consumer, int partition) {
    return kafka_partitions_has(&consumer->read, (uint32_t)partition);
}

void kafka_consumer_free(struct kafka_consumer *consumer) {
    if (!consumer)
        return;
    while (consumer->batch_at < consumer->batch_count)
        drop_message(consumer);
    for (int i = 0; i < consumer->partitions; i++)
        if (is_read(consumer, i))
            (void)rd_kafka_consume_stop(consumer->topic, i);
    if (consumer->topic)
        rd_kafka_topic_destroy(consumer->topic);
    if (consumer->queue)
        rd_kafka_queue_destroy(consumer->queue);
    if (consumer->rk)
        rd_kafka_destroy(consumer->rk);
    free(consumer->from);
    free(consumer);
}

const char *kafka_consumer_problem(const struct kafka_consumer *consumer) {
    return consumer->problem;
}

uint32_t kafka_consumer_partitions(const struct kafka_consumer *consumer) {
    return (uint32_t)consumer->partitions;
}

/* ---- the topic ---- */

static int partitions_of(const struct rd_kafka_metadata *metadata, const char *name) {
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (strcmp(metadata->topics[i].topic, name) == 0 && !metadata->topics[i].err)
            return metadata->topics[i].partition_cnt;
    return -1;
}

static bool all_there(const struct kafka_consumer *consumer, int partitions) {
    for (uint32_t i = 0; !consumer->read.others && i < consumer->read.count; i++)
        if (consumer->read.named[i] >= (uint32_t)partitions)
            return false;
    return true;
}

static enum err begin(struct kafka_consumer *consumer, int partitions) {
    consumer->topic = rd_kafka_topic_new(consumer->rk, consumer->topic_name, NULL);
    if (!consumer->topic)
        return ERR_NO_MEMORY;
    for (; consumer->partitions < partitions; consumer->partitions++) {
        int i = consumer->partitions;

        if (!is_read(consumer, i))
            continue;
        int64_t from =
            (uint32_t)i < consumer->from_count ? consumer->from[i] : RD_KAFKA_OFFSET_BEGINNING;

        if (rd_kafka_consume_start_queue(consumer->topic, i, from, consumer->queue) != 0) {
            keep_problem(consumer, "a partition can't be read",
                         rd_kafka_err2str(rd_kafka_last_error()));
            return ERR_UNAVAILABLE;
        }
    }
    return ERR_OK;
}

enum err kafka_consumer_open(struct kafka_consumer *consumer, int64_t wait_ms) {
    const struct rd_kafka_metadata *metadata;

    if (consumer->topic)
        return ERR_OK;
    (void)rd_kafka_poll(consumer->rk, 0);
    /* Of all topics: asking for one by name may make it. */
    rd_kafka_resp_err_t err = rd_kafka_metadata(consumer->rk, 1, NULL, &metadata, (int)wait_ms);
    if (err) {
        (void)rd_kafka_poll(consumer->rk, 0); /* what went wrong says more than "timed out" */
        keep_problem(consumer, "no broker answers",
                     consumer->reason[0] ? consumer->reason : rd_kafka_err2str(err));
        return ERR_UNAVAILABLE;
    }
    int partitions = partitions_of(metadata, consumer->topic_name);
    rd_kafka_metadata_destroy(metadata);
    if (partitions < 0) {
        keep_problem(consumer, consumer->topic_name, "there is no such topic");
        return ERR_NOT_FOUND;
    }
    if (!all_there(consumer, partitions)) {
        keep_problem(consumer, consumer->topic_name, "it has fewer partitions than were asked for");
        return ERR_NOT_FOUND;
    }
    return begin(consumer, partitions);
}

/* ---- messages ---- */

static enum err judge(struct kafka_consumer *consumer, struct kafka_message *out) {
    const rd_kafka_message_t *message = consumer->batch[consumer->batch_at];

    switch (message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        *out = (struct kafka_message){
            .partition = message->partition,
            .offset = message->offset,
            .key = slice_of(message->key, message->key_len),
            .value = slice_of(message->payload, message->len),
        };
        consumer->bytes += message->len;
        return ERR_OK;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        *out = (struct kafka_message){
            .partition = message->partition, .offset = message->offset, .end = true};
        return ERR_OK;
    default:
        keep_problem(consumer, "a partition can't be read", rd_kafka_message_errstr(message));
        return ERR_UNAVAILABLE;
    }
}

/* librdkafka's thread stops to fetch when its queue is full, and looks whether it still is when it
 * wakes, which is within a second: a whole queue a second is all that anybody reads of a topic
 * (before 2.2, which has fetch.queue.backoff.ms). Any request to the leaders wakes it. What is left
 * of the wait. */
static int64_t wake(struct kafka_consumer *consumer, int64_t wait_ms) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(consumer->partitions);
    int64_t until_ms = clock_mono_ms() + wait_ms;

    consumer->bytes = 0;
    for (int i = 0; i < consumer->partitions; i++)
        if (is_read(consumer, i))
            rd_kafka_topic_partition_list_add(list, consumer->topic_name, i)->offset =
                RD_KAFKA_OFFSET_END;
    (void)rd_kafka_offsets_for_times(consumer->rk, list,
                                     (int)(wait_ms < WAKE_MS ? wait_ms : WAKE_MS));
    rd_kafka_topic_partition_list_destroy(list);
    int64_t left_ms = until_ms - clock_mono_ms();
    return left_ms > 0 ? left_ms : 0;
}

static void take_more(struct kafka_consumer *consumer) {
    ssize_t more = rd_kafka_consume_batch_queue(
        consumer->queue, 0, consumer->batch + consumer->batch_count, BATCH - consumer->batch_count);

    consumer->batch_count += more > 0 ? (size_t)more : 0;
}

/* What is there; or waits for one, and takes what is there behind it: to wait for a whole batch is
 * to wait. */
static void take_batch(struct kafka_consumer *consumer, int64_t wait_ms) {
    consumer->batch_at = consumer->batch_count = 0;
    take_more(consumer);
    if (consumer->batch_count)
        return;
    if (consumer->bytes >= WAKE_BYTES)
        wait_ms = wake(consumer, wait_ms);
    consumer->batch[0] = rd_kafka_consume_queue(consumer->queue, (int)wait_ms);
    if (!consumer->batch[0])
        return;
    consumer->batch_count = 1;
    take_more(consumer);
}

enum err kafka_consumer_next(struct kafka_consumer *consumer, int64_t wait_ms,
                             struct kafka_message *out) {
    drop_message(consumer);
    if (consumer->batch_at == consumer->batch_count)
        take_batch(consumer, wait_ms);
    if (consumer->batch_at < consumer->batch_count)
        return judge(consumer, out);
    (void)rd_kafka_poll(consumer->rk, 0);
    return ERR_NOT_FOUND;
}

bool kafka_consumer_has_more(const struct kafka_consumer *consumer) {
    return consumer->batch_at + 1 < consumer->batch_count;
}

enum err kafka_consumer_end(struct kafka_consumer *consumer, uint32_t partition, int64_t wait_ms,
                            int64_t *out_first, int64_t *out_end) {
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        consumer->rk, consumer->topic_name, (int32_t)partition, out_first, out_end, (int)wait_ms);

    if (!err)
        return ERR_OK;
    keep_problem(consumer, "the end of a partition can't be had", rd_kafka_err2str(err));
    return ERR_UNAVAILABLE;
}
