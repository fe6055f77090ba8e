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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "core/kv.h"

struct redis;
struct world;

#define REDIS_NODES 3

struct redis *redis_new(struct world *world);
void redis_free(struct redis *redis);

/* The end: all nodes have to be equal; gives what is there to look at. */
struct kv *redis_last_look(struct redis *redis);

/* The store's clock minus virtual time, as of the last message. */
int64_t redis_clock_ahead_ms(const struct redis *redis);

struct event_position redis_lane_end(const struct redis *redis, uint32_t lane);

size_t redis_crashes(const struct redis *redis);
/* An acknowledged write was lost that the mode doesn't promise to keep. */
bool redis_rewound(const struct redis *redis);

#endif
