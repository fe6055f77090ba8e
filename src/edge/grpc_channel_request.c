/* grpc_channel_request.c - a call's request, and the life of what carries it. */
#include <stdlib.h>

#include "edge/grpc_channel_internal.h"
#include "wire/grpc_text.h"
#include "wire/trace_context.h"

#define SPARES_MAX 1024u
#define OWN_FIELDS 8u          /* of a request, beside its time-out and trace */
#define BUF_KEEP   (16u << 10) /* a recycled exchange keeps no more than this of each buffer */

/* ---- recycling ----------------------------------------------------------- */

void grpc_exchange_free(struct grpc_exchange *ex) {
    buf_release(&ex->head);
    buf_release(&ex->request);
    buf_release(&ex->response);
    buf_release(&ex->message);
    buf_release(&ex->error);
    free(ex);
}

static struct grpc_exchange *unused(struct grpc_channel *channel) {
    struct list *node = list_pop_front(&channel->spare);
    struct grpc_exchange *ex = node ? CONTAINER_OF(node, struct grpc_exchange, node) : NULL;

    if (ex)
        channel->spares--;
    else
        ex = calloc(1, sizeof(*ex));
    return ex;
}

static struct buf emptied(struct buf buf) {
    if (buf.cap > BUF_KEEP)
        buf_release(&buf);
    buf_clear(&buf);
    return buf;
}

/* To the spares, or freed. */
static void recycle(struct grpc_exchange *ex) {
    struct grpc_channel *channel = ex->channel;

    if (channel->spares >= SPARES_MAX) {
        grpc_exchange_free(ex);
        return;
    }
    *ex = (struct grpc_exchange){
        .head = emptied(ex->head),
        .request = emptied(ex->request),
        .response = emptied(ex->response),
        .message = emptied(ex->message),
        .error = emptied(ex->error),
    };
    list_push_back(&channel->spare, &ex->node);
    channel->spares++;
}

/* ---- the request --------------------------------------------------------- */

void grpc_exchange_frame(struct buf *out, struct slice message) {
    unsigned char prefix[GRPC_PREFIX_BYTES];

    grpc_frame_prefix(prefix, false, (uint32_t)message.len);
    buf_reserve(out, sizeof(prefix) + message.len);
    buf_add(out, prefix, sizeof(prefix));
    buf_add_slice(out, message);
}

static void add_trace(struct grpc_exchange *ex, const struct trace_context *trace) {
    char parent[TRACEPARENT_BYTES];

    if (!trace)
        return;
    ex->traced = true;
    traceparent_write(trace, parent);
    buf_add(&ex->head, parent, sizeof(parent));
    buf_add_slice(&ex->head, trace->state);
}

static struct grpc_exchange *take(struct grpc_channel *channel, struct grpc_out_call *call,
                                  struct slice path, int64_t deadline_ms) {
    struct grpc_exchange *ex = unused(channel);

    if (!ex)
        return NULL;
    ex->channel = channel;
    ex->call = call;
    ex->deadline_ms = deadline_ms;
    ex->grpc_status = -1;
    list_init(&ex->node);
    list_init(&ex->finished);
    list_init(&ex->arrived);
    buf_add_slice(&ex->head, path);
    ex->path_len = ex->head.len;
    if (deadline_ms != INT64_MAX)
        grpc_timeout_write(&ex->head, deadline_ms - loop_now_ms(channel->loop));
    ex->timeout_len = ex->head.len - ex->path_len;
    add_trace(ex, call->trace);
    return ex;
}

static struct grpc_exchange *taken(struct grpc_exchange *ex) {
    if (buf_failed(&ex->head) || buf_failed(&ex->request)) {
        recycle(ex);
        return NULL;
    }
    ex->channel->calls++;
    return ex;
}

struct grpc_exchange *grpc_exchange_take(struct grpc_channel *channel, struct grpc_out_call *call,
                                         struct slice path, struct slice request,
                                         int64_t deadline_ms) {
    struct grpc_exchange *ex = take(channel, call, path, deadline_ms);

    if (!ex)
        return NULL;
    grpc_exchange_frame(&ex->request, request);
    return taken(ex);
}

struct grpc_exchange *grpc_exchange_take_stream(struct grpc_channel *channel,
                                                struct grpc_out_stream *stream, struct slice path) {
    struct grpc_exchange *ex = take(channel, &stream->call, path, INT64_MAX);

    if (!ex)
        return NULL;
    ex->stream = stream;
    stream->exchange = ex;
    return taken(ex);
}

