/* cluster.c - who has what, and the operator that changes it. */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#include "cluster_move.h"
#include "core/hash.h"
#include "core/rules.h"
#include "redis_internal.h"

#define STALE_PERCENT    10
#define STEP_AGAIN_MS    50
#define LONG_PERCENT     10
#define FIRST_PAUSE_PART 4

/* A lane on its way: 'things' says which of it have arrived. */
struct move {
    bool under_way;
    uint32_t lane;
    unsigned from;
    unsigned to;
    struct lane_things things;
    bool between; /* the lane's own record, windows and outbox: neither here nor there */
};

struct cluster {
    struct world *world;
    struct redis *masters[MASTERS_MAX];
    unsigned count;
    unsigned owner[LANES_MAX];
    struct move move;
    size_t moves;
};

static struct redis_node *primary_of(const struct cluster *cluster, unsigned master) {
    struct redis *redis = cluster->masters[master];

    return &redis->nodes[redis->primary];
}

struct redis *cluster_master(const struct cluster *cluster, unsigned master) {
    return cluster->masters[master];
}

unsigned cluster_owner(const struct cluster *cluster, uint32_t lane) {
    return cluster->owner[lane];
}

unsigned cluster_told_owner(struct cluster *cluster, uint32_t lane) {
    struct rng *rng = &cluster->world->rng;

    if (cluster->count > 1 && !cluster->world->calm && rng_chance(rng, STALE_PERCENT))
        return (unsigned)(rng_next(rng) % cluster->count);
    return cluster->owner[lane];
}

uint32_t cluster_lane(const struct cluster *cluster, const struct op *op) {
    struct buf id = {0};

    buf_add_slice(&id, op->resource_id);
    buf_add_char(&id, '\0');
    buf_add_slice(&id, op->counter_type);
    uint32_t lane = hash_lane(buf_slice(&id), cluster->world->profile.lanes);
    buf_release(&id);
    return lane;
}

/* ---- what a node answers for ---- */

struct presence {
    bool some; /* of what is asked for is here */
    bool all;
    bool keys; /* clients' keys are asked for */
};

static struct presence look(const struct redis_node *node, const struct command *command,
                            bool core_here) {
    struct presence found = {.some = core_here, .all = core_here};
    struct buf id = {0};

    for (size_t i = 0; command->message && i < command->message->count; i++) {
        const struct op *op = &command->message->ops[i];

        buf_clear(&id);
        buf_add_slice(&id, op->resource_id);
        buf_add_char(&id, '\0');
        buf_add_slice(&id, op->counter_type);
        bool here = move_has_counter(node, buf_slice(&id));
        found.some |= here;
        found.all &= here;
        found.keys |= op->key.ptr != NULL;
    }
    buf_release(&id);
    return found;
}

/* The node that the slot leaves. */
static enum slot_verdict judge_source(const struct move *move, const struct redis_node *node,
                                      const struct command *command) {
    struct presence found = look(node, command, !move->between && !move->things.core);

    if (move->between)
        return SLOT_AGAIN;
    if (!found.all && (RULE(RULE_ALL_THERE) || move->things.core))
        return found.some ? SLOT_AGAIN : SLOT_ASK;
    return found.keys && move->things.keys && RULE(RULE_KEYS_THERE) ? SLOT_AGAIN : SLOT_RUN;
}

/* The one it goes to, asked behind ASKING. */
static enum slot_verdict judge_target(const struct move *move, const struct redis_node *node,
                                      const struct command *command) {
    struct presence found = look(node, command, !move->between && move->things.core);

    return found.all ? SLOT_RUN : SLOT_AGAIN;
}

enum slot_verdict cluster_judge(const struct redis_node *node, const struct command *command) {
    const struct cluster *cluster = node->redis->cluster;
    const struct move *move = &cluster->move;
    bool moves = move->under_way && move->lane == command->lane;

    if (cluster->count == 1)
        return SLOT_RUN;
    if (moves && node == primary_of(cluster, move->from))
        return judge_source(move, node, command);
    if (moves && node == primary_of(cluster, move->to) && command->asking)
        return judge_target(move, node, command);
    return node->serves[command->lane] ? SLOT_RUN : SLOT_MOVED;
}

unsigned cluster_target(const struct cluster *cluster) {
    return cluster->move.to;
}

void cluster_promoted(struct redis_node *node) {
    const struct redis *redis = node->redis;
    const struct cluster *cluster = redis->cluster;

    /* One that nobody else takes for the primary, restarted, believes what it did. */
    for (uint32_t i = 0; i < LANES_MAX && node->index == redis->primary; i++)
        node->serves[i] = cluster->owner[i] == redis->index;
}

/* ---- the operator ---- */

static void step(void *self, uint64_t arg);

static void step_in(struct cluster *cluster, int64_t in_ms) {
    agenda_at(&cluster->world->agenda, world_now(cluster->world) + in_ms, step, cluster, 0);
}

static bool both_awake(const struct cluster *cluster) {
    const struct move *move = &cluster->move;

    return node_awake(primary_of(cluster, move->from)) && node_awake(primary_of(cluster, move->to));
}

