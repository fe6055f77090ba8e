/* test_kafka_feed.c - a topic's events, read as a feed, from a broker that never pauses. */
#include <stdlib.h>
#include <time.h>

#include "core/feed.h"
#include "edge/event_proto.h"
#include "edge/kafka_feed_internal.h"
#include "loop/loop.h"
#include "test.h"

#define STORE_ID   7
#define EVENTS_MIN 100

/* ---- instead of librdkafka: one partition, its end if it is told one, then a message every
 * millisecond ---- */

#define NO_END (-1)

static int64_t end_offset = NO_END;
static atomic_bool withheld; /* messages */

struct kafka_consumer {
    struct buf value;
    uint64_t seq;
    bool ended;
};

enum err kafka_consumer_new(const struct kafka_consumer_conf *conf, struct kafka_consumer **out,
                            const char **out_detail) {
    (void)conf;
    (void)out_detail;
    *out = calloc(1, sizeof(**out));
    return *out ? ERR_OK : ERR_NO_MEMORY;
}

void kafka_consumer_free(struct kafka_consumer *consumer) {
    if (consumer)
        buf_release(&consumer->value);
    free(consumer);
}

enum err kafka_consumer_open(struct kafka_consumer *consumer, int64_t wait_ms) {
    (void)consumer;
    (void)wait_ms;
    return ERR_OK;
}

enum err kafka_consumer_next(struct kafka_consumer *consumer, int64_t wait_ms,
                             struct kafka_message *out) {
    struct timespec pause = {.tv_nsec = 1000000};
    struct event event = {.at = {1, ++consumer->seq},
                          .kind = OP_ADD,
                          .resource_id = SLICE("post-1"),
                          .counter_type = SLICE("like"),
                          .delta = 1,
                          .new_value = (int64_t)consumer->seq,
                          .count = 1};

    if (end_offset != NO_END && !consumer->ended) {
        consumer->ended = true;
        consumer->seq = 0;
        *out = (struct kafka_message){.offset = end_offset, .end = true};
        return ERR_OK;
    }
    (void)wait_ms;
    (void)nanosleep(&pause, NULL);
    if (atomic_load(&withheld)) {
        consumer->seq = 0;
        return ERR_NOT_FOUND;
    }
    buf_clear(&consumer->value);
    event_proto(&event, STORE_ID, &consumer->value);
    *out = (struct kafka_message){.offset = (int64_t)consumer->seq - 1,
                                  .value = buf_slice(&consumer->value)};
    return ERR_OK;
}

bool kafka_consumer_has_more(const struct kafka_consumer *consumer) {
    (void)consumer;
    return false;
}

uint32_t kafka_consumer_partitions(const struct kafka_consumer *consumer) {
    (void)consumer;
    return 1;
}

const char *kafka_consumer_problem(const struct kafka_consumer *consumer) {
    (void)consumer;
    return "";
}

/* ---- who reads it ---- */

struct reader {
    struct loop *loop;
    struct feed *feed;
    struct feed_read read;
    bool waits; /* for more() */
    bool opened;
    unsigned empties;
    uint64_t events;
    size_t largest; /* of what came at once */
};

static void closed(void *ctx) {
    loop_stop(((struct reader *)ctx)->loop);
}

