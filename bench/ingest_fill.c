/* ingest_fill.c - a topic full of events, as a relay would send them: for bench/ingest.
 *
 *     bench_ingest_fill BROKERS TOPIC EVENTS COUNTERS [uniform]
 *
 * Protobuf, Zipf 1.1 over COUNTERS counters of three types or uniformly, 16 lanes over four
 * partitions; times are now. Always the same for the same numbers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "edge/event_json.h"
#include "edge/event_proto.h"
#include "edge/kafka_producer.h"
#include "zipf.h"

#define LANES      16
#define PARTITIONS 4
#define TYPES      3
#define QUEUE      100000
#define STORE_ID   77

static const char *const types[TYPES] = {"like", "view", "share"};

static struct {
    struct kafka_producer *kafka;
    uint64_t random;
    uint32_t counters;
    double *shares; /* cumulative; NULL: uniform */
    int64_t *values;
    uint64_t seq[LANES];
    uint64_t acked;
    struct buf key;
    struct buf value;
} fill;

static void must(enum err err, const char *what) {
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_name(err));
    exit(1);
}

static void wake(void *ctx) {
    (void)ctx;
}

static void acked(void *ctx, void *opaque) {
    (void)ctx, (void)opaque;
    fill.acked++;
}

static void problem(void *ctx, const char *text) {
    (void)ctx;
    fprintf(stderr, "%s\n", text);
}

static void make_shares(void) {
    fill.shares = malloc(fill.counters * sizeof(double));
    if (!fill.shares)
        must(ERR_NO_MEMORY, "shares");
    zipf_shares(fill.shares, fill.counters);
}

static uint32_t pick(void) {
    double at = (double)(random_next(&fill.random) >> 11) * 0x1p-53;

    if (!fill.shares)
        return (uint32_t)(at * fill.counters);
    return zipf_pick(fill.shares, fill.counters, at);
}

static void produce(void) {
    uint32_t counter = pick();
    uint32_t lane = counter * UINT32_C(2654435761) >> 28; /* of 16 */
    char name[32];
    struct event event = {.lane = lane,
                          .at = {1, ++fill.seq[lane]},
                          .kind = OP_ADD,
                          .counter_type = slice_str(types[counter % TYPES]),
                          .delta = 1,
                          .new_value = ++fill.values[counter],
                          .count = 1,
                          .et_ms = clock_wall_ms()};
    enum err err;

    event.resource_id =
        slice_of(name, (size_t)snprintf(name, sizeof(name), "resource-%08" PRIu32, counter));
    event_key(&event, &fill.key);
    event_proto(&event, STORE_ID, &fill.value);
    while ((err = kafka_produce(fill.kafka, lane % PARTITIONS, buf_slice(&fill.key),
                                buf_slice(&fill.value), event.et_ms, NULL)) == ERR_BUSY) {
        must(kafka_serve(fill.kafka), "serve");
        usleep(1000);
    }
    must(err, "produce");
}

int main(int argc, char **argv) {
    struct kafka_url url;
    struct kafka_conf conf = {.url = &url,
                              .partitions = PARTITIONS,
                              .queue_max = QUEUE,
                              .wake = wake,
                              .acked = acked,
                              .problem = problem};
    char text[512];
    const char *detail = NULL;

    if (argc < 5) {
        fprintf(stderr, "usage: bench_ingest_fill BROKERS TOPIC EVENTS COUNTERS [uniform]\n");
        return 64;
    }
    uint64_t events = strtoull(argv[3], NULL, 10);
    (void)snprintf(text, sizeof(text), "kafka://%s/%s", argv[1], argv[2]);
    must(kafka_url_parse(slice_str(text), &url, &detail), "url");
    must(kafka_new(&conf, &fill.kafka, &detail), detail);
    fill.random = 20261127;
    fill.counters = (uint32_t)strtoul(argv[4], NULL, 10);
    fill.values = calloc(fill.counters, sizeof(*fill.values));
    if (!fill.values)
        must(ERR_NO_MEMORY, "values");
    if (argc == 5)
        make_shares();
    while (kafka_prepare(fill.kafka, LANES) != ERR_OK)
        usleep(100000);
    for (uint64_t i = 0; i < events; i++)
        produce();
    while (fill.acked < events) {
        must(kafka_serve(fill.kafka), "serve");
        usleep(1000);
    }
    kafka_free(fill.kafka);
    return 0;
}
