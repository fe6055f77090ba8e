/* grpc_channel_session.c - nghttp2's callbacks for a client: from frames to exchanges.
 *
 * Every callback refuses on a connection that is closing: what was read behind the last straw isn't
 * looked at, and its exchanges may be others' by now. Legal returns are 0, or
 * NGHTTP2_ERR_CALLBACK_FAILURE when the connection is closing already.
 */
#include "edge/grpc_channel_internal.h"

#define HEADER_LIST_MAX 16384u /* announced; kept to by grpc_channel_response.c */
#define FIELDS_ABSURD   1000u  /* ten times what ends a call: cookie crumbs, CVE-2026-49975 */
#define WINDOW_SPARE    16384u /* prefix and trailers of a greatest message */
#define WINDOW_FACTOR   4u     /* so many greatest messages may be on their way at once */
#define SETTINGS_MAX    32
#define CRUMB_BYTES     64u /* a smaller DATA frame that doesn't end the response is a crumb */

/* What a frame costs that brings nothing (CVE-2019-9511 to 9518), of an allowance that fills up
 * with time and with answers. A WINDOW_UPDATE or a PING for each answer is usual. */
enum { COST_SETTINGS = 20, COST_EMPTY = 10, COST_FRAME = 1, GAIN_ANSWER = 4 };
#define NOISE_MAX   2000
#define NOISE_PER_S 200
#define THOUSANDTHS 1000

static struct grpc_exchange *exchange_of(nghttp2_session *session, int32_t stream_id) {
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static void gain(struct grpc_channel_conn *conn, int64_t thousandths) {
    int64_t max = NOISE_MAX * THOUSANDTHS;

    conn->noise = conn->noise + thousandths < max ? conn->noise + thousandths : max;
}

static void noise(struct grpc_channel_conn *conn, unsigned cost) {
    int64_t now_ms = loop_now_ms(conn->channel->loop);
    int64_t passed_ms = now_ms - conn->noise_ms;

    conn->noise_ms = now_ms;
    gain(conn, (passed_ms < 60000 ? passed_ms : 60000) * NOISE_PER_S);
    conn->noise -= (int64_t)cost * THOUSANDTHS;
    if (conn->noise < 0)
        grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, "the server sends too many useless frames");
}

static int verdict(const struct grpc_channel_conn *conn) {
    return conn->closing ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- receiving ----------------------------------------------------------- */

/* nghttp2's own list of parameters: NOLINTNEXTLINE(readability-function-size) */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx) {
    struct grpc_channel_conn *conn = ctx;
    struct grpc_exchange *ex;

    (void)flags;
    if (conn->closing)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    ex = exchange_of(session, frame->hd.stream_id);
    if (!ex)
        return 0;
    grpc_answer_field(ex, slice_of((const char *)name, name_len),
                      slice_of((const char *)value, value_len));
    if (ex->field_count > FIELDS_ABSURD)
        grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, "the server sends too many header fields");
    return verdict(conn);
}

static void on_headers(struct grpc_channel_conn *conn, struct grpc_exchange *ex,
                       const nghttp2_frame *frame) {
    if (!ex->head_done && grpc_answer_head(ex))
        noise(conn, COST_EMPTY);
    else
        gain(conn, GAIN_ANSWER * THOUSANDTHS);
    if (!conn->closing && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        grpc_answer_end(ex);
}

/* A message of a stream may be as small as it wants. */
static bool ends_message(const struct grpc_exchange *ex) {
    return ex && ex->stream && grpc_frame_between(&ex->reader);
}

static void on_data(struct grpc_channel_conn *conn, struct grpc_exchange *ex,
                    const nghttp2_frame *frame) {
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        if (ex)
            grpc_answer_end(ex);
    } else if (frame->hd.length == 0) {
        noise(conn, COST_EMPTY);
    } else if (frame->hd.length < CRUMB_BYTES && !ends_message(ex)) {
        noise(conn, COST_FRAME);
    }
}

/* The response is complete but the request isn't: nobody reads the rest of it. */
static void answered_early(nghttp2_session *session, struct grpc_channel_conn *conn,
                           int32_t stream_id) {
    if (nghttp2_session_get_stream_local_close(session, stream_id) == 0)
        grpc_conn_out_check(
            conn, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_CANCEL));
}

static void on_settings(struct grpc_channel_conn *conn, const nghttp2_frame *frame) {
    noise(conn, COST_SETTINGS);
    if (conn->closing || conn->ready || frame->hd.flags & NGHTTP2_FLAG_ACK)
        return;
    conn->ready = true;
    grpc_channel_conn_is_ready(conn);
}

/* gRFC A8: the words a server says to a client whose keepalive it minds. */
static bool minds_pings(const nghttp2_goaway *goaway) {
    return goaway->error_code == NGHTTP2_ENHANCE_YOUR_CALM &&
           slice_eq(slice_of((const char *)goaway->opaque_data, goaway->opaque_data_len),
                    SLICE("too_many_pings"));
}

/* nghttp2 refuses what is queued and not sent yet only when its turn comes, which may be never:
 * then it waits for a place among the server's streams. */
