/* grpc_response.c - a call's response: messages, trailers, refusals.
 *
 * nghttp2 asks for bytes when flow control allows some (read_queue()); until
 * then they wait in the call's queue, which is bounded: a zero window must not
 * pin memory (CVE-2019-9517, CVE-2026-49975).
 */
#include <stdio.h>
#include <stdlib.h>

#include "edge/grpc_internal.h"
#include "wire/grpc_text.h"

#define QUEUE_MAX       (1u << 20) /* of one call, behind its first message */
#define OUT_MAX         (6u << 20) /* of a connection */
#define QUEUE_STEP      65536u
#define QUEUE_KEEP      1024u
#define TRAILERS_MAX    16
#define TRAILER_BYTES   8192u /* gRPC clients' own limit */
#define STATUS_TEXT_MAX 1024u

/* A field whose name and value are literals. */
#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)("" n), (uint8_t *)(uintptr_t)("" v), sizeof(n) - 1, sizeof(v) - 1,  \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                           \
    }

/* ---- trailers ------------------------------------------------------------ */

struct trailer_lens {
    uint32_t name;
    uint32_t value;
};

static void add_trailer(struct buf *trailers, struct slice name, struct slice value) {
    struct trailer_lens lens = {(uint32_t)name.len, (uint32_t)value.len};

    buf_add(trailers, &lens, sizeof(lens));
    buf_add_slice(trailers, name);
    buf_add_slice(trailers, value);
}

/* As fields that point into the buffer: nghttp2 copies them. */
static size_t list_trailers(const struct buf *trailers, nghttp2_nv *nva) {
    size_t count = 0;

    for (char *p = trailers->ptr, *end = p + trailers->len; p < end; count++) {
        struct trailer_lens lens;

        memcpy(&lens, p, sizeof(lens));
        p += sizeof(lens);
        nva[count] = (nghttp2_nv){.name = (uint8_t *)p,
                                  .value = (uint8_t *)p + lens.name,
                                  .namelen = lens.name,
                                  .valuelen = lens.value};
        p += lens.name + lens.value;
    }
    return count;
}

void grpc_response_trailer(struct grpc_call *call, struct slice name, struct slice value) {
    struct buf encoded = {0};

    if (call->ended || call->out.trailer_count >= TRAILERS_MAX ||
        call->out.trailers.len + name.len + value.len > TRAILER_BYTES)
        return;
    call->out.trailer_count++;
    if (grpc_is_binary_name(name)) {
        grpc_base64_encode(&encoded, value);
        value = buf_slice(&encoded);
    }
    add_trailer(&call->out.trailers, name, value);
    call->out.trailers.failed |= buf_failed(&encoded);
    buf_release(&encoded);
}

static void add_status(struct grpc_call *call, enum grpc_status status, struct slice message) {
    char digits[12];
    struct buf encoded = {0};

    (void)snprintf(digits, sizeof(digits), "%d", (int)status);
    add_trailer(&call->out.trailers, SLICE("grpc-status"), slice_str(digits));
    if (message.len) {
        message.len = message.len < STATUS_TEXT_MAX ? message.len : STATUS_TEXT_MAX;
        grpc_percent_encode(&encoded, message);
        add_trailer(&call->out.trailers, SLICE("grpc-message"), buf_slice(&encoded));
        call->out.trailers.failed |= buf_failed(&encoded);
        buf_release(&encoded);
    }
}

/* ---- the queue ----------------------------------------------------------- */

static size_t queued(const struct grpc_call *call) {
    return call->out.queue.len - call->out.taken;
}

static void take(struct grpc_call *call, uint8_t *to, size_t n) {
    memcpy(to, call->out.queue.ptr + call->out.taken, n);
    call->out.taken += n;
    call->conn->out_bytes -= n;
    if (queued(call) == 0) {
        buf_clear(&call->out.queue);
        call->out.taken = 0;
    }
}

/* Behind the last byte: END_STREAM, or the trailers that carry it. */
static int end_of_queue(nghttp2_session *session, struct grpc_call *call, uint32_t *flags) {
    nghttp2_nv nva[TRAILERS_MAX + 2];

    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (call->out.plain)
        return 0;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return nghttp2_submit_trailer(session, call->stream_id, nva,
                                  list_trailers(&call->out.trailers, nva));
}

