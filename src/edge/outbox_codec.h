/* outbox_codec.h - the messages between a counter's outbox and analytics: counter.internal.Outbox.
 *
 * The layout is api/proto/counter/internal/outbox.proto.
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read points into the message; arrays are made in the buffer given.
 * Errors     ERR_INVALID: not such a message; ERR_NO_MEMORY. Writing grows the buffer: check
 *            buf_failed() at the end.
 */
#ifndef EDGE_OUTBOX_CODEC_H
#define EDGE_OUTBOX_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/event.h"

#define OUTBOX_SERVICE     "counter.internal.Outbox"
#define OUTBOX_FOLLOW_PATH "/" OUTBOX_SERVICE "/Follow"
#define OUTBOX_VALUES_PATH "/" OUTBOX_SERVICE "/Values" /* values_codec.h */

struct lane_position {
    uint32_t lane;
    struct event_position at;
};

/* ---- FollowRequest ---- */

void outbox_write_open(struct buf *out, struct slice consumer);
void outbox_write_read(struct buf *out, struct lane_position after);
/* One of several in the same message. */
void outbox_write_reported(struct buf *out, struct lane_position at);
void outbox_write_forget(struct buf *out, struct slice consumer);

struct outbox_request {
    enum { OUTBOX_OPEN, OUTBOX_READ, OUTBOX_REPORTED, OUTBOX_FORGET } kind;
    struct slice consumer; /* to open, or to forget */
    struct lane_position read;
    size_t count; /* of struct lane_position in the buffer */
};
MUST_CHECK enum err outbox_read_request(struct slice bytes, struct buf *positions,
                                        struct outbox_request *out);

/* ---- FollowResponse ---- */

void outbox_write_opened(struct buf *out, uint64_t store_id, const struct event_position *reported,
                         uint32_t lanes);
void outbox_write_more(struct buf *out);

/* As many of the events as fit into 'max_bytes', at least one; 'err' is the read's. */
void outbox_write_events(struct buf *out, struct lane_position end, enum err err,
                         const struct event *events, size_t count, size_t max_bytes);

struct outbox_response {
    enum { OUTBOX_OPENED, OUTBOX_EVENTS, OUTBOX_MORE } kind;
    uint64_t store_id;
    struct lane_position end;
    enum err err;
    size_t count; /* in the buffer: of struct event, or opened: of struct event_position, by lane */
};
MUST_CHECK enum err outbox_read_response(struct slice bytes, struct buf *items,
                                         struct outbox_response *out);

#endif
