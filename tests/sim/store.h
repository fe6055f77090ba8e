/* store.h - what messages are applied in: the embedded store's owner, or a Redis with clients in
 * each process. 'process' is the counter's number, without the split the gateway's.
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_STORE_H
#define TESTS_SIM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/kv.h"
#include "job.h"

struct world;

void store_new(struct world *world);
void store_free(struct world *world);

/* A message arrives. Its release() runs once, now or later. */
void store_receive(struct world *world, unsigned process, struct job *job);

/* That process can reach it, as far as it knows. */
bool store_reachable(const struct world *world, unsigned process);

/* A process that uses the store dies. */
void store_user_died(struct world *world, unsigned process);

/* The store's clock minus virtual time. */
int64_t store_clock_ahead_ms(const struct world *world);

/* The end of a run: what is there to look at. */
struct kv *store_last_look(struct world *world);

size_t store_crashes(const struct world *world);
size_t store_moves(const struct world *world);

#endif
