/* sim_kv.h - a store in memory whose disk can lose power, for tests and the simulator.
 *
 *     durable ── commits in the operating system's hands ──│ staged
 *       ▲ sync or durable commit            ▲ get and seek │
 *       └ always survives   └ a prefix survives power loss └ dies with the process
 *
 * Misuse that would hide a bug of the code under test aborts: anything but
 * sim_kv_kill(), sim_kv_crash() and the inspection after ERR_IO.
 *
 * Threads    One owner.
 */
#ifndef TESTS_LIB_SIM_KV_H
#define TESTS_LIB_SIM_KV_H

#include <stddef.h>
#include <stdint.h>

#include "core/kv.h"

struct sim_kv;

/* Aborts when memory runs out, as do all here. */
struct sim_kv *sim_kv_new(void);
void sim_kv_free(struct sim_kv *sim);
struct kv *sim_kv_base(struct sim_kv *sim);
/* On the owner's thread only. */
const struct kv_scanner *sim_kv_scanner(const struct sim_kv *sim);

/* The process dies: what was staged is gone, every commit stays as it is, durable or not. */
void sim_kv_kill(struct sim_kv *sim);

/* Power loss: the durable prefix and the first 'keep_commits' of the later commits stay (a prefix
 * of the log, never a hole) and are on disk from now on; the rest is gone. */
void sim_kv_crash(struct sim_kv *sim, size_t keep_commits);

/* How many commits a crash may lose. */
size_t sim_kv_volatile_commits(const struct sim_kv *sim);

/* The next commit returns ERR_IO; 'applied' says whether it reached the log nevertheless (then
 * it is there after a kill, and not durable). */
void sim_kv_fail_commit(struct sim_kv *sim, bool applied);

/* The get or seek after 'reads' more of them returns ERR_IO. */
void sim_kv_fail_read(struct sim_kv *sim, unsigned reads);

/* Changes one committed record behind the code's back; durable at once. 'value' {NULL, 0}
 * deletes it. */
void sim_kv_tamper(struct sim_kv *sim, enum kv_space space, struct slice key, struct slice value);

/* Every committed record of a space in order. */
void sim_kv_each(const struct sim_kv *sim, enum kv_space space,
                 void (*fn)(void *ctx, struct slice key, struct slice value), void *ctx);
size_t sim_kv_count(const struct sim_kv *sim, enum kv_space space);

struct sim_kv_stats {
    uint64_t commits; /* that wrote something */
    uint64_t syncs;   /* durable commits and sync() */
};
void sim_kv_stats(const struct sim_kv *sim, struct sim_kv_stats *out);

#endif
