/* world.h - one run: gateway loops, a network, the store's owner, clients and
 * what goes wrong between them, all in virtual time and from one seed.
 *
 *     clients ──► gateway (batcher, peers) ──► line ══ conn ══► counter ──► owner (applier, kv)
 *        ▲            │  ▲    │                                             │
 *        └── retries ─┘  │    └──► network: without the split ──────────────┤
 *                        └──────────────────────────────────────────────────┘
 *
 * The split: connections as in HTTP/2 (conn.h) to counter processes (counter.h), every message on
 * them written and read by the product's own codec. Without it: single packets (network.h).
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "agenda.h"
#include "core/applier.h"
#include "gateway.h"
#include "history.h"
#include "profile.h"
#include "rng.h"
#include "trace.h"

/* That use a store outside. */
#define PROCESSES_MAX 3

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
    struct owner *owner;   /* the embedded store; or NULL and: */
    struct cluster *cluster;
    struct redis_client *redis_clients[PROCESSES_MAX];
    uint64_t commits;    /* made, on any of its nodes */
    bool rewound;        /* an acknowledged write was lost that the mode doesn't promise to keep */
    struct kafka *kafka; /* NULL: none, and no relays */
    struct relays *relays;
    struct counter *counters[COUNTERS_MAX];
    struct gateway *gateways[GATEWAYS_MAX];
    struct clients *clients;
};

struct world_result {
    size_t violations;
    size_t operations;
    size_t acked;
    size_t events;
    size_t crashes;
    size_t records;  /* in Kafka */
    size_t moves;    /* of lanes between masters */
    char first[160]; /* violation, as a sentence */
};

/* One run. With 'timeline' lines > 0 it is traced and, if something was wrong, printed. */
struct world_result world_run(uint64_t seed, enum sim_suite suite, size_t timeline);

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
