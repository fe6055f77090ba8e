/* redis_node.c - entries come, are synced, travel, and get lost. */
#include <inttypes.h>
#include <stdlib.h>

#include "core/rules.h"
#include "redis_internal.h"

#define FSYNC_EVERYSEC_MS 1000
#define KEY_TTL_MS        (24 * 3600 * 1000)

static struct rng *dice(const struct redis_node *node) {
    return &node->redis->world->rng;
}

static void node_at(struct redis_node *node, int64_t in_ms, agenda_fn fn, uint64_t arg) {
    struct world *world = node->redis->world;

    agenda_at(&world->agenda, world_now(world) + in_ms, fn, node, arg);
}

/* ---- the log ---- */

static void entry_drop(struct redis_entry *entry) {
    if (--entry->refs > 0)
        return;
    buf_release(&entry->writes);
    free(entry);
}

static void log_push(struct redis_node *node, struct redis_entry *entry) {
    if (node->log_count == node->log_cap) {
        node->log_cap = node->log_cap ? node->log_cap * 2 : 64;
        node->log = realloc(node->log, node->log_cap * sizeof(struct redis_entry *));
        if (!node->log)
            abort();
    }
    entry->refs++;
    node->log[node->log_count++] = entry;
}

static void log_cut(struct redis_node *node, size_t keep) {
    while (node->log_count > keep)
        entry_drop(node->log[--node->log_count]);
    if (node->synced > keep)
        node->synced = keep;
}

/* Histories branch and never join: the same last entry means the same ones before it. */
static bool is_prefix(const struct redis_node *of, const struct redis_node *node) {
    return node->log_count <= of->log_count &&
           (node->log_count == 0 || of->log[node->log_count - 1] == node->log[node->log_count - 1]);
}

static size_t common_entries(const struct redis_node *a, const struct redis_node *b) {
    size_t count = a->log_count < b->log_count ? a->log_count : b->log_count;

    while (count > 0 && a->log[count - 1] != b->log[count - 1])
        count--;
    return count;
}

/* The data from the log, as at a start. */
static void load(struct redis_node *node) {
    log_kv_release(&node->data);
    log_kv_init(&node->data);
    for (size_t i = 0; i < node->log_count; i++)
        log_kv_apply(&node->data, buf_slice(&node->log[i]->writes));
}

uint64_t node_last_commit(const struct redis_node *node) {
    return node->log_count ? node->log[node->log_count - 1]->commit : 0;
}

void node_others_lost(struct redis_node *node, const struct redis_node *other) {
    struct redis *redis = node->redis;
    size_t kept = common_entries(node, other);

    if (kept < other->log_count && redis_may_lose(redis, true))
        redis->world->rewound = true;
    for (size_t i = kept; i < other->log_count && redis_may_lose(redis, true); i++)
        history_lost(&redis->world->history, other->log[i]->commit - 1, other->log[i]->commit);
}

/* ---- fsync ---- */

static void synced(void *self, uint64_t incarnation);

static void set_sync(struct redis_node *node) {
    if (node->sync_due || node->synced == node->log_count)
        return;
    node->sync_due = true;
    node->sync_to = node->log_count;
    node_at(node, redis_syncs(node->redis) ? rng_in(dice(node), 0, 3) : FSYNC_EVERYSEC_MS, synced,
            node->incarnation);
}

static void acknowledge(struct redis_node *replica);

static void synced(void *self, uint64_t incarnation) {
    struct redis_node *node = self;

    if (!node->up || incarnation != node->incarnation)
        return;
    if (!node_awake(node)) {
        agenda_at(&node->redis->world->agenda, node->paused_until_ms, synced, node, incarnation);
        return;
    }
    node->sync_due = false;
    node->synced = node->sync_to < node->log_count ? node->sync_to : node->log_count;
    set_sync(node);
    if (node->primary)
        server_synced(node);
    else if (redis_syncs(node->redis))
        acknowledge(node);
}

bool node_append(struct redis_node *node, bool touch) {
    struct redis *redis = node->redis;
    struct redis_entry *entry = calloc(1, sizeof(*entry));

    if (!entry)
        abort();
    log_kv_take(&node->data, &entry->writes);
    if (entry->writes.len == 0 && !touch) {
        free(entry);
        return false;
    }
    entry->commit = ++redis->world->commits;
    log_push(node, entry);
    /* Nobody but itself takes it for the primary any more. */
    if (node->index != redis->primary && redis_may_lose(redis, true)) {
        redis->world->rewound = true;
        history_lost(&redis->world->history, entry->commit - 1, entry->commit);
    }
    set_sync(node);
    node_replicate(node);
    return true;
}

/* ---- replication ---- */

static int64_t lag_ms(struct redis_node *node) {
    struct world *world = node->redis->world;

    if (!world->calm && rng_chance(&world->rng, world->profile.redis_lag_percent))
        return rng_in(&world->rng, 20, 1500);
    return rng_in(&world->rng, 0, 3);
}