static void took(struct feed_read *read, enum err err, const struct event *events, size_t count) {
    struct reader *reader = CONTAINER_OF(read, struct reader, read);

    assert_int_equal(err, ERR_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(events[i].at.seq, ++reader->events);
    if (count > reader->largest)
        reader->largest = count;
    reader->waits = count == 0;
    if (reader->events >= EVENTS_MIN) {
        feed_close(reader->feed, closed, reader);
        return;
    }
    if (count) {
        read->after = events[count - 1].at;
        feed_read(reader->feed, read);
    }
}

static void opened(void *ctx, enum err err, const struct feed_info *info) {
    struct reader *reader = ctx;

    assert_int_equal(err, ERR_OK);
    assert_int_equal(info->store_id, STORE_ID);
    reader->opened = true;
    reader->read = (struct feed_read){.max_bytes = SIZE_MAX, .done = took};
    feed_read(reader->feed, &reader->read);
}

static void more(void *ctx) {
    struct reader *reader = ctx;

    if (!reader->waits)
        return;
    reader->waits = false;
    feed_read(reader->feed, &reader->read);
}

static void empty(void *ctx) {
    struct reader *reader = ctx;

    assert_false(reader->opened);
    reader->empties++;
    atomic_store(&withheld, false);
}

static void read_some(struct reader *reader, struct kafka_partitions partitions,
                      void (*nothing)(void *ctx)) {
    struct loop_conf loop = {.backend = LOOP_EPOLL};
    atomic_bool up = false;
    struct kafka_feed_conf conf = {
        .url = {.brokers = "b:1", .topic = "t"}, .partitions = partitions, .up = &up};
    struct feed_user user = {.ctx = reader, .opened = opened, .empty = nothing, .more = more};

    assert_int_equal(loop_new(&loop, &reader->loop), ERR_OK);
    struct kafka_feed *feed = kafka_feed_new(reader->loop, &conf);
    assert_non_null(feed);
    reader->feed = kafka_feed_base(feed);
    feed_open(reader->feed, &user);
    assert_int_equal(loop_run(reader->loop), ERR_OK);
    kafka_feed_free(feed);
    loop_free(reader->loop);
}

static void read_all(struct reader *reader) {
    read_some(reader, (struct kafka_partitions){.others = true}, empty);
}

/* Not before a chunk is full, it was: 8,192 events, as long as one came within 50 ms. */
static void test_events_come_while_more_do(void **state) {
    struct reader reader = {0};

    (void)state;
    end_offset = NO_END;
    read_all(&reader);
    assert_true(reader.largest < CHUNK_EVENTS);
}

/* The first event comes when it has been said that there is none. */
static void test_a_topic_without_events(void **state) {
    struct reader reader = {0};

    (void)state;
    end_offset = 0;
    atomic_store(&withheld, true);
    read_all(&reader);
    assert_int_equal(reader.empties, 1);
}

/* Kafka has deleted some: nobody knows of what is counted there. */
static void test_events_that_are_gone(void **state) {
    struct reader reader = {0};

    (void)state;
    end_offset = 5;
    read_all(&reader);
    assert_int_equal(reader.empties, 0);
}

static void end_feed(void *ctx) {
    struct reader *reader = ctx;

    reader->empties++;
    feed_close(reader->feed, closed, reader);
}

/* Of no partition there is nothing to wait for. */
static void test_who_reads_nothing(void **state) {
    struct reader reader = {0};

    (void)state;
    read_some(&reader, (struct kafka_partitions){0}, end_feed);
    assert_int_equal(reader.empties, 1);
    assert_false(reader.opened);
}

/* The lane's events would be in the partition of its number modulo the topic's: a relay that goes
 * by another number puts some where those who look for them don't. */
static void test_a_lane_in_another_partition(void **state) {
    static const struct {
        const char *name;
        struct kafka_partitions reads;
        uint32_t partitions, lane;
        enum err want;
    } rows[] = {
        {"in its own", {.count = 1}, 6, 0, ERR_OK},
        {"in its own, the number is larger", {.count = 1}, 6, 12, ERR_OK},
        {"of a relay with 4", {.count = 1}, 6, 4, ERR_LAYOUT},
        {"of a relay with 4, and all are read", {.others = true}, 6, 4, ERR_OK},
        {"and its own is read as well", {.count = 2, .named = {0, 4}}, 6, 4, ERR_OK},
        {"all but another are read", {.others = true, .count = 1, .named = {5}}, 6, 4, ERR_OK},
        {"all but its own are read", {.others = true, .count = 1, .named = {4}}, 6, 4, ERR_LAYOUT},
    };
    struct buf value = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct kafka_feed feed = {.conf.lanes = 16, .thread_own.reads = rows[i].reads};
        struct event event = {.lane = rows[i].lane,
                              .at = {1, 1},
                              .kind = OP_ADD,
                              .resource_id = SLICE("post-1"),
                              .counter_type = SLICE("like"),
                              .delta = 1,
                              .new_value = 1,
                              .count = 1};

        atomic_init(&feed.count, rows[i].partitions);
        struct chunk *chunk = kafka_chunk_new(&feed);
        assert_non_null(chunk);
        buf_clear(&value);
        event_proto(&event, STORE_ID, &value);
        enum err err = kafka_chunk_add(chunk, &(struct kafka_message){.value = buf_slice(&value)});
        if (err != rows[i].want)
            fail_msg("%s: %s", rows[i].name, err_name(err));
        kafka_chunk_free(chunk);
    }
    buf_release(&value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_come_while_more_do),
        cmocka_unit_test(test_a_topic_without_events),
        cmocka_unit_test(test_events_that_are_gone),
        cmocka_unit_test(test_who_reads_nothing),
        cmocka_unit_test(test_a_lane_in_another_partition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
