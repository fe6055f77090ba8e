/* grpc_channel_stream.c - what only streams have: more messages, in both directions.
 *
 * Messages are handed over behind the event that brought them, as outcomes are: whoever gets one
 * may send, cancel, or close the channel.
 */
#include <string.h>

#include "edge/grpc_channel_internal.h"

/* ---- outwards ------------------------------------------------------------ */

static void resume(struct grpc_exchange *ex) {
    grpc_conn_out_touch(ex->conn);
    if (!ex->deferred)
        return;
    ex->deferred = false;
    grpc_conn_out_check(ex->conn, nghttp2_session_resume_data(ex->conn->session, ex->stream_id));
}

void grpc_out_stream_send(struct grpc_out_stream *stream, struct slice message) {
    struct grpc_exchange *ex = stream->exchange;

    if (ex->decided || !ex->conn)
        return;
    grpc_exchange_frame(&ex->request, message);
    if (buf_failed(&ex->request)) {
        grpc_exchange_abort(ex, GRPC_RESOURCE_EXHAUSTED, SLICE("there is no memory for a message"));
        return;
    }
    resume(ex);
}

void grpc_out_stream_end(struct grpc_out_stream *stream) {
    struct grpc_exchange *ex = stream->exchange;

    ex->ending = true;
    if (!ex->decided && ex->conn)
        resume(ex);
}

void grpc_out_stream_cancel(struct grpc_out_stream *stream) {
    struct grpc_exchange *ex = stream->exchange;

    ex->cancelled = true;
    if (!ex->decided && ex->conn)
        grpc_exchange_abort(ex, GRPC_CANCELLED, SLICE("cancelled"));
    grpc_channel_later(ex->channel);
}

/* ---- inwards ------------------------------------------------------------- */

void grpc_exchange_message_begins(struct grpc_exchange *ex) {
    uint32_t length = 0;

    ex->length_at = ex->response.len;
    buf_add(&ex->response, &length, sizeof(length));
    ex->conn->held_bytes += sizeof(length);
}

void grpc_exchange_message_ends(struct grpc_exchange *ex) {
    uint32_t length = (uint32_t)(ex->response.len - ex->length_at - sizeof(length));

    if (buf_failed(&ex->response))
        return; /* add_part() or the next message says so */
    memcpy(ex->response.ptr + ex->length_at, &length, sizeof(length));
    ex->complete = ex->response.len;
    if (list_empty(&ex->arrived))
        list_push_back(&ex->channel->arrived, &ex->arrived);
}

static void drop_handed(struct grpc_exchange *ex, size_t bytes) {
    if (ex->conn)
        ex->conn->held_bytes -= bytes;
    memmove(ex->response.ptr, ex->response.ptr + bytes, ex->response.len - bytes);
    ex->response.len -= bytes;
    ex->length_at -= bytes;
    ex->complete = 0;
}

void grpc_exchange_hand_messages(struct grpc_exchange *ex) {
    size_t at = 0;
    uint32_t length;

    while (at < ex->complete && !ex->cancelled) {
        memcpy(&length, ex->response.ptr + at, sizeof(length));
        ex->stream->message(ex->stream, slice_of(ex->response.ptr + at + sizeof(length), length));
        at += sizeof(length) + length;
    }
    drop_handed(ex, ex->complete);
}
