/* redis_parts.h - a message for several masters: a call for each lane that it touches, then all
 * answers at once, by the product's own core/parts.h.
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_REDIS_PARTS_H
#define TESTS_SIM_REDIS_PARTS_H

#include "job.h"

struct world;

/* As redis_client_receive() does: one word, or none when the process dies, and a release. */
void redis_parts_send(struct world *world, unsigned process, struct job *job);

#endif
