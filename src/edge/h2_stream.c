/* h2_stream.c - a stream's life, and the memory its request holds. */
#include "base/spare.h"
#include "edge/h2_internal.h"

#define BODY_KEEP 512u /* of a recycled stream; small bodies need no malloc */

/* ---- life ---------------------------------------------------------------- */

void h2_stream_init(struct h2_stream *stream, struct h2 *h2, int64_t deadline_ms) {
    struct buf queue = stream->out.queue;

    *stream = (struct h2_stream){.h2 = h2, .out = {.queue = queue, .due_ms = INT64_MAX}};
    list_init(&stream->node);
    list_push_back(&h2->streams, &stream->node);
    h2->open_streams++;
    h2_set_deadline(stream, deadline_ms);
}

void h2_stream_closed(struct h2_stream *stream) {
    struct h2 *h2 = stream->h2;

    stream->gone = true;
    stream->deadline_ms = INT64_MAX;
    h2_out_drop(stream);
    if (h2) {
        h2->open_streams--;
        h2->orphans++; /* until its user is done with it */
        h2->server->user->gone(stream);
    }
}

void h2_stream_conn_gone(struct h2_stream *stream) {
    const struct h2_user *user = stream->h2->server->user;

    stream->out.overdue |= stream->h2->conn->overdue;
    stream->h2 = NULL;
    if (stream->gone)
        return;
    h2_stream_closed(stream);
    user->gone(stream);
}

void h2_stream_done(struct h2_stream *stream) {
    struct h2 *h2 = stream->h2;

    list_remove(&stream->node);
    if (!h2)
        return;
    h2->orphans--;
    if (list_empty(&h2->streams)) {
        h2->idle_since_ms = conn_now_ms(h2->conn);
        conn_wake(h2->conn, h2->idle_since_ms + h2->server->conf.idle_ms);
        conn_touch(h2->conn);
    }
}

void h2_reset(struct h2_stream *stream, uint32_t code) {
    struct h2 *h2 = stream->h2;

    if (!h2 || stream->gone)
        return;
    h2_check(h2, nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->id, code));
    conn_touch(h2->conn);
}

/* ---- time ---------------------------------------------------------------- */

void h2_set_deadline(struct h2_stream *stream, int64_t at_ms) {
    stream->deadline_ms = at_ms;
    conn_wake(stream->h2->conn, at_ms);
}

bool h2_overdue(struct h2_stream *stream, int64_t now_ms) {
    if (now_ms < stream->deadline_ms)
        return false;
    if (stream->decided) {
        /* It stays open: its client goes on with a request that is answered. */
        stream->deadline_ms = INT64_MAX;
        h2_reset(stream, NGHTTP2_CANCEL);
        return false;
    }
    if (stream->head_done)
        return true;
    h2_flood(stream->h2, "a header block without an end");
    return false;
}

/* ---- memory -------------------------------------------------------------- */

bool h2_hold(struct h2 *h2, size_t bytes, size_t max) {
    if (h2->in_bytes + bytes > max)
        return false;
    h2->in_bytes += bytes;
    return true;
}

void h2_unhold(struct h2 *h2, size_t bytes) {
    if (h2)
        h2->in_bytes -= bytes;
}

bool h2_make_room(struct h2_stream *stream, struct buf *body, size_t more, size_t expected,
                  size_t max) {
    size_t need = body->len + more;
    size_t cap = body->cap * 2;

    if (need <= body->cap)
        return true;
    cap = expected && cap > expected ? expected : cap;
    cap = cap < need ? need : cap;
    cap = spare_room(cap < BODY_KEEP ? BODY_KEEP : cap);
    if (!h2_hold(stream->h2, cap - stream->held, max))
        return false;
    stream->held = cap;
    return buf_resize(body, cap);
}

void h2_drop_body(struct h2_stream *stream, struct buf *body) {
    h2_unhold(stream->h2, stream->held);
    stream->held = 0;
    buf_clear(body);
    if (body->cap > BODY_KEEP)
        buf_release(body);
}
