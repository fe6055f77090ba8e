/* redis_events.h - a lane's outbox as its consumers want it, from a reply to XRANGE.
 *
 * Threads    One owner for each.
 * Ownership  Events live as long as the reply and until the next read.
 */
#ifndef EDGE_REDIS_EVENTS_H
#define EDGE_REDIS_EVENTS_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "core/event.h"
#include "edge/redis_reply.h"

struct redis_events { /* a zeroed one is ready */
    struct event *events;
    size_t count;
    size_t cap;
    size_t entries;   /* there were in the reply */
    size_t bytes;     /* of events in them */
    struct buf types; /* those that were written with escapes */
};

void redis_events_release(struct redis_events *events);

/* The events behind 'after' in the reply's entries, which begin with the one that has the next of
 * them. ERR_TRIMMED: they don't, it isn't there any more; ERR_CORRUPT: a gap or a damaged entry
 * inside; ERR_NO_MEMORY. */
MUST_CHECK enum err redis_events_read(struct redis_events *events, uint32_t lane,
                                      struct event_position after, const struct redis_reply *reply);

#endif
