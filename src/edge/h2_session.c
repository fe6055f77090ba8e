/* h2_session.c - nghttp2's callbacks: from frames to streams.
 *
 * Every callback does nothing on a connection that is ending: the rest of what
 * was read together with the last straw isn't looked at. Legal returns are 0,
 * or for a header NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE (the stream is reset);
 * NGHTTP2_ERR_CALLBACK_FAILURE only when the connection is closing already.
 */
#include "edge/h2_internal.h"

#define HEADERS_ABSURD    1000u /* ten times what is refused: cookie crumbs, CVE-2026-49975 */
#define STREAM_WINDOW     (1 << 20)
#define CONNECTION_WINDOW (4 << 20)
#define CRUMB_BYTES       64u /* a smaller DATA frame that doesn't end the request is a crumb */
#define SETTINGS_MAX      32
#define FIELD_OVERHEAD    32u /* RFC 9113 6.5.2 */

enum { COST_SETTINGS = 20, COST_EMPTY = 10, COST_FRAME = 1, COST_OVERSIZE = 40 };

const uint8_t h2_drain_ping[8] = {'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'};

static struct h2_stream *stream_of(nghttp2_session *session, int32_t stream_id) {
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static void noise(struct h2 *h2, unsigned cost) {
    if (!h2_police_noise(&h2->police, conn_now_ms(h2->conn), cost))
        h2_flood(h2, "too many frames without use");
}

static void reset(struct h2 *h2) {
    if (!h2_police_reset(&h2->police, conn_now_ms(h2->conn)))
        h2_flood(h2, "too many streams reset");
}

static bool ignored(const struct h2 *h2, int *out_result) {
    *out_result = h2->conn->state == CONN_CLOSING ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    return h2->conn->state != CONN_OPEN;
}

/* ---- receiving ----------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct h2 *h2 = ctx;
    struct h2_server *server = h2->server;
    struct h2_stream *stream = NULL;
    int result;

    if (ignored(h2, &result))
        return result;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    /* A reset frees the stream's place but not yet its user's work (rapid reset). */
    if (h2->orphans < server->conf.streams_max)
        stream = server->user->begin(h2, server->ctx);
    if (!stream) {
        h2_check(h2, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                               NGHTTP2_REFUSED_STREAM));
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    stream->id = frame->hd.stream_id;
    return nghttp2_session_set_stream_user_data(session, stream->id, stream);
}

/* nghttp2's own list of parameters: NOLINTNEXTLINE(readability-function-size) */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx) {
    struct h2 *h2 = ctx;
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    int result;

    (void)flags;
    if (ignored(h2, &result))
        return result;
    if (!stream)
        return 0;
    stream->field_count++;
    stream->field_bytes += name_len + value_len + FIELD_OVERHEAD;
    h2->server->user->field(stream, slice_of((const char *)name, name_len),
                            slice_of((const char *)value, value_len));
    if (stream->field_count > HEADERS_ABSURD) {
        h2_flood(h2, "too many header fields");
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

/* nghttp2 would drop the field in silence; to do without an Idempotency-Key, say, is no repair of a
 * malformed one (RFC 9113 8.2.1: the request is malformed, and the stream reset).
 * nghttp2's own list of parameters: NOLINTNEXTLINE(readability-function-size) */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *ctx) {
    (void)session, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len;
    (void)flags, (void)ctx;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void on_end(struct h2 *h2, struct h2_stream *stream) {
    stream->half_closed = true;
    h2->server->user->end(stream);
}

static void on_headers(struct h2 *h2, struct h2_stream *stream, const nghttp2_frame *frame) {
    bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    bool oversize = stream->field_bytes > h2->server->conf.header_list_bytes;

    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream->head_done = true;
        h2->server->user->head(stream, !last);
    }
    if (last)
        on_end(h2, stream);
    /* The peer was told (SETTINGS_MAX_HEADER_LIST_SIZE): decoding what is refused costs only us. */
    if (oversize)
        noise(h2, COST_OVERSIZE);
}

static void on_data_end(struct h2 *h2, struct h2_stream *stream, const nghttp2_frame *frame) {
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        if (stream)
            on_end(h2, stream);
    } else if (frame->hd.length == 0) {
        noise(h2, COST_EMPTY);
    } else if (frame->hd.length < CRUMB_BYTES) {
        noise(h2, COST_FRAME);
    }
}