static void pull(void *self, uint64_t incarnation);

void node_pull(struct redis_node *replica) {
    if (replica->pull_due || !replica->up || replica->primary)
        return;
    replica->pull_due = true;
    node_at(replica, lag_ms(replica), pull, replica->incarnation);
}

void node_replicate(struct redis_node *node) {
    for (unsigned i = 0; i < REDIS_NODES; i++)
        if (i != node->index && node->redis->nodes[i].follows == node->index)
            node_pull(&node->redis->nodes[i]);
}

struct acknowledgement {
    struct redis_node *from;
    struct redis_node *to;
    unsigned incarnation; /* of 'to' */
    size_t offset;
};

static void acknowledged(void *self, uint64_t arg) {
    struct acknowledgement *ack = self;
    struct redis *redis = ack->to->redis;
    int64_t until_ms = redis->cut_until_ms[ack->from->index][ack->to->index];

    (void)arg;
    if (ack->to->paused_until_ms > until_ms)
        until_ms = ack->to->paused_until_ms;
    if (until_ms > world_now(redis->world)) {
        agenda_at(&redis->world->agenda, until_ms, acknowledged, ack, 0);
        return;
    }
    if (ack->to->up && ack->to->primary && ack->to->incarnation == ack->incarnation &&
        ack->to->acked[ack->from->index] < ack->offset) {
        ack->to->acked[ack->from->index] = ack->offset;
        server_acknowledged(ack->to);
    }
    free(ack);
}

/* Its log is a piece of its primary's: only then an offset means the same to both. */
static void acknowledge(struct redis_node *replica) {
    struct redis *redis = replica->redis;
    struct redis_node *primary = &redis->nodes[replica->follows];
    struct acknowledgement *ack;

    if (!primary->up || !primary->primary || !is_prefix(primary, replica))
        return;
    ack = calloc(1, sizeof(*ack));
    if (!ack)
        abort();
    *ack = (struct acknowledgement){
        .from = replica,
        .to = primary,
        .incarnation = primary->incarnation,
        .offset = redis_syncs(redis) ? replica->synced : replica->log_count,
    };
    agenda_at(&redis->world->agenda, world_now(redis->world) + lag_ms(replica), acknowledged, ack,
              0);
}

/* What it had is gone; what it gets is on its disk when it is in use. */
static void copy_all(struct redis_node *replica, const struct redis_node *primary) {
    TRACE(&replica->redis->world->trace, "redis %u: a full copy of redis %u, %zu entries for %zu",
          node_name(replica), node_name(primary), primary->log_count, replica->log_count);
    log_cut(replica, 0);
    for (size_t i = 0; i < primary->log_count; i++)
        log_push(replica, primary->log[i]);
    load(replica);
    replica->synced = replica->log_count;
}

static void take_entries(struct redis_node *replica, const struct redis_node *primary) {
    size_t missing = primary->log_count - replica->log_count;
    size_t take = rng_chance(dice(replica), 70)
                      ? missing
                      : (size_t)rng_in(dice(replica), 1, (int64_t)missing);

    for (; take > 0; take--) {
        struct redis_entry *entry = primary->log[replica->log_count];

        log_push(replica, entry);
        log_kv_apply(&replica->data, buf_slice(&entry->writes));
    }
}

/* Away, asleep or cut off: again when that may be over. */
static bool pull_later(struct redis_node *replica, const struct redis_node *primary) {
    struct redis *redis = replica->redis;
    int64_t until_ms = redis->cut_until_ms[primary->index][replica->index];

    if (until_ms < replica->paused_until_ms)
        until_ms = replica->paused_until_ms;
    if (until_ms < primary->paused_until_ms)
        until_ms = primary->paused_until_ms;
    if (until_ms <= world_now(redis->world))
        return false;
    replica->pull_due = true;
    agenda_at(&redis->world->agenda, until_ms, pull, replica, replica->incarnation);
    return true;
}

static void pull(void *self, uint64_t incarnation) {
    struct redis_node *replica = self;
    const struct redis_node *primary = &replica->redis->nodes[replica->follows];

    if (!replica->up || replica->primary || incarnation != replica->incarnation)
        return;
    replica->pull_due = false;
    /* A primary that comes back, or becomes one, calls. */
    if (!primary->up || !primary->primary || pull_later(replica, primary))
        return;
    if (!is_prefix(primary, replica))
        copy_all(replica, primary);
    else if (replica->log_count < primary->log_count)
        take_entries(replica, primary);
    set_sync(replica);
    if (!replica->sync_due || !redis_syncs(replica->redis))
        acknowledge(replica);
    if (replica->log_count < primary->log_count)
        node_pull(replica);
}

/* ---- roles ---- */

