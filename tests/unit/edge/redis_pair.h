/* redis_pair.h - the same history on a real Redis and on core/applier, and whether both have stored
 * the same.
 *
 * Threads    One; the Redis is the test's own.
 */
#ifndef TESTS_UNIT_REDIS_PAIR_H
#define TESTS_UNIT_REDIS_PAIR_H

#include "../core/core_random.h"
#include "core/applier.h"
#include "edge/redis_apply.h"
#include "edge/redis_script.h"
#include "redis_fixture.h"

#define PAIR_CONSUMERS 2
#define PAIR_MAX       ((int64_t)1 << 52) /* no limit, and a number in Lua */

struct pair {
    uint64_t random;
    struct kv *kv; /* the applier's */
    struct applier *applier;
    struct applier_conf conf;
    int64_t wall_ms;
    int64_t clock_ms; /* the store's: never goes back */
    struct redis_layout layout;
    struct redis_plan plan;
    uint64_t epochs[MODEL_LANES];
    struct redis_tag tags[MODEL_LANES];
    struct buf command;
    struct buf key;
    char ids[MODEL_COUNTERS][16];
    uint64_t seed;
    bool met[MODEL_LANES]; /* the message at hand, before it came as a whole */
    size_t partial;        /* messages that came in part first */
    size_t counters;       /* compared */
    size_t refused;        /* writes, as the outbox was full */
    size_t trimmed;        /* events that were gone when both were compared */
    bool joined[PAIR_CONSUMERS];
    redisContext *client;
    char sha1_tidy[41]; /* as loaded, with the test's clock */
    bool consumes;      /* there may be consumers */
};

static inline struct applier_time pair_now(const struct pair *p) {
    return (struct applier_time){.mono_ms = p->clock_ms, .wall_ms = p->wall_ms};
}

/* ---- redis_pair_stored.c ---- */

/* Of a lane: "hgp:{tag}:what", until the next call. */
const char *pair_key(struct pair *p, uint32_t lane, const char *what);
uint32_t pair_lane_of(struct pair *p, const struct op *op);

/* Counters, events, sequence, times, chains, consumers' positions. */
void pair_compare(struct pair *p);

/* ---- redis_pair_consumers.c ---- */

extern const struct slice pair_consumers[PAIR_CONSUMERS];

/* Joins, leaves or reports a position: on both sides, which agree. */
void pair_step_consumer(struct pair *p);
void pair_compare_position(struct pair *p, int consumer, uint32_t lane, struct event_position want);

/* Housekeeping: what is silent is forgotten, what is done with or old is trimmed. */
void pair_tidy(struct pair *p);

#endif
