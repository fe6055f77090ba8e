/* owner.h - the store's owner process: takes messages, applies them in groups,
 * commits, replies; dies, and comes back on what the disk kept.
 *
 *     inbox ─► apply, apply, apply ─► tidy ─► commit ─► replies
 *                     └ dies here, there ─────┴─ or there ┘
 *
 * RULE_COMMIT_FIRST and RULE_SYNC_FIRST live here, as in the real store thread.
 */
#ifndef TESTS_SIM_OWNER_H
#define TESTS_SIM_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/kv.h"
#include "job.h"

struct world;
struct owner;

struct owner *owner_new(struct world *world);
void owner_free(struct owner *owner);

/* A message arrives. Its release() runs once, now or later. */
void owner_receive(struct owner *owner, struct job *job);

bool owner_running(const struct owner *owner);

/* From outside: a kill, with 'power' one of the machine. It comes back by itself. */
void owner_crash(struct owner *owner, bool power);

/* The end of a run: dies once more, reopens, and gives the store to look at. */
struct kv *owner_last_restart(struct owner *owner);

/* The store's clock minus virtual time, as the owner that runs or ran last knows it. */
int64_t owner_clock_ahead_ms(const struct owner *owner);

size_t owner_crashes(const struct owner *owner);

#endif
