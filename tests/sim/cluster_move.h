/* cluster_move.h - a lane's things, from one master's primary to another's: an entry in the log of
 * each.
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_CLUSTER_MOVE_H
#define TESTS_SIM_CLUSTER_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct redis_node;

/* Which of them have gone over. */
struct lane_things {
    bool core; /* the lane's record, windows, outbox, consumers' positions */
    bool keys; /* clients' */
    bool counters;
};

/* Takes the next one; false: there is none left. */
bool move_counter(struct redis_node *from, struct redis_node *to, uint32_t lane);
void move_client_keys(struct redis_node *from, struct redis_node *to, uint32_t lane);
void move_core(struct redis_node *from, struct redis_node *to, uint32_t lane);
void move_all(struct redis_node *from, struct redis_node *to, uint32_t lane);

bool move_has_counter(const struct redis_node *node, struct slice id);

#endif
