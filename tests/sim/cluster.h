/* cluster.h - the masters of a deployment, each with its replicas and its failover (redis.h), and
 * which lane is whose. One master: a Redis with replicas, where all lanes stay.
 *
 * A lane is a slot (ADR 12). An operator moves them while everybody counts, as redis-cli does: a
 * counter, the clients' keys, then the rest at a time, in any order, each with a moment between in
 * which neither node has all. A node answers for a lane by what it knows and has:
 *
 *     SLOT_MOVED   it is another's
 *     SLOT_ASK     all that is asked for has gone there already
 *     SLOT_AGAIN   some has, some hasn't
 *
 * What a move has brought is taken for synced and replicated: docs/redis.md asks that slots stay
 * while nodes may fail. So no replica without it is promoted, and none while a move is under way,
 * which no replica knows of.
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_CLUSTER_H
#define TESTS_SIM_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "core/kv.h"
#include "core/message.h"
#include "profile.h"
#include "redis.h"
#include "redis_link.h"

struct cluster;
struct redis_node;
struct world;

struct cluster *cluster_new(struct world *world);
void cluster_free(struct cluster *cluster);

/* A master's number, to open a link to. */
struct redis *cluster_master(const struct cluster *cluster, unsigned master);

/* Whose the lane is, as whoever is asked believes: sometimes an old tale. */
unsigned cluster_told_owner(struct cluster *cluster, uint32_t lane);
unsigned cluster_owner(const struct cluster *cluster, uint32_t lane);

uint32_t cluster_lane(const struct cluster *cluster, const struct op *op);

/* May the node do what the command asks for? */
enum slot_verdict cluster_judge(const struct redis_node *node, const struct command *command);

/* Where the lane goes that is on its way. */
unsigned cluster_target(const struct cluster *cluster);

/* Becoming its master's primary, it hears of all that has moved. */
void cluster_promoted(struct redis_node *node);

struct event_position cluster_lane_end(const struct cluster *cluster, uint32_t lane);

/* The end: every master's nodes have to be equal; gives all lanes in one. */
struct kv *cluster_last_look(struct cluster *cluster);

int64_t cluster_clock_ahead_ms(const struct cluster *cluster);
size_t cluster_crashes(const struct cluster *cluster);
size_t cluster_moves(const struct cluster *cluster);

#endif