static void begin(struct cluster *cluster) {
    struct world *world = cluster->world;
    struct rng *rng = &world->rng;
    struct move *move = &cluster->move;

    *move = (struct move){.lane = (uint32_t)(rng_next(rng) % world->profile.lanes)};
    move->from = cluster->owner[move->lane];
    move->to = (unsigned)((move->from + 1 + rng_next(rng) % (cluster->count - 1)) % cluster->count);
    if (!both_awake(cluster))
        return;
    TRACE(&world->trace, "lane %u is to go from master %u to master %u", move->lane, move->from,
          move->to);
    move->under_way = true;
    cluster->masters[move->from]->moving = true;
    cluster->masters[move->to]->moving = true;
}

static void end(struct cluster *cluster) {
    struct move *move = &cluster->move;

    TRACE(&cluster->world->trace, "lane %u is master %u's", move->lane, move->to);
    primary_of(cluster, move->from)->serves[move->lane] = false;
    primary_of(cluster, move->to)->serves[move->lane] = true;
    cluster->owner[move->lane] = move->to;
    cluster->masters[move->from]->moving = false;
    cluster->masters[move->to]->moving = false;
    move->under_way = false;
    cluster->moves++;
}

/* One thing goes over, or hangs between. */
static void go_on(struct cluster *cluster) {
    struct world *world = cluster->world;
    struct move *move = &cluster->move;
    struct redis_node *from = primary_of(cluster, move->from);
    struct redis_node *to = primary_of(cluster, move->to);
    int64_t dice = rng_in(&world->rng, 0, 2);

    TRACE(&world->trace, "lane %u: a step from redis %u, %zu entries, to redis %u, %zu entries",
          move->lane, node_name(from), from->log_count, node_name(to), to->log_count);
    if (move->between) {
        move_core(from, to, move->lane);
        move->between = false;
        move->things.core = true;
    } else if (dice == 0 && !move->things.core) {
        move->between = true;
    } else if (dice == 1 && !move->things.keys) {
        move_client_keys(from, to, move->lane);
        move->things.keys = true;
    } else if (!move->things.counters) {
        move->things.counters = !move_counter(from, to, move->lane);
    } else if (move->things.core && move->things.keys) {
        end(cluster);
    }
}

static void step(void *self, uint64_t arg) {
    struct cluster *cluster = self;
    struct world *world = cluster->world;
    struct rng *rng = &world->rng;
    int64_t pause_ms = world->profile.move_ms;

    (void)arg;
    if (!cluster->move.under_way && world->calm)
        return;
    if (!cluster->move.under_way) {
        begin(cluster);
    } else if (both_awake(cluster)) {
        go_on(cluster);
    } else {
        step_in(cluster, STEP_AGAIN_MS);
        return;
    }
    if (!cluster->move.under_way)
        step_in(cluster, rng_in(rng, pause_ms / 10, 2 * pause_ms));
    else
        step_in(cluster, rng_in(rng, 0, rng_chance(rng, LONG_PERCENT) ? 1500 : 40));
}

/* ---- the deployment ---- */

struct cluster *cluster_new(struct world *world) {
    struct cluster *cluster = calloc(1, sizeof(*cluster));

    if (!cluster)
        abort();
    cluster->world = world;
    cluster->count = world->profile.masters;
    for (uint32_t i = 0; i < LANES_MAX; i++)
        cluster->owner[i] = i % cluster->count;
    for (unsigned i = 0; i < cluster->count; i++)
        cluster->masters[i] = redis_new(world, cluster, i);
    if (cluster->count > 1 && world->profile.move_ms)
        step_in(cluster, world->profile.move_ms / FIRST_PAUSE_PART);
    return cluster;
}

void cluster_free(struct cluster *cluster) {
    for (unsigned i = 0; i < cluster->count; i++)
        redis_free(cluster->masters[i]);
    free(cluster);
}

struct event_position cluster_lane_end(const struct cluster *cluster, uint32_t lane) {
    const struct move *move = &cluster->move;
    bool gone = move->under_way && move->lane == lane && move->things.core;
    const struct redis_node *node = primary_of(cluster, gone ? move->to : cluster->owner[lane]);

    return node->applier ? applier_lane_end(node->applier, lane) : (struct event_position){0, 0};
}

struct kv *cluster_last_look(struct cluster *cluster) {
    struct redis_node *first = primary_of(cluster, 0);

    for (unsigned i = 0; i < cluster->count; i++)
        redis_check_equal(cluster->masters[i]);
    for (uint32_t lane = 0; lane < cluster->world->profile.lanes; lane++)
        if (cluster->owner[lane] != 0)
            move_all(primary_of(cluster, cluster->owner[lane]), first, lane);
    return sim_kv_base(first->data.sim);
}

int64_t cluster_clock_ahead_ms(const struct cluster *cluster) {
    int64_t latest_ms = INT64_MIN;

    for (unsigned i = 0; i < cluster->count; i++)
        if (primary_of(cluster, i)->ahead_ms > latest_ms)
            latest_ms = primary_of(cluster, i)->ahead_ms;
    return latest_ms;
}

size_t cluster_crashes(const struct cluster *cluster) {
    size_t crashes = 0;

    for (unsigned i = 0; i < cluster->count; i++)
        crashes += cluster->masters[i]->crashes;
    return crashes;
}

size_t cluster_moves(const struct cluster *cluster) {
    return cluster->moves;
}
