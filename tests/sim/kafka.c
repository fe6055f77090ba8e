/* kafka.c - appended, read, added up. */
#include "kafka.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/rules.h"
#include "world.h"

#define PARTITIONS     2
#define BREAK_PERMILLE 20
#define DIE_PERMILLE   15
#define SAVE_EVERY     7

struct record {
    uint32_t lane;
    struct event_position at;
    struct sim_counter *counter;
    int64_t delta;
    int64_t new_value;
};

struct partition {
    struct record *records;
    size_t count;
    size_t cap;
};

/* Analytics' one record. */
struct totals {
    size_t offsets[PARTITIONS];
    struct event_position high[LANES_MAX];
    int64_t *values; /* by counter */
};

struct kafka {
    struct world *world;
    struct partition partitions[PARTITIONS];
    struct totals now;
    struct totals saved;
    bool halted[LANES_MAX];
    bool reading; /* is to come */
    size_t read_since_saved;
};

struct kafka_session {
    struct kafka *kafka;
    struct kafka_user user;
    bool closed;
    bool broken;
    unsigned refs;
    int64_t there_ms;
};

struct under_way {
    struct kafka_session *session;
    struct record record;
    void *tag;
    bool arrives;
};

static bool checked(const struct kafka *kafka) {
    return !kafka->world->rewound;
}

/* ---- analytics ---- */

static void copy_totals(const struct kafka *kafka, struct totals *to, const struct totals *from) {
    int64_t *values = to->values;

    *to = *from;
    to->values = values;
    memcpy(values, from->values, kafka->world->history.counters_count * sizeof(*values));
}

static void halt(struct kafka *kafka, const struct record *record, const char *why) {
    const struct event_position *high = &kafka->now.high[record->lane];

    if (checked(kafka))
        trace_violation(&kafka->world->trace, -1,
                        "I9: analytics halts lane %u at %" PRIu64 "-%" PRIu64 " behind %" PRIu64
                        "-%" PRIu64 ": %s",
                        record->lane, record->at.epoch, record->at.seq, high->epoch, high->seq,
                        why);
    kafka->halted[record->lane] = true;
}

/* RELIABILITY 3.8. */
static void take(struct kafka *kafka, const struct record *record) {
    struct event_position *high = &kafka->now.high[record->lane];
    uint64_t next = record->at.epoch == high->epoch ? high->seq + 1 : 1;

    if (kafka->halted[record->lane])
        return;
    if (!event_position_less(*high, record->at) && RULE(RULE_HIGH_WATER))
        return;
    if (record->at.seq > next) {
        halt(kafka, record, "a gap");
        return;
    }
    int64_t *value = &kafka->now.values[record->counter - kafka->world->history.counters];

    *value = (int64_t)((uint64_t)*value + (uint64_t)record->delta);
    *high = record->at;
    if (*value != record->new_value)
        halt(kafka, record, "another value than it says");
}

static void save(struct kafka *kafka) {
    copy_totals(kafka, &kafka->saved, &kafka->now);
    kafka->read_since_saved = 0;
}

static void die(struct kafka *kafka) {
    struct totals before = kafka->now;

    TRACE(&kafka->world->trace, "analytics dies");
    copy_totals(kafka, &kafka->now, &kafka->saved);
    /* What a group offset, stored apart, would do. */
    if (!RULE(RULE_ATOMIC_OFFSETS))
        memcpy(kafka->now.offsets, before.offsets, sizeof(before.offsets));
}

static void read_some(struct kafka *kafka) {
    for (unsigned i = 0; i < PARTITIONS; i++) {
        struct partition *partition = &kafka->partitions[i];

        while (kafka->now.offsets[i] < partition->count) {
            take(kafka, &partition->records[kafka->now.offsets[i]++]);
            if (++kafka->read_since_saved == SAVE_EVERY)
                save(kafka);
        }
    }
}

static void read_turn(void *self, uint64_t arg) {
    struct kafka *kafka = self;
    struct world *world = kafka->world;

    (void)arg;
    kafka->reading = false;
    read_some(kafka);
    if (!world->calm && rng_next(&world->rng) % 1000 < DIE_PERMILLE)
        die(kafka);
}

/* ---- the topic ---- */

static void append(struct kafka *kafka, const struct record *record) {
    struct world *world = kafka->world;
    struct partition *partition = &kafka->partitions[record->lane % PARTITIONS];

    if (partition->count == partition->cap) {
        partition->cap = partition->cap ? partition->cap * 2 : 64;
        partition->records =
            realloc(partition->records, partition->cap * sizeof(*partition->records));
        if (!partition->records)
            abort();
    }
    partition->records[partition->count++] = *record;
    TRACE(&world->trace, "kafka has lane %u %" PRIu64 "-%" PRIu64 ": %s by %" PRId64, record->lane,
          record->at.epoch, record->at.seq, record->counter->id, record->delta);
    if (!kafka->reading)
        agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, 0, 300), read_turn, kafka,
                  0);
    kafka->reading = true;
}

/* ---- producers ---- */

static void drop(struct kafka_session *session) {
    if (--session->refs == 0)
        free(session);
}

static void fail(void *self, uint64_t arg) {
    struct kafka_session *session = self;

    (void)arg;
    if (!session->closed)
        session->user.failed(session->user.ctx);
    drop(session);
}

