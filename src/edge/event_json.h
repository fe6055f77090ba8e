/* event_json.h - an event as its consumers outside read it, as JSON; its id and its key.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_EVENT_JSON_H
#define EDGE_EVENT_JSON_H

#include "base/buf.h"
#include "core/event.h"

#define EVENT_ID_BYTES 80 /* with its NUL */
#define EVENT_SOURCE   SLICE("highgopress")

/* store-lane-epoch-seq, the same whenever the event is sent again; written into 'text'. */
struct slice event_id(const struct event *event, uint64_t store_id, char text[EVENT_ID_BYTES]);

/* "resource_id:counter_type", what Kafka hashes and compacts by. */
void event_key(const struct event *event, struct buf *out);

/* A JSON object. */
void event_json(const struct event *event, uint64_t store_id, struct buf *out);

#endif
