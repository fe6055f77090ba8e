/* stream_event.h - changed values as Server-Sent Events (WHATWG HTML 9.2).
 *
 *     retry: 2000                                      the first time
 *     event: counters
 *     data: {"counters":[{…},…]}
 *     event: top
 *     data: {…}
 *     id: 5f0c…                                        of the last event of a frame
 *
 * An id is a digest of all that the stream shows: all counters' values and the ranking. Who comes
 * back with it and has missed nothing is told nothing; otherwise all is told again, as the state is
 * all there is. It needs no memory and means the same in every process.
 *
 * Threads    Plain functions.
 */
#ifndef GATEWAY_STREAM_EVENT_H
#define GATEWAY_STREAM_EVENT_H

#include "base/buf.h"
#include "edge/live.h"

#define STREAM_ID_CHARS 16

/* What is shown now: hexadecimal, with a NUL. */
void stream_id(const struct watcher *watcher, char out[STREAM_ID_CHARS + 1]);

/* What watcher_next() has, as events, the last with the id. */
void stream_add_events(struct buf *out, const struct live *live, struct watcher *watcher);

#endif
