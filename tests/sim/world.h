/* world.h - one run: gateway loops, a network, the store's owner, clients and
 * what goes wrong between them, all in virtual time and from one seed.
 *
 *     clients ──► gateway (batcher) ──► network ──► owner (applier, kv)
 *        ▲            │  ▲                            │
 *        └── retries ─┘  └────────────────────────────┘
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "agenda.h"
#include "core/applier.h"
#include "history.h"
#include "rng.h"
#include "trace.h"

#define GATEWAYS_MAX 3

/* What a seed's run is like; each run has some of the troubles, in all combinations. */
struct profile {
    bool local; /* durability: local; else fast */
    unsigned gateways;
    unsigned groups; /* of counters */
    unsigned lanes;
    unsigned cache_counters;
    bool coalesce;
    unsigned ops;
    unsigned ops_max; /* per message */
    unsigned in_flight_max;
    int64_t attempt_ms;

    unsigned refuse_percent; /* of sends */
    unsigned lose_percent;   /* of requests, and of replies */
    unsigned slow_percent;   /* requests taking up to seconds */
    unsigned double_percent; /* requests arriving twice */
    int64_t double_max_ms;   /* the second one this late */

    unsigned crash_permille; /* of commits: the owner dies around it */
    unsigned power_percent;  /* of those: with the machine */
    unsigned fail_commit_permille;
    unsigned fail_read_permille;       /* of messages: a read of the store near it */
    unsigned gateway_trouble_permille; /* of client steps: restart or pause of a gateway */
    bool clock_steps;
    bool silences;
};

struct world {
    uint64_t seed;
    struct rng rng;
    struct agenda agenda;
    struct trace trace;
    struct history history;
    struct profile profile;
    int64_t wall_ahead_ms; /* the store's wall clock minus virtual time; steps */
    bool calm;             /* the end: nothing goes wrong any more */
    bool over;             /* housekeeping stops too */
    struct owner *owner;
    struct gateway *gateways[GATEWAYS_MAX];
    struct clients *clients;
};

struct world_result {
    size_t violations;
    size_t operations;
    size_t acked;
    size_t events;
    size_t crashes;
    char first[160]; /* violation, as a sentence */
};

/* One run. With 'timeline' lines > 0 it is traced and, if something was wrong, printed. */
struct world_result world_run(uint64_t seed, size_t timeline);

static inline int64_t world_now(const struct world *world) {
    return world->agenda.now_ms;
}

static inline int64_t world_wall(const struct world *world) {
    return world->agenda.now_ms + world->wall_ahead_ms;
}

static inline struct applier_time world_time(const struct world *world) {
    return (struct applier_time){.mono_ms = world_now(world), .wall_ms = world_wall(world)};
}

#endif
