/* h2_out.c - a stream's response, as fast as flow control allows.
 *
 * nghttp2 asks for bytes when there is a window (read_queue()); until then they
 * wait in the stream's queue, which is bounded: a zero window must not pin
 * memory (CVE-2019-9517, CVE-2026-49975).
 */
#include "edge/h2_internal.h"

#define QUEUE_MAX  (1u << 20) /* of one stream, behind its first message */
#define OUT_MAX    (6u << 20) /* of a connection */
#define QUEUE_STEP 65536u
#define QUEUE_KEEP 1024u
/* A proxy may have a slow client or two among those it asks for; nobody has only such. */
#define UNTAKEN_MAX 8u

static size_t queued(const struct h2_stream *stream) {
    return stream->out.queue.len - stream->out.taken;
}

static void take(struct h2_stream *stream, uint8_t *to, size_t n) {
    memcpy(to, stream->out.queue.ptr + stream->out.taken, n);
    stream->out.taken += n;
    stream->h2->out_bytes -= n;
    if (queued(stream) == 0) {
        buf_clear(&stream->out.queue);
        if (!stream->decided && stream->out.queue.cap > QUEUE_KEEP)
            buf_release(&stream->out.queue); /* more comes, but maybe not soon */
        stream->out.taken = 0;
        stream->out.due_ms = INT64_MAX;
        stream->h2->untaken = 0;
    }
}

/* Behind the last byte: END_STREAM, or the trailers that carry it. */
static int end_of_queue(struct h2_stream *stream, uint32_t *flags) {
    const struct h2_user *user = stream->h2->server->user;
    nghttp2_nv nva[H2_TRAILERS_MAX];
    size_t count = user->trailers ? user->trailers(stream, nva) : 0;

    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (count == 0)
        return 0;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return nghttp2_submit_trailer(stream->h2->session, stream->id, nva, count);
}

static ssize_t read_queue(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *ctx) {
    struct h2_stream *stream = source->ptr;
    size_t n = queued(stream) < room ? queued(stream) : room;

    (void)session, (void)stream_id, (void)ctx;
    if (n == 0 && !stream->decided) {
        stream->out.deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n)
        take(stream, to, n);
    if (queued(stream) == 0 && stream->decided && end_of_queue(stream, flags) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return (ssize_t)n;
}

void h2_inform(struct h2_stream *stream, const nghttp2_nv *nva, size_t count) {
    h2_check(stream->h2, nghttp2_submit_headers(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id,
                                                NULL, nva, count, NULL));
    conn_touch(stream->h2->conn);
}

void h2_respond(struct h2_stream *stream, const nghttp2_nv *nva, size_t count, bool body) {
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_queue};

    stream->out.begun = true;
    h2_check(stream->h2, nghttp2_submit_response(stream->h2->session, stream->id, nva, count,
                                                 body ? &provider : NULL));
    conn_touch(stream->h2->conn);
}

static void resume(struct h2_stream *stream) {
    conn_touch(stream->h2->conn);
    if (!stream->out.deferred)
        return;
    stream->out.deferred = false;
    h2_check(stream->h2, nghttp2_session_resume_data(stream->h2->session, stream->id));
}

/* What was taken goes before the rest grows further. */
static void compact(struct h2_stream *stream) {
    struct buf *queue = &stream->out.queue;

    if (stream->out.taken == 0 || stream->out.taken < queue->len / 2)
        return;
    memmove(queue->ptr, queue->ptr + stream->out.taken, queued(stream));
    queue->len = queued(stream);
    stream->out.taken = 0;
}

/* A large queue doesn't double: what is counted should be what is held. */
static void make_room(struct buf *queue, size_t bytes) {
    size_t cap = (queue->len + bytes + QUEUE_STEP - 1) / QUEUE_STEP * QUEUE_STEP;

    if (queue->len + bytes <= queue->cap || cap <= QUEUE_STEP)
        return;
    (void)!buf_resize(queue, cap); /* buf_add() says so */
}

bool h2_taken(const struct h2_stream *stream) {
    return queued(stream) == 0;
}

bool h2_queue_fits(const struct h2_stream *stream, size_t bytes) {
    if (queued(stream) && queued(stream) + bytes > QUEUE_MAX)
        return false;
    return stream->h2->out_bytes + bytes <= OUT_MAX;
}

/* The time for all that was queued since the queue was last empty: a byte taken now and then
 * doesn't prolong it (CVE-2019-9511, "data dribble"). */
static void owe(struct h2_stream *stream, size_t bytes) {
    struct h2 *h2 = stream->h2;
    int64_t write_ms = h2->server->conf.write_ms;

    h2->out_bytes += bytes;
    if (queued(stream) == 0)
        return;
    if (stream->out.due_ms == INT64_MAX)
        stream->out.due_ms = conn_now_ms(h2->conn) + conn_patience_ms(write_ms, bytes);
    else
        stream->out.due_ms += conn_patience_ms(0, bytes);
    conn_wake(h2->conn, stream->out.due_ms);
}

void h2_out_overdue(struct h2_stream *stream) {
    struct h2 *h2 = stream->h2;

    stream->out.due_ms = INT64_MAX;
    stream->out.overdue = true;
    if (++h2->untaken > UNTAKEN_MAX)
        h2_flood(h2, "answers that are not taken");
    else
        h2_reset(stream, NGHTTP2_CANCEL);
}

void h2_queue(struct h2_stream *stream, struct slice bytes) {
    compact(stream);
    make_room(&stream->out.queue, bytes.len);
    buf_add_slice(&stream->out.queue, bytes);
    if (buf_failed(&stream->out.queue))
        h2_fail(stream->h2);
    else
        owe(stream, bytes.len);
    resume(stream);
}

void h2_finish(struct h2_stream *stream) {
    struct h2 *h2 = stream->h2;

    stream->decided = true;
    stream->deadline_ms = INT64_MAX;
    if (!h2 || stream->gone)
        return;
    h2_set_deadline(stream, conn_now_ms(h2->conn) + h2->server->conf.idle_ms);
    resume(stream);
}

void h2_out_drop(struct h2_stream *stream) {
    if (stream->h2)
        stream->h2->out_bytes -= queued(stream);
    stream->out.taken = 0;
    stream->out.due_ms = INT64_MAX;
    buf_clear(&stream->out.queue);
    if (stream->out.queue.cap > QUEUE_KEEP)
        buf_release(&stream->out.queue);
}