static void acked(void *self, uint64_t arg) {
    struct under_way *way = self;
    struct kafka_session *session = way->session;

    (void)arg;
    if (!session->closed && !session->broken)
        session->user.acked(session->user.ctx, way->tag);
    drop(session);
    free(way);
}

static void arrive(void *self, uint64_t arg) {
    struct under_way *way = self;
    struct kafka_session *session = way->session;
    struct world *world = session->kafka->world;

    (void)arg;
    if (!way->arrives) {
        drop(session);
        free(way);
        return;
    }
    append(session->kafka, &way->record);
    agenda_at(&world->agenda, world_now(world) + 2, acked, way, 0);
}

/* What is produced from now on doesn't arrive; what is under way does, and isn't acknowledged. */
static void break_session(struct kafka_session *session) {
    struct world *world = session->kafka->world;

    TRACE(&world->trace, "a producer breaks");
    session->broken = true;
    session->refs++;
    agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, 1, 1000), fail, session, 0);
}

static int64_t travel_ms(struct world *world) {
    if (world->calm || rng_chance(&world->rng, 90))
        return rng_in(&world->rng, 0, 5);
    return rng_in(&world->rng, 20, rng_chance(&world->rng, 90) ? 800 : 20000);
}

void kafka_produce(struct kafka_session *session, const struct event *event, void *tag) {
    struct world *world = session->kafka->world;
    struct under_way *way = calloc(1, sizeof(*way));
    int64_t at_ms = world_now(world) + travel_ms(world);

    if (!way)
        abort();
    *way = (struct under_way){
        .session = session,
        .record = {.lane = event->lane,
                   .at = event->at,
                   .counter = history_counter(&world->history, event->resource_id),
                   .delta = event->delta,
                   .new_value = event->new_value},
        .tag = tag,
        .arrives = !session->broken,
    };
    if (!way->record.counter)
        abort();
    if (at_ms > session->there_ms)
        session->there_ms = at_ms;
    if (!world->calm && !session->broken && rng_next(&world->rng) % 1000 < BREAK_PERMILLE) {
        /* message.timeout.ms=0 (RELIABILITY 1): else this one may be given up alone. */
        way->arrives = RULE(RULE_NO_TIMEOUT) && rng_chance(&world->rng, 50);
        if (RULE(RULE_NO_TIMEOUT))
            break_session(session);
    }
    session->refs++;
    agenda_at(&world->agenda, session->there_ms, arrive, way, 0);
}

struct kafka_session *kafka_session_new(struct kafka *kafka, const struct kafka_user *user) {
    struct kafka_session *session = calloc(1, sizeof(*session));

    if (!session)
        abort();
    *session = (struct kafka_session){.kafka = kafka, .user = *user, .refs = 1};
    return session;
}

void kafka_session_close(struct kafka_session *session) {
    session->closed = true;
    drop(session);
}

/* ---- the end ---- */

/* I4: what the topic holds, each event once, makes up the values. */
static void check_topic(struct kafka *kafka) {
    struct history *history = &kafka->world->history;
    uint64_t high[LANES_MAX] = {0};
    int64_t *values = calloc(history->counters_count, sizeof(*values));

    if (!values)
        abort();
    for (unsigned i = 0; i < PARTITIONS; i++)
        for (size_t k = 0; k < kafka->partitions[i].count; k++) {
            const struct record *record = &kafka->partitions[i].records[k];
            int64_t *value = &values[record->counter - history->counters];

            if (record->at.seq <= high[record->lane])
                continue;
            high[record->lane] = record->at.seq;
            *value = (int64_t)((uint64_t)*value + (uint64_t)record->delta);
        }
    for (size_t i = 0; i < history->counters_count; i++)
        if (values[i] != history->counters[i].value)
            trace_violation(history->trace, -1,
                            "I4: %s is %" PRId64 ", its distinct events in Kafka make %" PRId64,
                            history->counters[i].id, history->counters[i].value, values[i]);
    free(values);
}

void kafka_check(struct kafka *kafka) {
    struct history *history = &kafka->world->history;

    read_some(kafka);
    if (!checked(kafka))
        return;
    check_topic(kafka);
    for (size_t i = 0; i < history->counters_count; i++)
        if (kafka->now.values[i] != history->counters[i].value)
            trace_violation(history->trace, -1, "I5: %s is %" PRId64 ", analytics has %" PRId64,
                            history->counters[i].id, history->counters[i].value,
                            kafka->now.values[i]);
}

size_t kafka_records(const struct kafka *kafka) {
    size_t count = 0;

    for (unsigned i = 0; i < PARTITIONS; i++)
        count += kafka->partitions[i].count;
    return count;
}

struct kafka *kafka_new(struct world *world) {
    struct kafka *kafka = calloc(1, sizeof(*kafka));
    size_t counters = world->history.counters_count;

    if (!kafka)
        abort();
    kafka->world = world;
    kafka->now.values = calloc(counters, sizeof(int64_t));
    kafka->saved.values = calloc(counters, sizeof(int64_t));
    if (!kafka->now.values || !kafka->saved.values)
        abort();
    return kafka;
}

void kafka_free(struct kafka *kafka) {
    for (unsigned i = 0; i < PARTITIONS; i++)
        free(kafka->partitions[i].records);
    free(kafka->now.values);
    free(kafka->saved.values);
    free(kafka);
}