static ssize_t read_request(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *ctx) {
    struct grpc_exchange *ex = source->ptr;
    size_t left = ex->request.len - ex->taken;
    size_t n = left < room ? left : room;

    bool more = ex->stream && !ex->ending;

    (void)session, (void)stream_id, (void)ctx;
    if (n == 0 && more) {
        ex->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    memcpy(to, ex->request.ptr + ex->taken, n);
    ex->taken += n;
    if (n == left && !more)
        *flags = NGHTTP2_DATA_FLAG_EOF;
    if (n == left && ex->stream) {
        buf_clear(&ex->request);
        ex->taken = 0;
    }
    return (ssize_t)n;
}

/* Nothing is copied: names are ours, values live until the stream is gone. */
static nghttp2_nv field(const char *name, struct slice value) {
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value.ptr,
        .namelen = strlen(name),
        .valuelen = value.len,
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
    };
}

/* Never the same again: it would only push out of HPACK's table what is. */
static size_t trace_fields(nghttp2_nv *to, struct slice trace) {
    struct slice state = slice_skip(trace, TRACEPARENT_BYTES);

    to[0] = field(TRACEPARENT, slice_of(trace.ptr, TRACEPARENT_BYTES));
    to[0].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    if (state.len == 0)
        return 1;
    to[1] = field(TRACESTATE, state);
    to[1].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    return 2;
}

static int32_t submit(struct grpc_exchange *ex, struct grpc_channel_conn *conn) {
    nghttp2_data_provider provider = {.source.ptr = ex, .read_callback = read_request};
    struct slice path = slice_of(ex->head.ptr, ex->path_len);
    struct slice timeout = slice_of(ex->head.ptr + ex->path_len, ex->timeout_len);
    size_t count = OWN_FIELDS;
    nghttp2_nv fields[OWN_FIELDS + 3] = {
        field(":method", SLICE("POST")),
        field(":scheme", conn->channel->conf.tls ? SLICE("https") : SLICE("http")),
        field(":path", path),
        field(":authority", conn->channel->conf.address),
        field("te", SLICE("trailers")),
        field("content-type", SLICE("application/grpc")),
        field("grpc-accept-encoding", SLICE("identity")),
        field("user-agent", SLICE("grpc-c-highgopress/" HGP_VERSION)),
    };

    if (timeout.len)
        fields[count++] = field("grpc-timeout", timeout);
    if (ex->traced)
        count += trace_fields(fields + count,
                              slice_skip(buf_slice(&ex->head), ex->path_len + ex->timeout_len));
    return nghttp2_submit_request(conn->session, NULL, fields, count, &provider, ex);
}

enum err grpc_exchange_begin(struct grpc_exchange *ex, struct grpc_channel_conn *conn) {
    int32_t stream_id = submit(ex, conn);

    if (stream_id < 0) {
        ex->channel->calls--;
        recycle(ex);
        return stream_id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? ERR_UNREACHABLE : ERR_NO_MEMORY;
    }
    ex->stream_id = stream_id;
    ex->conn = conn;
    list_push_back(&conn->exchanges, &ex->node);
    conn->exchange_count++;
    grpc_conn_out_expect(conn);
    grpc_conn_out_wake(conn, ex->deadline_ms);
    grpc_conn_out_touch(conn);
    return ERR_OK;
}

/* ---- the outcome --------------------------------------------------------- */

void grpc_exchange_decide(struct grpc_exchange *ex, enum grpc_status status, struct slice message) {
    if (ex->decided)
        return;
    ex->decided = true;
    ex->outcome = status;
    ex->not_processed = ex->not_processed || (status != GRPC_OK && !ex->sent);
    if (message.ptr != ex->message.ptr) {
        buf_clear(&ex->message);
        buf_add_slice(&ex->message, message);
    }
    list_push_back(&ex->channel->finished, &ex->finished);
}

void grpc_exchange_abort(struct grpc_exchange *ex, enum grpc_status status, struct slice message) {
    struct grpc_channel_conn *conn = ex->conn;

    grpc_exchange_decide(ex, status, message);
    grpc_conn_out_check(conn, nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE,
                                                        ex->stream_id, NGHTTP2_CANCEL));
    grpc_conn_out_touch(conn);
}

void grpc_exchange_stream_gone(struct grpc_exchange *ex) {
    struct grpc_channel_conn *conn = ex->conn;

    list_remove(&ex->node);
    conn->exchange_count--;
    conn->held_bytes -= ex->response.len;
    ex->conn = NULL;
    if (!ex->call)
        recycle(ex);
}

void grpc_exchange_hand_over(struct grpc_exchange *ex) {
    struct grpc_out_call *call = ex->call;
    struct grpc_result result = {
        .status = ex->outcome,
        .message = buf_slice(&ex->message),
        .error = buf_slice(&ex->error),
        .pushback = ex->pushback,
        .not_applied = ex->not_applied,
        .not_processed = ex->not_processed,
    };

    if (ex->outcome == GRPC_OK && !ex->stream)
        result.response = slice_of(ex->response.ptr ? ex->response.ptr : "", ex->response.len);
    ex->channel->calls--;
    call->done(call, &result);
    ex->call = NULL;
    if (!ex->conn)
        recycle(ex);
}
