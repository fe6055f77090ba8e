/* grpc_session.c - nghttp2's callbacks: from frames to calls.
 *
 * Every callback does nothing on a connection that is ending: the rest of what
 * was read together with the last straw isn't looked at. Legal returns are 0,
 * or for a header NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE (the stream is reset);
 * NGHTTP2_ERR_CALLBACK_FAILURE only when the connection is closing already.
 */
#include "edge/grpc_internal.h"

#define HEADER_LIST_MAX   16384u /* as announced; gRPC's custom is 8 KiB */
#define HEADERS_ABSURD    1000u  /* ten times what is refused: cookie crumbs, CVE-2026-49975 */
#define STREAM_WINDOW     (1 << 20)
#define CONNECTION_WINDOW (4 << 20)
#define CRUMB_BYTES       64u /* a smaller DATA frame that doesn't end the request is a crumb */
#define SETTINGS_MAX      32

enum { COST_SETTINGS = 20, COST_EMPTY = 10, COST_FRAME = 1 };

const uint8_t grpc_drain_ping[8] = {'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'};

static int64_t now(const struct grpc_conn *conn) {
    return loop_now_ms(conn->server->loop);
}

static struct grpc_call *call_of(nghttp2_session *session, int32_t stream_id) {
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static void noise(struct grpc_conn *conn, unsigned cost) {
    if (!grpc_police_noise(&conn->police, now(conn), cost))
        grpc_conn_flood(conn, "too many frames without use");
}

static void reset(struct grpc_conn *conn) {
    if (!grpc_police_reset(&conn->police, now(conn)))
        grpc_conn_flood(conn, "too many streams reset");
}

static bool ignored(const struct grpc_conn *conn, int *out_result) {
    *out_result = conn->state == GRPC_CONN_CLOSING ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    return conn->state != GRPC_CONN_OPEN;
}

/* ---- receiving ----------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct grpc_conn *conn = ctx;
    struct grpc_call *call = NULL;
    int result;

    if (ignored(conn, &result))
        return result;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    /* A reset frees the stream's place but not yet the handler's work (rapid reset). */
    if (conn->orphans < conn->server->conf.streams_max)
        call = grpc_call_take(conn, frame->hd.stream_id);
    if (!call) {
        grpc_conn_check(conn,
                        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                                  NGHTTP2_REFUSED_STREAM));
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
}