static void open_core(struct redis_node *node) {
    struct world *world = node->redis->world;
    const struct applier_conf conf = {
        .lanes = node->log_count ? 0 : world->profile.lanes,
        .key_ttl_ms = KEY_TTL_MS,
        .outbox_max_bytes = UINT64_C(1) << 40,
        .outbox_max_age_ms = INT64_C(1) << 50,
        .cache_counters = world->profile.cache_counters,
        .coalesce = world->profile.coalesce,
        .hash_seed = {rng_next(dice(node)), rng_next(dice(node))},
    };
    const char *detail = "";

    if (applier_open(&node->data.kv, &conf, world_time(world), &node->applier, &detail) != ERR_OK) {
        trace_violation(&world->trace, -1, "redis %u doesn't open: %s", node_name(node), detail);
        abort();
    }
    node->ahead_ms = applier_ahead_ms(node->applier);
    (void)node_append(node, false);
}

void node_become_primary(struct redis_node *node) {
    node->primary = true;
    node->follows = node->index;
    for (unsigned i = 0; i < REDIS_NODES; i++)
        node->acked[i] = 0;
    cluster_promoted(node);
    open_core(node);
    node_replicate(node);
}

void node_moved(struct redis_node *node) {
    struct redis *redis = node->redis;

    applier_close(node->applier);
    node->applier = NULL;
    if (kv_commit(&node->data.kv, false) != ERR_OK)
        abort();
    (void)node_append(node, false);
    node->synced = node->sync_to = node->log_count;
    redis->moved = node->log_count;
    redis->moved_commit = node_last_commit(node);
    open_core(node);
}

bool node_has_moved(const struct redis_node *node) {
    const struct redis *redis = node->redis;

    return redis->moved == 0 || (node->log_count >= redis->moved &&
                                 node->log[redis->moved - 1]->commit == redis->moved_commit);
}

void node_become_replica(struct redis_node *node, unsigned of) {
    if (node->applier)
        applier_close(node->applier);
    node->applier = NULL;
    if (node->primary) {
        node->incarnation++; /* of all that is under way */
        node->sync_due = false;
        node->pull_due = false;
        server_close_conns(node);
    }
    node->primary = false;
    node->follows = of;
    set_sync(node);
    node_pull(node);
}

/* ---- death and return ---- */

static void come_back(void *self, uint64_t incarnation) {
    struct redis_node *node = self;

    if (node->up || incarnation != node->incarnation)
        return;
    TRACE(&node->redis->world->trace, "redis %u is back, %s, with %zu entries", node_name(node),
          node->primary ? "a primary" : "a replica", node->log_count);
    node->up = true;
    if (node->primary)
        node_become_primary(node);
    else
        node_pull(node);
    sentinel_look(node->redis);
}

/* What has been moved counts as synced (cluster.h). */
static size_t surely_kept(const struct redis_node *node) {
    const struct redis *redis = node->redis;

    return node_has_moved(node) && redis->moved > node->synced ? redis->moved : node->synced;
}

/* A prefix of what was written survives. */
static void lose_power(struct redis_node *node) {
    struct redis *redis = node->redis;
    size_t keep = (size_t)rng_in(dice(node), (int64_t)surely_kept(node), (int64_t)node->log_count);
    bool told = node->index == redis->primary && redis_may_lose(redis, false);

    TRACE(&redis->world->trace, "redis %u loses power: %zu of %zu entries survive, %zu were synced",
          node_name(node), keep, node->log_count, node->synced);
    if (keep == node->log_count)
        return;
    redis->world->rewound |= told;
    for (size_t i = keep; i < node->log_count && told; i++)
        history_lost(&redis->world->history, node->log[i]->commit - 1, node->log[i]->commit);
    log_cut(node, keep);
    load(node);
}

void node_die(struct redis_node *node, bool power) {
    struct redis *redis = node->redis;

    if (!node->up)
        return;
    TRACE(&redis->world->trace, "redis %u is killed", node_name(node));
    redis->crashes++;
    node->up = false;
    node->incarnation++;
    node->sync_due = false;
    node->pull_due = false;
    node->paused_until_ms = 0;
    if (node->applier)
        applier_close(node->applier);
    node->applier = NULL;
    server_close_conns(node);
    if (power)
        lose_power(node);
    if (power || rng_chance(dice(node), 30))
        node->synced = node->log_count; /* read back from the disk, or written long ago */
    node_at(node, rng_in(dice(node), 5, rng_chance(dice(node), 50) ? 800 : 8000), come_back,
            node->incarnation);
    sentinel_look(redis);
}

void node_init(struct redis_node *node, struct redis *redis, unsigned index) {
    *node = (struct redis_node){.redis = redis, .index = index, .up = true};
    list_init(&node->conns);
    list_init(&node->unsynced);
    log_kv_init(&node->data);
}

void node_release(struct redis_node *node) {
    server_release(node);
    if (node->applier)
        applier_close(node->applier);
    log_cut(node, 0);
    free(node->log);
    log_kv_release(&node->data);
}
