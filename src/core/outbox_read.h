/* outbox_read.h - a lane's stored events in order, as consumers want them.
 *
 * Threads    One owner for each reader; beside the store's thread.
 * Ownership  Events and their slices live in the reader until its next read.
 */
#ifndef CORE_OUTBOX_READ_H
#define CORE_OUTBOX_READ_H

#include <stddef.h>

#include "base/attr.h"
#include "core/event.h"
#include "core/kv.h"

struct outbox_reader { /* a zeroed one is ready */
    struct buf records;
    struct buf from;
    struct buf spans; /* of struct span, the records in order */
    struct event *events;
    size_t count;
    size_t cap;
};

void outbox_reader_release(struct outbox_reader *reader);

/* The events behind 'after' and up to 'end' (the last that may be seen), whole records up to
 * 'max_bytes' and at least one. ERR_OK with reader->events and ->count; ERR_TRIMMED: the first of
 * them isn't there; ERR_INVALID: 'after' lies behind 'end'; ERR_CORRUPT: a gap or a damaged
 * record inside; ERR_NEWER, ERR_NO_MEMORY, the store's. */
MUST_CHECK enum err outbox_read(struct outbox_reader *reader, const struct kv_scanner *scanner,
                                uint32_t lane, struct event_position after,
                                struct event_position end, size_t max_bytes);

#endif