/* nghttp2's own list of parameters: NOLINTNEXTLINE(readability-function-size) */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx) {
    struct grpc_conn *conn = ctx;
    struct grpc_call *call = call_of(session, frame->hd.stream_id);
    int result;

    (void)flags;
    if (ignored(conn, &result))
        return result;
    if (!call)
        return 0;
    grpc_request_field(call, slice_of((const char *)name, name_len),
                       slice_of((const char *)value, value_len));
    if (call->in.field_count > HEADERS_ABSURD) {
        grpc_conn_flood(conn, "too many header fields");
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static void on_headers(struct grpc_call *call, const nghttp2_frame *frame) {
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        grpc_request_head(call);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        grpc_request_half_closed(call);
}

static void on_data_end(struct grpc_conn *conn, struct grpc_call *call,
                        const nghttp2_frame *frame) {
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        if (call)
            grpc_request_half_closed(call);
    } else if (frame->hd.length == 0) {
        noise(conn, COST_EMPTY);
    } else if (frame->hd.length < CRUMB_BYTES) {
        noise(conn, COST_FRAME);
    }
}

static void on_ping(struct grpc_conn *conn, const nghttp2_ping *ping) {
    if (!(ping->hd.flags & NGHTTP2_FLAG_ACK)) {
        if (!grpc_police_ping(&conn->police, now(conn), conn->server->conf.keepalive_min_ms))
            grpc_conn_flood(conn, "too_many_pings"); /* the words clients look for, gRFC A8 */
    } else if (memcmp(ping->opaque_data, grpc_drain_ping, sizeof(grpc_drain_ping)) == 0) {
        grpc_conn_drain_ponged(conn);
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct grpc_conn *conn = ctx;
    struct grpc_call *call = call_of(session, frame->hd.stream_id);
    int result;

    if (ignored(conn, &result))
        return result;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (call)
            on_headers(call, frame);
        break;
    case NGHTTP2_DATA:
        on_data_end(conn, call, frame);
        break;
    case NGHTTP2_PING:
        on_ping(conn, &frame->ping);
        break;
    case NGHTTP2_SETTINGS:
        noise(conn, COST_SETTINGS);
        break;
    case NGHTTP2_RST_STREAM:
        if (call)
            call->in.half_closed = true;
        reset(conn);
        break;
    default:
        noise(conn, COST_FRAME);
        break;
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *bytes, size_t len, void *ctx) {
    struct grpc_conn *conn = ctx;
    struct grpc_call *call = call_of(session, stream_id);
    int result;

    (void)flags;
    if (ignored(conn, &result))
        return result;
    if (call)
        grpc_request_data(call, slice_of((const char *)bytes, len));
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *ctx) {
    struct grpc_conn *conn = ctx;
    int result;

    (void)session, (void)frame, (void)error;
    if (!ignored(conn, &result))
        noise(conn, COST_EMPTY);
    return result;
}

/* ---- sending ------------------------------------------------------------- */

/* The answer is complete but the request isn't: tell the client not to go on (RFC 9113 8.1). */
static void answered_early(nghttp2_session *session, struct grpc_conn *conn, int32_t stream_id) {
    if (nghttp2_session_get_stream_remote_close(session, stream_id) == 0)
        grpc_conn_check(conn, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id,
                                                        NGHTTP2_NO_ERROR));
}

/* nghttp2 sends a PING before what was submitted before it: the round trip that makes sure that the
 * client has seen the first GOAWAY of a drain begins only behind that. */
static void on_goaway_sent(nghttp2_session *session, struct grpc_conn *conn,
                           const nghttp2_goaway *goaway) {
    if (goaway->error_code != NGHTTP2_NO_ERROR)
        conn->terminated = true;
    else if (conn->drain == GRPC_DRAIN_NOTICED)
        grpc_conn_check(conn, nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, grpc_drain_ping));
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct grpc_conn *conn = ctx;

    if (conn->state == GRPC_CONN_CLOSING)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
        grpc_police_useful(&conn->police);
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            answered_early(session, conn, frame->hd.stream_id);
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        on_goaway_sent(session, conn, &frame->goaway);
    } else if (frame->hd.type == NGHTTP2_RST_STREAM &&
               frame->rst_stream.error_code != NGHTTP2_NO_ERROR && conn->state == GRPC_CONN_OPEN) {
        reset(conn);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *ctx) {
    struct grpc_conn *conn = ctx;
    struct grpc_call *call = call_of(session, stream_id);

    (void)error_code;
    if (conn->state == GRPC_CONN_CLOSING)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (call) {
        grpc_scan_closed(&conn->scan, stream_id, call->in.half_closed);
        (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        grpc_call_stream_gone(call);
    }
    return 0;
}

/* ---- setting up ---------------------------------------------------------- */

nghttp2_session_callbacks *grpc_session_callbacks(void) {
    nghttp2_session_callbacks *cbs = NULL;

    if (nghttp2_session_callbacks_new(&cbs) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cbs, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
    return cbs;
}

nghttp2_option *grpc_session_option(void) {
    nghttp2_option *option = NULL;

    if (nghttp2_option_new(&option) != 0)
        return NULL;
    /* It would keep as many as may be open; grpc_scan.c remembers their numbers. */
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_settings(option, SETTINGS_MAX); /* CVE-2020-11080 */
    return option;
}

nghttp2_session *grpc_session_new(struct grpc_conn *conn) {
    struct grpc_server *server = conn->server;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, server->conf.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX},
    };
    nghttp2_session *session = NULL;

    if (nghttp2_session_server_new2(&session, server->callbacks, conn, server->option) != 0)
        return NULL;
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0 ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) !=
            0) {
        nghttp2_session_del(session);
        return NULL;
    }
    return session;
}
