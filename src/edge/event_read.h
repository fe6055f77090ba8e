/* event_read.h - an event as it comes back from outside: what event_json() or event_proto() wrote.
 *
 * Unknown fields are passed over, so that events of a later version are read as far as they are
 * known.
 *
 * Threads    Plain functions.
 * Ownership  The event borrows from the value and from the arena.
 */
#ifndef EDGE_EVENT_READ_H
#define EDGE_EVENT_READ_H

#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "core/event.h"

/* JSON or protobuf, as the value itself tells. ERR_INVALID: it is no event, '*out_problem' says
 * why in a phrase; ERR_NO_MEMORY: past the arena's cap. What is in '*out' then means nothing. */
MUST_CHECK enum err event_read(struct slice value, struct arena *arena, uint64_t *out_store_id,
                               struct event *out, const char **out_problem);

#endif