static void refuse_unsent(struct grpc_channel_conn *conn) {
    for (struct list *node = conn->exchanges.next; node != &conn->exchanges; node = node->next) {
        struct grpc_exchange *ex = CONTAINER_OF(node, struct grpc_exchange, node);

        if (!ex->sent)
            grpc_exchange_decide(ex, GRPC_UNAVAILABLE, SLICE("the server is going away"));
    }
}

/* The streams beyond the last one were closed as REFUSED_STREAM already. */
static void on_goaway(struct grpc_channel_conn *conn, const nghttp2_goaway *goaway) {
    struct grpc_channel *channel = conn->channel;

    noise(conn, COST_EMPTY);
    if (conn->closing)
        return;
    if (minds_pings(goaway) && !conn->going_away && channel->keepalive_ms < INT64_MAX / 2)
        channel->keepalive_ms *= 2;
    conn->going_away = true;
    refuse_unsent(conn);
    grpc_channel_conn_is_over(conn, goaway->error_code == NGHTTP2_NO_ERROR
                                        ? "the server is going away"
                                        : nghttp2_http2_strerror(goaway->error_code));
    grpc_conn_out_touch(conn);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct grpc_channel_conn *conn = ctx;
    struct grpc_exchange *ex;

    if (conn->closing)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    ex = exchange_of(session, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (ex)
            on_headers(conn, ex, frame);
        break;
    case NGHTTP2_DATA:
        on_data(conn, ex, frame);
        break;
    case NGHTTP2_SETTINGS:
        on_settings(conn, frame);
        break;
    case NGHTTP2_GOAWAY:
        on_goaway(conn, &frame->goaway);
        break;
    case NGHTTP2_RST_STREAM:
        break;
    default:
        noise(conn, COST_FRAME);
        break;
    }
    if (!conn->closing && ex && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
        answered_early(session, conn, frame->hd.stream_id);
    return verdict(conn);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *bytes, size_t len, void *ctx) {
    struct grpc_channel_conn *conn = ctx;
    struct grpc_exchange *ex;

    (void)flags;
    if (conn->closing)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    ex = exchange_of(session, stream_id);
    if (ex)
        grpc_answer_data(ex, slice_of((const char *)bytes, len));
    return verdict(conn);
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *ctx) {
    struct grpc_channel_conn *conn = ctx;

    (void)session, (void)frame, (void)error;
    if (!conn->closing)
        noise(conn, COST_EMPTY);
    return verdict(conn);
}

/* ---- sending, and the end of a stream ------------------------------------ */

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct grpc_channel_conn *conn = ctx;
    struct grpc_exchange *ex;

    if (conn->closing)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    ex = frame->hd.type == NGHTTP2_HEADERS ? exchange_of(session, frame->hd.stream_id) : NULL;
    if (ex)
        ex->sent = true;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *ctx) {
    struct grpc_channel_conn *conn = ctx;
    struct grpc_exchange *ex;

    if (conn->closing)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    ex = exchange_of(session, stream_id);
    if (!ex)
        return 0;
    grpc_answer_reset(ex, code); /* unless it has ended well */
    (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    grpc_exchange_stream_gone(ex);
    grpc_conn_out_touch(conn); /* it may be over now */
    return 0;
}

/* ---- setting up ---------------------------------------------------------- */

nghttp2_session_callbacks *grpc_session_out_callbacks(void) {
    nghttp2_session_callbacks *cbs = NULL;

    if (nghttp2_session_callbacks_new(&cbs) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cbs, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
    return cbs;
}

nghttp2_option *grpc_session_out_option(void) {
    nghttp2_option *option = NULL;

    if (nghttp2_option_new(&option) != 0)
        return NULL;
    nghttp2_option_set_max_settings(option, SETTINGS_MAX); /* CVE-2020-11080 */
    return option;
}

/* A greatest message fits into a stream's window, so that no answer waits for a round trip. */
static uint32_t window_bytes(const struct grpc_channel *channel, size_t factor) {
    size_t bytes = (channel->conf.message_bytes_max + WINDOW_SPARE) * factor;
    size_t most = INT32_MAX; /* RFC 9113 6.9.1 */

    if (bytes < NGHTTP2_INITIAL_WINDOW_SIZE)
        return NGHTTP2_INITIAL_WINDOW_SIZE;
    return (uint32_t)(bytes < most ? bytes : most);
}

nghttp2_session *grpc_session_out_new(struct grpc_channel_conn *conn) {
    struct grpc_channel *channel = conn->channel;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window_bytes(channel, 1)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX},
    };
    nghttp2_session *session = NULL;

    conn->noise_ms = loop_now_ms(channel->loop);
    conn->noise = NOISE_MAX * THOUSANDTHS;
    if (nghttp2_session_client_new3(&session, channel->callbacks, conn, channel->option,
                                    &channel->memory.mem) != 0)
        return NULL;
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0 ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)window_bytes(channel, WINDOW_FACTOR)) != 0) {
        nghttp2_session_del(session);
        return NULL;
    }
    return session;
}
