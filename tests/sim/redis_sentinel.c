/* redis_sentinel.c - failover, and the dice of a deployment. */
#include <stdlib.h>

#include "core/rules.h"
#include "redis_internal.h"

#define DOWN_AFTER_MS  1000
#define LOOK_AGAIN_MS  400
#define RECONFIGURE_MS 700

bool redis_syncs(const struct redis *redis) {
    return redis->world->profile.redis_syncs && RULE(RULE_STORE_SYNCS);
}

/* RELIABILITY 1. */
bool redis_may_lose(const struct redis *redis, bool by_failover) {
    enum sim_ack ack = redis->world->profile.ack;

    return ack == SIM_FAST || (ack == SIM_LOCAL && by_failover);
}

/* ---- Sentinel ---- */

static bool reaches(const struct redis *redis, unsigned node) {
    return node_awake(&redis->nodes[node]) && !redis_cut(redis, SENTINEL, node) &&
           !redis_cut(redis, node, SENTINEL);
}

/* Any that answers; often the one that has most. */
static struct redis_node *choose(struct redis *redis) {
    struct rng *rng = &redis->world->rng;
    unsigned first = (unsigned)(rng_next(rng) % REDIS_NODES);
    bool most = rng_chance(rng, 50);
    struct redis_node *best = NULL;

    for (unsigned i = 0; i < REDIS_NODES; i++) {
        struct redis_node *node = &redis->nodes[(first + i) % REDIS_NODES];

        if (node->index == redis->primary || node->primary || !reaches(redis, node->index) ||
            redis->moving || !node_has_moved(node))
            continue;
        if (!best || (most && node->log_count > best->log_count))
            best = node;
    }
    return best;
}

static void reconfigure(void *self, uint64_t arg) {
    struct redis_node *node = self;
    struct redis *redis = node->redis;

    (void)arg;
    if (node->follows == redis->primary || !node->up)
        return; /* when it is back somebody looks */
    if (!reaches(redis, node->index)) {
        agenda_at(&redis->world->agenda, world_now(redis->world) + RECONFIGURE_MS, reconfigure,
                  node, 0);
        return;
    }
    TRACE(&redis->world->trace, "redis %u is told to follow redis %u", node_name(node),
          node_name(&redis->nodes[redis->primary]));
    node_become_replica(node, redis->primary);
}

void sentinel_reconfigure(struct redis_node *node) {
    struct redis *redis = node->redis;

    if (node->index != redis->primary && node->follows != redis->primary)
        agenda_at(&redis->world->agenda,
                  world_now(redis->world) + rng_in(&redis->world->rng, 1, RECONFIGURE_MS),
                  reconfigure, node, 0);
}

static void promote(struct redis *redis, struct redis_node *node) {
    struct redis_node *before = &redis->nodes[redis->primary];

    TRACE(&redis->world->trace, "redis %u, with %zu entries, is promoted; redis %u had %zu",
          node_name(node), node->log_count, node_name(before), before->log_count);
    redis->primary = node->index;
    node_others_lost(node, before);
    node->incarnation++; /* of what was under way to a replica */
    node->sync_due = false;
    node->pull_due = false;
    if (redis_syncs(redis))
        node->synced = node->log_count; /* its loop does, before it listens to Sentinel */
    node_become_primary(node);
    for (unsigned i = 0; i < REDIS_NODES; i++)
        sentinel_reconfigure(&redis->nodes[i]);
}

static void watch(void *self, uint64_t arg) {
    struct redis *redis = self;
    struct redis_node *best;

    (void)arg;
    redis->watching = false;
    if (reaches(redis, redis->primary))
        return;
    best = choose(redis);
    if (best) {
        promote(redis, best);
        return;
    }
    redis->watching = true;
    agenda_at(&redis->world->agenda, world_now(redis->world) + LOOK_AGAIN_MS, watch, redis, 0);
}

void sentinel_look(struct redis *redis) {
    for (unsigned i = 0; i < REDIS_NODES; i++)
        if (redis->nodes[i].up)
            sentinel_reconfigure(&redis->nodes[i]);
    if (redis->watching || reaches(redis, redis->primary))
        return;
    redis->watching = true;
    agenda_at(&redis->world->agenda,
              world_now(redis->world) + DOWN_AFTER_MS + rng_in(&redis->world->rng, 0, 600), watch,
              redis, 0);
}

/* ---- troubles ---- */

static void pause_node(struct redis *redis, struct redis_node *node) {
    struct world *world = redis->world;
    int64_t for_ms = rng_in(&world->rng, 50, rng_chance(&world->rng, 60) ? 1500 : 10000);

    TRACE(&world->trace, "redis %u is stopped for %.1f s", node_name(node),
          (double)for_ms / 1000.0);
    node->paused_until_ms = world_now(world) + for_ms;
}

