/* handover_codec.h - the messages by which a partition moves: analytics.internal.Handover.
 *
 * The layout is api/proto/analytics/internal/handover.proto.
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read points into the message.
 * Errors     ERR_INVALID: not such a message. Writing grows the buffer: check buf_failed().
 */
#ifndef EDGE_HANDOVER_CODEC_H
#define EDGE_HANDOVER_CODEC_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/analytics_partition.h"

#define HANDOVER_SERVICE   "analytics.internal.Handover"
#define HANDOVER_STEP_PATH "/" HANDOVER_SERVICE "/Step"

enum handover_kind {
    HANDOVER_LOOK,
    HANDOVER_LEAVE,
    HANDOVER_READ,
    HANDOVER_RELEASE,
    HANDOVER_ARRIVE,
    HANDOVER_WIPE,
    HANDOVER_WRITE,
    HANDOVER_READY,
    HANDOVER_OWN,
    HANDOVER_KEEP,
    HANDOVER_KINDS
};

struct handover_request {
    enum handover_kind kind;
    uint32_t partition;
    struct slice peer;
    uint32_t of;
    uint64_t moves;
    uint64_t store_id;
    uint32_t lanes;
    int64_t next;
    uint64_t attempt;
    struct slice cursor;
    struct slice records;
};

struct handover_response {
    enum partition_state state;
    bool reads;
    uint64_t moves;
    int64_t next;
    struct slice name;
    uint32_t of;
    uint32_t lanes;
    uint64_t store_id;
    uint64_t attempt;
    struct slice cursor;
    struct slice records;
    bool again;
};

void handover_write_request(struct buf *out, const struct handover_request *request);
MUST_CHECK enum err handover_read_request(struct slice bytes, struct handover_request *out);
void handover_write_response(struct buf *out, const struct handover_response *response);
MUST_CHECK enum err handover_read_response(struct slice bytes, struct handover_response *out);

#endif
