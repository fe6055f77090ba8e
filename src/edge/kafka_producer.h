/* kafka_producer.h - an idempotent producer for one topic, by librdkafka.
 *
 *     kafka_new() ─► kafka_prepare() … ERR_OK ─► kafka_produce(), kafka_serve() … ─► kafka_free()
 *                      until the topic is there      ERR_UNKNOWN: something was lost; free it,
 *                                                    make a new one, begin behind what was acked
 *
 * Messages to one partition arrive in order and once for each kafka_produce(), or the producer
 * is finished: it never goes on behind one that was lost (RELIABILITY 1, fifth trap).
 *
 * Threads    One owner; librdkafka's threads are inside. 'wake' is called on any of them.
 * Limits     'queue_max' messages between kafka_produce() and 'acked'. kafka_prepare() blocks
 *            for up to KAFKA_PREPARE_MS, kafka_free() until the threads have ended.
 */
#ifndef EDGE_KAFKA_PRODUCER_H
#define EDGE_KAFKA_PRODUCER_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"
#include "edge/kafka_url.h"

#define KAFKA_PREPARE_MS    500
#define KAFKA_PROBLEM_BYTES 256

struct kafka_producer;

struct kafka_conf {
    const struct kafka_url *url; /* borrowed until kafka_new() returns */
    uint32_t partitions;         /* that are written to; the topic is made with so many */
    uint32_t queue_max;
    void *ctx;
    void (*wake)(void *ctx);                /* kafka_serve() soon */
    void (*acked)(void *ctx, void *opaque); /* in kafka_serve(); in order for each partition */
    /* In kafka_prepare() and kafka_serve(): an error that librdkafka deals with. */
    void (*problem)(void *ctx, const char *text);
};

/* Nothing is connected yet. ERR_NO_MEMORY; ERR_INVALID: librdkafka refuses the configuration,
 * '*out_detail' says why, in a static buffer. 'conf' is copied. */
MUST_CHECK enum err kafka_new(const struct kafka_conf *conf, struct kafka_producer **out,
                              const char **out_detail);

/* What was not acked may have arrived or not. NULL is fine. */
void kafka_free(struct kafka_producer *kafka);

/* Looks whether the topic is there and makes it when not. ERR_OK; ERR_UNAVAILABLE: again later
 * (after 'problem'); ERR_LAYOUT: it has fewer partitions than configured. More are warned of where
 * that tells: a reader looks for a lane in the partition of its number modulo the topic's, which is
 * another one where there are more 'lanes' than partitions that are written to. */
MUST_CHECK enum err kafka_prepare(struct kafka_producer *kafka, uint32_t lanes);

/* Key and value are copied. ERR_BUSY: the queue is full; ERR_UNKNOWN: the producer is finished. */
MUST_CHECK enum err kafka_produce(struct kafka_producer *kafka, uint32_t partition,
                                  struct slice key, struct slice value, int64_t time_ms,
                                  void *opaque);

/* Handles what came. ERR_UNKNOWN: the producer is finished (after 'problem'). */
MUST_CHECK enum err kafka_serve(struct kafka_producer *kafka);

#endif
