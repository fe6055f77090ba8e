/* redis_store.h - the counter core in a Redis: upstreams for each loop's senders of messages.
 *
 * A message is one script call for all lanes it touches (lua/apply.lua). A few pipelined
 * connections per loop; each is used once the server behind it has shown to be the store this
 * process knows: same id, same lanes, a durability that will do. A loop's messages take one of
 * them for as long as it lasts, so that they are applied in the order of sending. In mode
 * replicated (redis_wait.c) they take turns, as one that WAITs does nothing else. Any number of
 * processes may count on the same Redis at the same time.
 *
 *     redis_fleet_new ─► redis_fleet_probe ─► loops: redis_store_new, _connect … _close ─► _free
 *
 * Threads    A store belongs to its loop; the fleet is made and freed by the main thread and its
 *            functions may be called by any.
 * Failures   A connection lost with a message under way, or too few replicas in time: ERR_UNKNOWN,
 *            to be repeated under the same number. Never sent, or refused before the first
 *            write: not_applied. Redis away: send() answers ERR_UNAVAILABLE, and connections
 *            come back by themselves.
 */
#ifndef COUNTER_REDIS_STORE_H
#define COUNTER_REDIS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/metrics.h"
#include "core/batcher.h"
#include "counter/service.h"
#include "edge/redis_url.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct redis_fleet;
struct redis_store;
struct tls;

struct redis_fleet_conf {
    struct redis_url url;
    struct resolver *resolver; /* borrowed */
    struct tls *tls;           /* borrowed; for a URL that asks for it */
    struct metrics *metrics;   /* borrowed */
    uint32_t lanes;            /* 0: what the store has */
    uint32_t new_lanes; /* of one that is made where 'lanes' is 0; 0: one. Not of a Cluster */
    int64_t key_ttl_ms;
    bool coalesce;
    uint64_t outbox_max_bytes; /* over all lanes; trimmed beyond, oldest first */
    int64_t outbox_max_age_ms; /* trimmed beyond */
    enum durability durability;
    bool strict;          /* a server that doesn't give it isn't used */
    uint32_t replicas;    /* DURABILITY_REPLICATED: how many must have what is acknowledged */
    unsigned loops;       /* how many stores there will be: they share the housekeeping */
    unsigned connections; /* of each loop */
    int64_t connect_ms;
    int64_t response_ms;
};

/* NULL when memory runs out. */
struct redis_fleet *redis_fleet_new(const struct redis_fleet_conf *conf);
/* All stores are closed. NULL is fine. */
void redis_fleet_free(struct redis_fleet *fleet);

/* Connects once from this thread and looks whether it may count there; lays out a new store.
 * ERR_UNREACHABLE  nobody answered: starting nevertheless is fine, loops go on trying
 * ERR_UNAVAILABLE  likewise: a replica, for now, or it loads its data
 * ERR_LAYOUT, ERR_NEWER, ERR_CORRUPT, ERR_INVALID (our credentials, its version, a Cluster, its
 * durability where 'strict'): it is there, but not to be used
 * Any other: it couldn't lay out the store. '*out_detail' is a sentence with both figures; it lives
 * as long as the fleet. */
MUST_CHECK enum err redis_fleet_probe(struct redis_fleet *fleet, int64_t timeout_ms,
                                      const char **out_detail);

/* Every loop has a usable connection. */
bool redis_fleet_up(const struct redis_fleet *fleet);

/* Usable ones, on all loops. */
unsigned redis_fleet_connections(const struct redis_fleet *fleet);

/* Why it is not up, a sentence; "" when it always was. Copies. */
void redis_fleet_problem(struct redis_fleet *fleet, char *out, size_t size);

/* The mode in force (the one that is configured, or what the server gives where that is less) and
 * what the server's settings really give, a sentence. Copies. */
void redis_fleet_promise(struct redis_fleet *fleet, char *out_mode, size_t mode_size,
                         char *out_guarantee, size_t guarantee_size);

/* Wall clock: the last time that a connection became usable, or was lost. */
int64_t redis_fleet_changed_s(const struct redis_fleet *fleet);

/* Fixed at the store's first start; 0 before the first connection. */
uint64_t redis_fleet_store_id(const struct redis_fleet *fleet);

struct redis_store_user {
    void *ctx;
    /* The store's clock minus the loop's: before the first message can be sent, and whenever an
     * answer has told more. */
    void (*clock_learned)(void *ctx, int64_t ahead_ms);
    /* Messages can be sent from now on, or not: first when it is known how connecting went. */
    void (*changed)(void *ctx, bool up);
};

/* On the loop's thread. 'shard' is the loop's in the metrics and its number among 'loops'. NULL
 * when memory runs out. */
struct redis_store *redis_store_new(struct redis_fleet *fleet, struct loop *loop, unsigned shard,
                                    const struct redis_store_user *user);

/* Beside the loops that count: with one connection, and not in redis_fleet_up(). */
struct redis_store *redis_store_new_aside(struct redis_fleet *fleet, struct loop *loop,
                                          unsigned shard, const struct redis_store_user *user);

/* Begins to connect. Once, behind the making of the batcher, so that what it sends leaves in the
 * same tick. False when memory runs out: close it. */
MUST_CHECK bool redis_store_connect(struct redis_store *store);

/* A sender's way in; part of the sender, for as long as the store lives. */
struct redis_port {
    struct upstream upstream;
    struct redis_store *store;
    void (*delivered)(void *ctx, struct delivery *delivery);
    void *ctx;
};
void redis_port_init(struct redis_port *port, struct redis_store *store,
                     void (*delivered)(void *ctx, struct delivery *delivery), void *ctx);

/* Every delivery comes back; then closed() runs once, on a later turn, and the store is gone. */
void redis_store_close(struct redis_store *store, void (*closed)(void *ctx), void *ctx);

#endif
