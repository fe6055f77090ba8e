/* stale.h - reads answered from what a loop last knew, while nobody who knows can be asked.
 *
 * Off unless stale_reads.max_age_ms says how old an answer may be. Never for a counter of which
 * this loop knows nothing, never for a write, never while a fresh answer can be had: a read has
 * failed before it is looked for here. Such an answer says so (CONTRACT B).
 *
 * Threads    The gateway's loop.
 */
#ifndef GATEWAY_STALE_H
#define GATEWAY_STALE_H

#include "gateway/internal.h"

#define STALE_HEADER SLICE("Warning: 110 - \"Response is Stale\"\r\n")

/* A value that the store has answered with. */
void stale_learn(struct gateway *gateway, struct slice resource_id, struct slice counter_type,
                 const struct answer *answer);

/* A read that has failed with counter->err: true, and the counter as it was last known. */
MUST_CHECK bool stale_answer(struct gateway *gateway, struct json_counter *counter);

/* So many are answered so. */
void stale_count(struct gateway *gateway, size_t reads);

#endif
