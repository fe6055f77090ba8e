/* recover_topic.c - every message there is when reading begins. */
#include <stdlib.h>
#include <sysexits.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/events.h"
#include "cli/recover_internal.h"
#include "edge/event_read.h"
#include "edge/kafka_consumer.h"

#define OPEN_MS     1000
#define POLL_MS     100
#define ARENA_CHUNK 16384
#define ARENA_CAP   ((size_t)16 << 20)

struct topic {
    struct recover *recover;
    recover_take_fn take;
    struct kafka_consumer *consumer;
    struct arena arena;
    int64_t *ends; /* by partition: what is behind isn't read */
    uint32_t partitions;
    uint32_t left; /* partitions that haven't come to their end */
};

static int unavailable(const struct topic *topic) {
    return verify_give_up(&topic->recover->tool, EX_UNAVAILABLE, "Kafka: %s",
                          kafka_consumer_problem(topic->consumer));
}

static int find_ends(struct topic *topic) {
    int64_t wait_ms = topic->recover->tool.wait_ms;

    topic->partitions = kafka_consumer_partitions(topic->consumer);
    topic->ends = calloc(topic->partitions, sizeof(*topic->ends));
    if (!topic->ends)
        return verify_give_up(&topic->recover->tool, EX_OSERR, "out of memory");
    for (uint32_t i = 0; i < topic->partitions; i++) {
        int64_t first = 0;

        if (kafka_consumer_end(topic->consumer, i, wait_ms, &first, &topic->ends[i]) != ERR_OK)
            return unavailable(topic);
        topic->left += topic->ends[i] > first;
    }
    return EX_OK;
}

static int take(struct topic *topic, const struct kafka_message *message) {
    const struct verify *tool = &topic->recover->tool;
    const char *problem = "";
    uint64_t store_id;
    struct event event;

    if (!message->value.ptr)
        return EX_OK; /* a tombstone: nobody counts by them */
    enum err err = event_read(message->value, &topic->arena, &store_id, &event, &problem);
    if (err == ERR_OK && store_id == tool->store_id) {
        problem = "it is of a lane that this store hasn't";
        err = topic->take(topic->recover->rewind, &event);
    }
    arena_reset(&topic->arena, ARENA_CHUNK);
    if (err == ERR_OK)
        return EX_OK;
    if (err == ERR_NO_MEMORY)
        return verify_give_up(tool, EX_OSERR, "%s", err_text(err));
    return verify_give_up(tool, EX_DATAERR, "message %lld of partition %d is no event of ours: %s",
                          (long long)message->offset, (int)message->partition, problem);
}

static int take_if_before_end(struct topic *topic, const struct kafka_message *message) {
    int64_t end = topic->ends[message->partition];

    if (message->offset >= end)
        return EX_OK;
    topic->left -= message->offset == end - 1;
    return take(topic, message);
}

static int read_messages(struct topic *topic) {
    int64_t moved_ms = clock_mono_ms();
    struct kafka_message message;
    int code = EX_OK;

    while (code == EX_OK && topic->left) {
        enum err err = kafka_consumer_next(topic->consumer, POLL_MS, &message);

        if (err == ERR_OK) {
            code = take_if_before_end(topic, &message);
            moved_ms = clock_mono_ms();
        } else if (clock_mono_ms() - moved_ms > topic->recover->tool.wait_ms) {
            return verify_give_up(&topic->recover->tool, EX_UNAVAILABLE,
                                  "the topic could not be read to its end: %s",
                                  kafka_consumer_problem(topic->consumer));
        }
    }
    return code;
}

static int open_topic(struct topic *topic) {
    int64_t until_ms = clock_mono_ms() + topic->recover->tool.wait_ms;
    enum err err;

    do
        err = kafka_consumer_open(topic->consumer, OPEN_MS);
    while (err == ERR_UNAVAILABLE && clock_mono_ms() < until_ms);
    return err == ERR_OK ? EX_OK : unavailable(topic);
}

int recover_topic(struct recover *recover, recover_take_fn take_event) {
    struct topic topic = {.recover = recover, .take = take_event};
    struct kafka_url url;
    const char *detail = events_url_read(recover->tool.config, &url);

    if (!detail && kafka_consumer_new(&(struct kafka_consumer_conf){.url = &url}, &topic.consumer,
                                      &detail) == ERR_OK)
        detail = NULL;
    explicit_bzero(url.password, sizeof(url.password));
    if (detail)
        return verify_give_up(&recover->tool, EX_CONFIG, "events.url: %s", detail);
    arena_init(&topic.arena, ARENA_CHUNK, ARENA_CAP);
    int code = open_topic(&topic);
    if (code == EX_OK)
        code = find_ends(&topic);
    if (code == EX_OK)
        code = read_messages(&topic);
    arena_release(&topic.arena);
    free(topic.ends);
    kafka_consumer_free(topic.consumer);
    return code;
}
