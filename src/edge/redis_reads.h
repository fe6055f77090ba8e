/* redis_reads.h - what only reads, as plain commands instead of a call of lua/apply.lua, which
 * costs Redis five times as much for one counter.
 *
 *     GET or MGET ─► each lane's epoch ─► the clock: all as the script would say it ─► said
 *                        └────────► anything else ─► nothing is said: the caller asks the script
 *
 * Nothing is judged here but the ordinary. A lane's epoch only rises, and the caller has heard it:
 * as it is read behind the values, it was the same when they were read. So the answers are those
 * that the script would have given at the time of the values, or (as to what was never written) of
 * the epoch.
 *
 * Threads    One owner.
 * Ownership  As of struct redis_plan.
 */
#ifndef EDGE_REDIS_READS_H
#define EDGE_REDIS_READS_H

#include "edge/redis_apply.h"
#include "edge/redis_reply.h"

/* Appends the commands for the parts 'from' up to 'end', and returns how many they are. 0, and
 * nothing appended: these need the script, as they write, or a call that only reads is to write
 * (layout->touch); on a Cluster also as they are several counters, which must be of one time.
 * Check buf_failed(). */
size_t redis_reads_commands(struct redis_plan *plan, const struct redis_layout *layout,
                            uint32_t from, uint32_t end, struct buf *out);

/* 'replies' is an array of the replies to those commands. True: the parts are heard, for
 * redis_plan_finish(), and the store's clock with them. False: nothing is, ask the script. */
MUST_CHECK bool redis_reads_hear(struct redis_plan *plan, const struct redis_layout *layout,
                                 const struct message *message, uint32_t from, uint32_t end,
                                 const struct redis_reply *replies);

#endif
