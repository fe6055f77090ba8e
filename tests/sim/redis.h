/* redis.h - a simulated Redis: a primary, its replicas, a Sentinel, and what goes wrong with them.
 *
 *     store clients ══ link ══► primary ──entries──► replica, replica
 *                               │   ▲ ◄──offsets──── (acknowledged)
 *                      AOF ◄────┘   └ Sentinel: down for a second? promotes a replica
 *
 * What a script call does is the product's own core on the node's data (the Lua is compared with it
 * elsewhere); its effects are one entry of the node's log. Everything around is modelled:
 *
 *   replication  asynchronous, in order, late; behind a node that has other entries comes a full
 *                copy of the primary's, and what was there is gone
 *   the AOF      appendfsync always: replies, and replicas' acknowledgements, after the fsync;
 *                everysec: before it. A kill leaves all that was written, a power loss the synced
 *                part and a random piece of the rest
 *   WAIT         covers what its own connection wrote (as from 7.2), blocks that connection, tells
 *                how many replicas have it
 *   failover     any replica that answers may be promoted, also one that lags; a paused or cut off
 *                primary goes on until it is told, its own later writes are lost
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_REDIS_H
#define TESTS_SIM_REDIS_H

struct cluster;
struct redis;
struct world;

#define REDIS_NODES 3

/* Master number 'index' of the cluster. */
struct redis *redis_new(struct world *world, struct cluster *cluster, unsigned index);
void redis_free(struct redis *redis);

/* The end: all nodes have to be equal. */
void redis_check_equal(struct redis *redis);

#endif