static void on_ping(struct h2 *h2, const nghttp2_ping *ping) {
    if (!(ping->hd.flags & NGHTTP2_FLAG_ACK)) {
        if (!h2_police_ping(&h2->police, conn_now_ms(h2->conn), h2->server->conf.ping_min_ms))
            h2_flood(h2, "too_many_pings"); /* the words clients look for, gRFC A8 */
    } else if (memcmp(ping->opaque_data, h2_drain_ping, sizeof(h2_drain_ping)) == 0) {
        h2_drain_ponged(h2);
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct h2 *h2 = ctx;
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    int result;

    if (ignored(h2, &result))
        return result;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (stream)
            on_headers(h2, stream, frame);
        break;
    case NGHTTP2_DATA:
        on_data_end(h2, stream, frame);
        break;
    case NGHTTP2_PING:
        on_ping(h2, &frame->ping);
        break;
    case NGHTTP2_SETTINGS:
        noise(h2, COST_SETTINGS);
        break;
    case NGHTTP2_RST_STREAM:
        if (stream)
            stream->half_closed = true;
        reset(h2);
        break;
    default:
        noise(h2, COST_FRAME);
        break;
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *bytes, size_t len, void *ctx) {
    struct h2 *h2 = ctx;
    struct h2_stream *stream = stream_of(session, stream_id);
    int result;

    (void)flags;
    if (ignored(h2, &result))
        return result;
    if (stream)
        h2->server->user->data(stream, slice_of((const char *)bytes, len));
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *ctx) {
    struct h2 *h2 = ctx;
    int result;

    (void)session, (void)frame, (void)error;
    if (!ignored(h2, &result))
        noise(h2, COST_EMPTY);
    return result;
}

/* ---- sending ------------------------------------------------------------- */

/* The answer is complete but the request isn't: tell the client not to go on (RFC 9113 8.1). */
static void answered_early(nghttp2_session *session, struct h2 *h2, int32_t stream_id) {
    if (nghttp2_session_get_stream_remote_close(session, stream_id) == 0)
        h2_check(
            h2, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_NO_ERROR));
}

/* nghttp2 sends a PING before what was submitted before it: the round trip that makes sure that the
 * client has seen the first GOAWAY of a drain begins only behind that. */
static void on_goaway_sent(nghttp2_session *session, struct h2 *h2, const nghttp2_goaway *goaway) {
    if (goaway->error_code != NGHTTP2_NO_ERROR) {
        h2->terminated = true;
        conn_blame(h2->conn, "a connection error of HTTP/2");
    } else if (h2->drain == H2_DRAIN_NOTICED) {
        h2_check(h2, nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, h2_drain_ping));
    }
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct h2 *h2 = ctx;

    if (h2->conn->state == CONN_CLOSING)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
        h2_police_useful(&h2->police);
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            answered_early(session, h2, frame->hd.stream_id);
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        on_goaway_sent(session, h2, &frame->goaway);
    } else if (frame->hd.type == NGHTTP2_RST_STREAM &&
               frame->rst_stream.error_code != NGHTTP2_NO_ERROR && h2->conn->state == CONN_OPEN) {
        reset(h2);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *ctx) {
    struct h2 *h2 = ctx;
    struct h2_stream *stream = stream_of(session, stream_id);

    (void)error_code;
    if (h2->conn->state == CONN_CLOSING)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (stream) {
        h2_scan_closed(&h2->scan, stream_id, stream->half_closed);
        (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        h2_stream_closed(stream);
    }
    return 0;
}

/* ---- setting up ---------------------------------------------------------- */

nghttp2_session_callbacks *h2_session_callbacks(void) {
    nghttp2_session_callbacks *cbs = NULL;

    if (nghttp2_session_callbacks_new(&cbs) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cbs, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cbs, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
    return cbs;
}

nghttp2_option *h2_session_option(void) {
    nghttp2_option *option = NULL;

    if (nghttp2_option_new(&option) != 0)
        return NULL;
    /* It would keep as many as may be open; h2_scan.c remembers their numbers. */
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_settings(option, SETTINGS_MAX); /* CVE-2020-11080 */
    return option;
}

nghttp2_session *h2_session_new(struct h2 *h2) {
    struct h2_server *server = h2->server;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, server->conf.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, server->conf.header_list_bytes},
    };
    nghttp2_session *session = NULL;

    if (nghttp2_session_server_new3(&session, server->callbacks, h2, server->option,
                                    &server->memory.mem) != 0)
        return NULL;
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0 ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) !=
            0) {
        nghttp2_session_del(session);
        return NULL;
    }
    return session;
}
