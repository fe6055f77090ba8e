/* redis_internal.h - what the files of the simulated Redis share.
 *
 * redis_node.c      a node's log: entries, fsync, replication, death and return
 * redis_server.c    connections and commands, and what WAIT knows
 * redis_outbox.c    what consumers ask for
 * redis_sentinel.c  failover, and the troubles
 * cluster.c         which lane is whose, where there are several masters
 */
#ifndef TESTS_SIM_REDIS_INTERNAL_H
#define TESTS_SIM_REDIS_INTERNAL_H

#include "base/list.h"
#include "cluster.h"
#include "core/applier.h"
#include "log_kv.h"
#include "redis.h"
#include "redis_link.h"
#include "world.h"

/* Who can be cut off from whom: nodes, Sentinel, processes that use the store. */
#define SENTINEL        REDIS_NODES
#define REDIS_USERS     6
#define REDIS_USER(i)   (REDIS_NODES + 1 + (i))
#define REDIS_ENDPOINTS (REDIS_NODES + 1 + REDIS_USERS)

/* What one script call changed. Never changes itself. */
struct redis_entry {
    unsigned refs;
    uint64_t commit; /* in order of making, over all nodes */
    struct buf writes;
};

struct redis_node {
    struct redis *redis;
    unsigned index;
    bool up;
    bool primary;
    unsigned follows;
    unsigned incarnation; /* a new one at death, and when all connections are closed */
    int64_t paused_until_ms;
    struct log_kv data;
    struct applier *applier; /* of a primary */
    int64_t ahead_ms;        /* its clock, then */
    struct redis_entry **log;
    size_t log_count;
    size_t log_cap;
    size_t synced;             /* entries that a power loss leaves alone */
    bool sync_due;             /* an fsync is under way, */
    size_t sync_to;            /* of so many entries */
    size_t acked[REDIS_NODES]; /* as a primary: what each has acknowledged */
    bool pull_due;             /* as a replica: the next entries are under way */
    bool serves[LANES_MAX];    /* as a primary: which lanes it takes for its own */
    struct list conns;         /* open ones */
    struct list unsynced;      /* replies that wait for the fsync */
};

struct redis {
    struct world *world;
    struct cluster *cluster;
    unsigned index; /* as a master of it */
    struct redis_node nodes[REDIS_NODES];
    unsigned primary;                                       /* as Sentinel has it */
    int64_t cut_until_ms[REDIS_ENDPOINTS][REDIS_ENDPOINTS]; /* from, to */
    bool watching;                                          /* Sentinel: the primary is away */
    bool moving;                                            /* a lane comes or goes: no failover */
    size_t moved;          /* so many entries of the log hold all that has come or gone, */
    uint64_t moved_commit; /* the last of them */
    size_t crashes;
};

/* For the timeline. */
static inline unsigned node_name(const struct redis_node *node) {
    return node->redis->index * 10 + node->index;
}

/* ---- redis_node.c ---- */

void node_init(struct redis_node *node, struct redis *redis, unsigned index);
void node_release(struct redis_node *node);

/* Opens the core on what is there. */
void node_become_primary(struct redis_node *node);
void node_become_replica(struct redis_node *node, unsigned of);

/* Appends what was written since the last entry, and something in any case if 'touch'; true if
 * there is a new entry. */
bool node_append(struct redis_node *node, bool touch);

/* A lane's things have come or gone: an entry that stays, and the core opened anew. */
void node_moved(struct redis_node *node);

/* Has it all that has ever been moved? */
bool node_has_moved(const struct redis_node *node);

/* What is lost if this node's last entry is. */
uint64_t node_last_commit(const struct redis_node *node);

/* Sends the next entries to whom they are missing. */
void node_replicate(struct redis_node *node);
void node_pull(struct redis_node *replica);

/* 'other' has entries that 'node' doesn't: they are lost. */
void node_others_lost(struct redis_node *node, const struct redis_node *other);

void node_die(struct redis_node *node, bool power);

/* ---- redis_server.c ---- */

/* Replicas have acknowledged more: a WAIT may be over. */
void server_acknowledged(struct redis_node *node);
void server_synced(struct redis_node *node);
/* All of them, as the node dies or becomes a replica. */
void server_close_conns(struct redis_node *node);
/* The world ends. */
void server_release(struct redis_node *node);

/* ---- redis_outbox.c ---- */

enum err server_outbox(struct redis_node *node, struct command *command);

/* ---- redis_sentinel.c ---- */

void sentinel_begin(struct redis *redis);
/* Something has happened to a node. */
void sentinel_look(struct redis *redis);
void sentinel_reconfigure(struct redis_node *node);

static inline bool redis_cut(const struct redis *redis, unsigned from, unsigned to) {
    return redis->cut_until_ms[from][to] > world_now(redis->world);
}

static inline bool node_awake(const struct redis_node *node) {
    return node->up && node->paused_until_ms <= world_now(node->redis->world);
}

/* An acknowledged write was lost that the mode doesn't promise to keep. */
static inline bool redis_rewound(const struct redis *redis) {
    return redis->world->rewound;
}

/* appendfsync always? */
bool redis_syncs(const struct redis *redis);
/* May an acknowledged write be lost by that? */
bool redis_may_lose(const struct redis *redis, bool by_failover);

#endif
