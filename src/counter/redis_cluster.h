/* redis_cluster.h - what a loop's redis_store is where the Redis is a Cluster (ADR 12).
 *
 *     message ─► a call for each lane ─► the node of its slot ─► answers, when all have come
 *                      ▲        MOVED, ASK, TRYAGAIN    │
 *                      └────────── again, a few times ──┘
 *
 * One connection to each master; in mode replicated a tick's calls there share a WAIT, and what
 * comes meanwhile goes behind it. Where the slots are is asked of any node: at first, when one says
 * that it was moved, when one is lost; with a jittered pause between, and not by time alone.
 *
 * Threads    The loop's.
 * Failures   As redis_store.h, for each lane: what can't be sent to one node is refused, what the
 *            others have done is answered. A lane's outcome unknown: so is the message's.
 */
#ifndef COUNTER_REDIS_CLUSTER_H
#define COUNTER_REDIS_CLUSTER_H

#include "counter/redis_internal.h"

struct redis_cluster;

/* NULL when memory runs out. */
struct redis_cluster *redis_cluster_new(struct redis_store *store);

MUST_CHECK bool redis_cluster_connect(struct redis_cluster *cluster);

/* As struct upstream's send(). */
MUST_CHECK enum err redis_cluster_send(struct redis_cluster *cluster, struct redis_port *port,
                                       struct delivery *delivery);

/* The end of a tick, in mode replicated. */
void redis_cluster_tick(struct redis_cluster *cluster);

/* As redis_store_conn() and redis_store_trouble(). */
struct redis_conn *redis_cluster_conn(struct redis_cluster *cluster, uint16_t slot);
void redis_cluster_trouble(struct redis_cluster *cluster, uint16_t slot,
                           const struct redis_outcome *outcome);

/* Every delivery comes back; then closed() runs once, on a later turn, and the cluster is gone. */
void redis_cluster_close(struct redis_cluster *cluster, void (*closed)(void *ctx), void *ctx);

#endif
