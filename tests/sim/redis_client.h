/* redis_client.h - a process's way to Redis: a few connections, as counter/redis_store.h has them.
 *
 * A message goes out as a call on one of them; in mode replicated its answer is held until enough
 * replicas have it, by the product's own core/ack.h. A connection that breaks, is too slow or finds
 * too few replicas is given up: nobody knows what became of its calls, and the gateway repeats them
 * under their numbers, often over another connection.
 *
 * With several masters there is one connection to each, and a message is a call for each lane it
 * touches (redis_parts.h), sent elsewhere or again where a node says so
 * (counter/redis_cluster_part.c).
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_REDIS_CLIENT_H
#define TESTS_SIM_REDIS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"

struct world;
struct redis_client;

struct redis_client *redis_client_new(struct world *world, unsigned process);
/* At the world's end: connections that stand go with their nodes. */
void redis_client_free(struct redis_client *client);

void redis_client_receive(struct redis_client *client, struct job *job);

/* What touches one lane only. */
void redis_client_call(struct redis_client *client, struct job *job, uint32_t lane);
bool redis_client_usable(const struct redis_client *client);

/* Killed with all it had in hand, and started again. */
void redis_client_die(struct redis_client *client);

#endif
