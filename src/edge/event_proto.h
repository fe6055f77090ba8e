/* event_proto.h - an event as events.CounterEvent (api/proto/events/events.proto).
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_EVENT_PROTO_H
#define EDGE_EVENT_PROTO_H

#include "base/buf.h"
#include "core/event.h"

void event_proto(const struct event *event, uint64_t store_id, struct buf *out);

#endif