static void cut(struct redis *redis, unsigned from, unsigned to, int64_t until_ms) {
    if (redis->cut_until_ms[from][to] < until_ms)
        redis->cut_until_ms[from][to] = until_ms;
}

/* A node from one other end, one way or both, or from all. */
static void cut_off(struct redis *redis, struct redis_node *node) {
    struct world *world = redis->world;
    struct rng *rng = &world->rng;
    int64_t for_ms = rng_in(rng, 100, rng_chance(rng, 60) ? 2500 : 15000);
    unsigned peer = (unsigned)(rng_next(rng) % REDIS_ENDPOINTS);
    bool all = rng_chance(rng, 30);
    bool clients_stay = rng_chance(rng, 60);
    bool in = rng_chance(rng, 70);
    bool out = !in || rng_chance(rng, 60);

    TRACE(&world->trace, "redis %u is cut off from %s%u for %.1f s%s%s", node_name(node),
          all ? (clients_stay ? "nodes and Sentinel, not " : "all, not ") : "", peer,
          (double)for_ms / 1000.0, in ? "" : ", inward works", out ? "" : ", outward works");
    for (unsigned i = 0; i < REDIS_ENDPOINTS; i++) {
        if (i == node->index || (all ? clients_stay && i > SENTINEL : i != peer))
            continue;
        if (in)
            cut(redis, i, node->index, world_now(world) + for_ms);
        if (out)
            cut(redis, node->index, i, world_now(world) + for_ms);
    }
}

static void by_hand(struct redis *redis) {
    struct redis_node *best = choose(redis);

    if (!best)
        return;
    TRACE(&redis->world->trace, "somebody orders a failover");
    promote(redis, best);
}

static void trouble(struct redis *redis) {
    struct world *world = redis->world;
    struct rng *rng = &world->rng;
    /* Half of it to the primary. */
    unsigned index = rng_chance(rng, 50) ? redis->primary : (unsigned)(rng_next(rng) % REDIS_NODES);
    struct redis_node *node = &redis->nodes[index];
    int64_t dice = rng_in(rng, 0, 99);

    if (dice < 30)
        node_die(node, rng_chance(rng, world->profile.power_percent));
    else if (dice < 55)
        pause_node(redis, node);
    else if (dice < 85)
        cut_off(redis, node);
    else if (dice < 95)
        by_hand(redis);
    else
        for (unsigned i = 0; i < REDIS_NODES; i++) /* one room, one fuse */
            node_die(&redis->nodes[i], true);
    sentinel_look(redis);
}

static void next_trouble(void *self, uint64_t arg) {
    struct redis *redis = self;
    struct world *world = redis->world;
    int64_t pause_ms = world->profile.redis_trouble_ms;

    (void)arg;
    if (world->calm || pause_ms == 0)
        return;
    if (world_now(world) > 0)
        trouble(redis);
    agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, pause_ms / 10, 2 * pause_ms),
              next_trouble, redis, 0);
}

void sentinel_begin(struct redis *redis) {
    next_trouble(redis, 0);
}

/* ---- the deployment ---- */

struct redis *redis_new(struct world *world, struct cluster *cluster, unsigned index) {
    struct redis *redis = calloc(1, sizeof(*redis));

    if (!redis)
        abort();
    redis->world = world;
    redis->cluster = cluster;
    redis->index = index;
    for (unsigned i = 0; i < REDIS_NODES; i++)
        node_init(&redis->nodes[i], redis, i);
    node_become_primary(&redis->nodes[0]);
    for (unsigned i = 1; i < REDIS_NODES; i++)
        node_become_replica(&redis->nodes[i], 0);
    sentinel_begin(redis);
    return redis;
}

void redis_free(struct redis *redis) {
    for (unsigned i = 0; i < REDIS_NODES; i++)
        node_release(&redis->nodes[i]);
    free(redis);
}

void redis_check_equal(struct redis *redis) {
    struct redis_node *primary = &redis->nodes[redis->primary];

    for (unsigned i = 0; i < REDIS_NODES; i++)
        if (!redis->nodes[i].up || redis->nodes[i].log_count != primary->log_count ||
            node_last_commit(&redis->nodes[i]) != node_last_commit(primary))
            trace_violation(&redis->world->trace, -1,
                            "redis %u has come to rest with %zu entries, the primary with %zu",
                            node_name(&redis->nodes[i]), redis->nodes[i].log_count,
                            primary->log_count);
}