static ssize_t read_queue(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *ctx) {
    struct grpc_call *call = source->ptr;
    size_t n = queued(call) < room ? queued(call) : room;

    (void)stream_id, (void)ctx;
    if (n == 0 && !call->ended) {
        call->out.deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n)
        take(call, to, n);
    if (queued(call) == 0 && call->ended && end_of_queue(session, call, flags) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return (ssize_t)n;
}

static void begin(struct grpc_call *call, const nghttp2_nv *nva, size_t count) {
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_queue};

    call->out.begun = true;
    grpc_conn_check(call->conn, nghttp2_submit_response(call->conn->session, call->stream_id, nva,
                                                        count, &provider));
}

static void resume(struct grpc_call *call) {
    if (!call->out.deferred)
        return;
    call->out.deferred = false;
    grpc_conn_check(call->conn, nghttp2_session_resume_data(call->conn->session, call->stream_id));
}

/* What was taken goes before the rest grows further. */
static void compact(struct grpc_call *call) {
    struct buf *queue = &call->out.queue;

    if (call->out.taken < queue->len / 2)
        return;
    memmove(queue->ptr, queue->ptr + call->out.taken, queued(call));
    queue->len = queued(call);
    call->out.taken = 0;
}

/* A large queue doesn't double: what is counted should be what is held. */
static void make_room(struct buf *queue, size_t bytes) {
    size_t cap = (queue->len + bytes + QUEUE_STEP - 1) / QUEUE_STEP * QUEUE_STEP;

    if (queue->len + bytes <= queue->cap || cap <= QUEUE_STEP)
        return;
    char *ptr = realloc(queue->ptr, cap);
    if (!ptr)
        return; /* buf_add() says so */
    queue->ptr = ptr;
    queue->cap = cap;
}

static void add_to_queue(struct grpc_call *call, struct slice bytes) {
    make_room(&call->out.queue, bytes.len);
    buf_add_slice(&call->out.queue, bytes);
    if (buf_failed(&call->out.queue))
        grpc_conn_check(call->conn, NGHTTP2_ERR_NOMEM);
    else
        call->conn->out_bytes += bytes.len;
}

bool grpc_response_message(struct grpc_call *call, struct slice message) {
    static const nghttp2_nv head[] = {NV(":status", "200"), NV("content-type", "application/grpc")};
    unsigned char prefix[GRPC_PREFIX_BYTES];
    size_t bytes = sizeof(prefix) + message.len;

    if ((queued(call) && queued(call) + bytes > QUEUE_MAX) ||
        call->conn->out_bytes + bytes > OUT_MAX)
        return false;
    grpc_frame_prefix(prefix, false, (uint32_t)message.len);
    if (call->out.taken)
        compact(call);
    add_to_queue(call, slice_of((const char *)prefix, sizeof(prefix)));
    add_to_queue(call, message);
    if (!call->out.begun)
        begin(call, head, ARRAY_LEN(head));
    resume(call);
    grpc_conn_touch(call->conn);
    return true;
}

/* ---- ends ---------------------------------------------------------------- */

static void trailers_only(struct grpc_call *call) {
    nghttp2_nv nva[TRAILERS_MAX + 4] = {NV(":status", "200"),
                                        NV("content-type", "application/grpc")};
    size_t count = 2 + list_trailers(&call->out.trailers, nva + 2);

    call->out.begun = true;
    grpc_conn_check(call->conn, nghttp2_submit_response(call->conn->session, call->stream_id, nva,
                                                        count, NULL));
}

void grpc_response_end(struct grpc_call *call, enum grpc_status status, struct slice message) {
    add_status(call, status, message);
    if (buf_failed(&call->out.trailers))
        grpc_conn_check(call->conn, NGHTTP2_ERR_NOMEM);
    else if (!call->out.begun)
        trailers_only(call);
    else
        resume(call);
    grpc_conn_touch(call->conn);
}

void grpc_response_http(struct grpc_call *call, const char *status, struct slice text) {
    nghttp2_nv head[] = {
        {.name = (uint8_t *)(uintptr_t) ":status",
         .value = (uint8_t *)(uintptr_t)status,
         .namelen = 7,
         .valuelen = strlen(status)},
        NV("content-type", "text/plain"),
        NV("allow", "POST"),
    };

    call->out.plain = true;
    add_to_queue(call, text);
    begin(call, head, ARRAY_LEN(head));
    grpc_conn_touch(call->conn);
}

void grpc_response_drop(struct grpc_call *call) {
    if (call->conn)
        call->conn->out_bytes -= queued(call);
    call->out.taken = 0;
    buf_clear(&call->out.queue);
    buf_clear(&call->out.trailers);
    if (call->out.queue.cap > QUEUE_KEEP)
        buf_release(&call->out.queue);
    if (call->out.trailers.cap > QUEUE_KEEP)
        buf_release(&call->out.trailers);
}
