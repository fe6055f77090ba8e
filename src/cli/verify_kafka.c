/* verify_kafka.c - the whole topic, as far as the counters' positions. */
#include <sysexits.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/events.h"
#include "cli/verify_internal.h"
#include "edge/event_read.h"
#include "edge/kafka_consumer.h"

#define OPEN_MS       1000
#define POLL_MS       100
#define EVENTS_A_LOOK 1000 /* between two looks at what is still to come: that walks all lanes */
#define ARENA_CHUNK   16384
#define ARENA_CAP     ((size_t)16 << 20)

struct reading {
    struct verify *verify;
    struct kafka_consumer *consumer;
    struct arena arena;
    uint64_t outstanding;
    int64_t moved_ms; /* when that last became less */
};

static int take(struct reading *reading, const struct kafka_message *message) {
    const char *problem = "";
    uint64_t store_id;
    struct event event;

    if (!message->value.ptr)
        return EX_OK; /* a tombstone: nobody counts by them */
    enum err err = event_read(message->value, &reading->arena, &store_id, &event, &problem);
    if (err == ERR_OK) {
        problem = "it is of a lane that this store hasn't";
        err = audit_event(reading->verify->audit, store_id, &event);
    }
    arena_reset(&reading->arena, ARENA_CHUNK);
    if (err == ERR_OK)
        return EX_OK;
    if (err == ERR_NO_MEMORY)
        return verify_give_up(reading->verify, EX_OSERR, "%s", err_text(err));
    return verify_give_up(reading->verify, EX_DATAERR,
                          "message %lld of partition %d is no event of ours: %s",
                          (long long)message->offset, (int)message->partition, problem);
}

/* False: nothing more is to be waited for. */
static bool look(struct reading *reading) {
    uint64_t outstanding = audit_outstanding(reading->verify->audit);

    if (outstanding < reading->outstanding)
        reading->moved_ms = clock_mono_ms();
    reading->outstanding = outstanding;
    return outstanding > 0 && clock_mono_ms() - reading->moved_ms < reading->verify->wait_ms;
}

static int read_events(struct reading *reading) {
    struct kafka_message message;
    unsigned since_look = 0;
    int code = EX_OK;

    while (code == EX_OK) {
        if (since_look == 0 && !look(reading))
            break;
        enum err err = kafka_consumer_next(reading->consumer, POLL_MS, &message);
        if (err == ERR_OK)
            code = take(reading, &message);
        since_look = err == ERR_OK ? (since_look + 1) % EVENTS_A_LOOK : 0;
    }
    if (code == EX_OK && reading->outstanding)
        return verify_give_up(
            reading->verify, EX_UNAVAILABLE,
            "%llu events of the store aren't in the topic, and none came for %lld s%s%s: is its "
            "relay at work?",
            (unsigned long long)reading->outstanding, (long long)reading->verify->wait_ms / 1000,
            kafka_consumer_problem(reading->consumer)[0] ? "; " : "",
            kafka_consumer_problem(reading->consumer));
    return code;
}

static int open_topic(struct reading *reading) {
    int64_t until_ms = clock_mono_ms() + reading->verify->wait_ms;
    enum err err;

    do
        err = kafka_consumer_open(reading->consumer, OPEN_MS);
    while (err == ERR_UNAVAILABLE && clock_mono_ms() < until_ms);
    return err == ERR_OK ? EX_OK
                         : verify_give_up(reading->verify, EX_UNAVAILABLE, "Kafka: %s",
                                          kafka_consumer_problem(reading->consumer));
}

int verify_kafka(struct verify *verify) {
    struct reading reading = {
        .verify = verify, .outstanding = UINT64_MAX, .moved_ms = clock_mono_ms()};
    struct kafka_url url;
    const char *detail = events_url_read(verify->config, &url);

    if (!detail && kafka_consumer_new(&(struct kafka_consumer_conf){.url = &url}, &reading.consumer,
                                      &detail) == ERR_OK)
        detail = NULL;
    explicit_bzero(url.password, sizeof(url.password));
    if (detail)
        return verify_give_up(verify, EX_CONFIG, "events.url: %s", detail);
    (void)snprintf(verify->events, sizeof(verify->events), "Kafka's topic %s", url.topic);
    arena_init(&reading.arena, ARENA_CHUNK, ARENA_CAP);
    int code = open_topic(&reading);
    if (code == EX_OK)
        code = read_events(&reading);
    arena_release(&reading.arena);
    kafka_consumer_free(reading.consumer);
    return code;
}
