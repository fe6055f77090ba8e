/* event_json.h - an event as its consumers outside read it (CONTRACT B): JSON or protobuf.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_EVENT_JSON_H
#define EDGE_EVENT_JSON_H

#include "base/buf.h"
#include "core/event.h"

/* "resource_id:counter_type", what Kafka hashes and compacts by. */
void event_key(const struct event *event, struct buf *out);

/* A JSON object; its event_id is store-lane-epoch-seq, the same whenever the event is sent
 * again. */
void event_json(const struct event *event, uint64_t store_id, struct buf *out);

#endif
