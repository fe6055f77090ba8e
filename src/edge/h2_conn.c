/* h2_conn.c - one HTTP/2 connection: reading, deadlines, ending.
 *
 * A flood ends it: conn.h's FINISHING, in which it reads nothing and writes its
 * last GOAWAY. A drain (GOAWAY, round trip, GOAWAY) happens in OPEN, which it
 * leaves when the last stream is written.
 */
#include <stdlib.h>

#include "edge/conn_set.h"
#include "edge/h2_internal.h"

#define ROUND_TRIP_MS   2000         /* a drain waits so long for the peer's PING */
#define OUT_GATHER      (256u << 10) /* of one send */
#define READ_BEHIND_MAX (64u << 10)  /* a peer that doesn't read isn't read from for long */

static struct h2 *of(const struct conn *conn) {
    return conn->self;
}

static int64_t now(const struct h2 *h2) {
    return conn_now_ms(h2->conn);
}

void h2_fail(struct h2 *h2) {
    h2->conn->out.failed = true;
    conn_touch(h2->conn);
}

void h2_check(struct h2 *h2, int result) {
    if (nghttp2_is_fatal(result))
        h2_fail(h2);
}

struct conn *h2_conn_of(const struct h2 *h2) {
    return h2->conn;
}

size_t h2_held(const struct h2 *h2) {
    return h2->in_bytes + h2->out_bytes;
}

/* ---- ending -------------------------------------------------------------- */

static void on_drop(struct conn *conn) {
    struct h2 *h2 = of(conn);
    struct list *node;

    while ((node = list_pop_front(&h2->streams)))
        h2_stream_conn_gone(CONTAINER_OF(node, struct h2_stream, node));
    h2->open_streams = h2->orphans = h2->in_bytes = h2->out_bytes = 0;
}

static void on_release(struct conn *conn) {
    struct h2 *h2 = of(conn);

    nghttp2_session_del(h2->session);
    free(h2);
}

/* By hand: after a fatal error nghttp2 writes nothing more (RFC 9113 6.8). */
static void add_goaway(struct h2 *h2, const char *why) {
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
    size_t why_len = strlen(why);
    unsigned char frame[17] = {0,
                               0,
                               (unsigned char)(8 + why_len),
                               NGHTTP2_GOAWAY,
                               0,
                               0,
                               0,
                               0,
                               0,
                               (unsigned char)(last >> 24),
                               (unsigned char)(last >> 16),
                               (unsigned char)(last >> 8),
                               (unsigned char)last,
                               0,
                               0,
                               0,
                               NGHTTP2_ENHANCE_YOUR_CALM};

    buf_add(&h2->conn->out, frame, sizeof(frame));
    buf_add(&h2->conn->out, why, why_len);
}

void h2_flood(struct h2 *h2, const char *why) {
    if (h2->conn->state != CONN_OPEN)
        return;
    conn_stat_add(h2->server->floods, 1);
    conn_blame(h2->conn, why);
    h2->conn->state = CONN_FINISHING;
    add_goaway(h2, why);
    conn_touch(h2->conn);
}

static void on_drain(struct conn *conn) {
    struct h2 *h2 = of(conn);

    if (conn->state != CONN_OPEN || h2->drain != H2_DRAIN_NONE)
        return;
    h2->drain = H2_DRAIN_NOTICED;
    h2_check(h2, nghttp2_submit_shutdown_notice(h2->session));
    h2->drain_ms = now(h2) + ROUND_TRIP_MS;
    conn_wake(conn, h2->drain_ms);
    conn_touch(conn);
}

/* A user that is told may be done with any other stream of its: none is looked at twice, and none
 * that has gone. */
static void each_stream(struct h2 *h2, void (*visit)(struct h2 *h2, struct h2_stream *stream)) {
    struct list rest;
    struct list *node;

    list_init(&rest);
    while ((node = list_pop_front(&h2->streams)))
        list_push_back(&rest, node);
    while ((node = list_pop_front(&rest))) {
        list_push_back(&h2->streams, node);
        if (h2->conn->state == CONN_OPEN)
            visit(h2, CONTAINER_OF(node, struct h2_stream, node));
    }
    if (h2->conn->state == CONN_CLOSING)
        on_drop(h2->conn);
}

static void end_lasting(struct h2 *h2, struct h2_stream *stream) {
    if (h2->server->user->draining)
        h2->server->user->draining(stream);
}

static void drain_finally(struct h2 *h2) {
    h2->drain = H2_DRAIN_FINAL;
    h2_check(h2, nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                       nghttp2_session_get_last_proc_stream_id(h2->session),
                                       NGHTTP2_NO_ERROR, NULL, 0));
    each_stream(h2, end_lasting);
    conn_touch(h2->conn);
}

void h2_drain_ponged(struct h2 *h2) {
    if (h2->drain == H2_DRAIN_NOTICED)
        drain_finally(h2);
}

/* ---- reading ------------------------------------------------------------- */

static void end_incomplete(struct h2 *h2, struct h2_stream *stream) {
    const struct h2_user *user = h2->server->user;

    if (!stream->half_closed || (user->lasting && user->lasting(stream)))
        h2_reset(stream, NGHTTP2_NO_ERROR);
}

/* Nobody who speaks HTTP/2 half-closes TCP: what is complete is answered, the rest can't end. */
static void on_peer_closed(struct conn *conn) {
    each_stream(of(conn), end_incomplete);
    conn_touch(conn);
}

static void on_fatal(struct h2 *h2, ssize_t error) {
    if (h2->conn->state == CONN_CLOSING)
        return;
    if (error == NGHTTP2_ERR_NOMEM || error == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        conn_abort(h2->conn);
    else
        h2_flood(h2, "flood"); /* CONTINUATION, or too many acknowledgements unsent */
}

static void receive(struct h2 *h2, struct slice bytes) {
    while (bytes.len && h2->conn->state == CONN_OPEN) {
        size_t n = h2_scan_next(h2, bytes);
        ssize_t used = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, n);

        if (used < 0) {
            on_fatal(h2, used);
            return;
        }
        bytes = slice_skip(bytes, n);
    }
}

static void on_read(struct conn *conn, struct slice bytes) {
    struct h2 *h2 = of(conn);

    h2->read_ms = now(h2);
    h2->probed = false;
    receive(h2, bytes);
    if (conn->state == CONN_CLOSING)
        return;
    if (conn->send_busy) {
        h2->read_behind += bytes.len;
        if (h2->read_behind > READ_BEHIND_MAX)
            conn_pause(conn, true);
    }
    conn_touch(conn);
}

/* ---- writing ------------------------------------------------------------- */

/* Frames of this tick, up to one send's worth. */
static bool on_gather(struct conn *conn) {
    struct h2 *h2 = of(conn);

    if (conn->send_busy)
        return true;
    h2->read_behind = 0;
    conn_pause(conn, false);
    while (conn->state == CONN_OPEN && conn->out.len < OUT_GATHER) {
        const uint8_t *frame;
        ssize_t len = nghttp2_session_mem_send(h2->session, &frame);

        if (len < 0)
            conn->out.failed = true;
        if (len <= 0)
            return false;
        buf_add(&conn->out, frame, (size_t)len);
    }
    return conn->state == CONN_OPEN;
}

/* Nobody answers any more; what waits for a window gets none behind the peer's FIN. */
static bool nothing_comes(const struct h2 *h2) {
    for (struct list *node = h2->streams.next; node != &h2->streams; node = node->next) {
        const struct h2_stream *stream = CONTAINER_OF(node, struct h2_stream, node);

        if (!stream->gone && !stream->decided)
            return false;
    }
    return true;
}

/* Nothing will be read or written any more. */
static bool is_over(const struct h2 *h2) {
    if (h2->conn->state == CONN_FINISHING)
        return true;
    if (nghttp2_session_want_write(h2->session))
        return false;
    if (h2->open_streams == 0 && h2->drain == H2_DRAIN_FINAL)
        return true;
    if (h2->conn->peer_closed && nothing_comes(h2))
        return true;
    /* Without streams nghttp2 takes the first of our two GOAWAYs for the last word. */
    return h2->terminated ||
           (h2->drain == H2_DRAIN_NONE && !nghttp2_session_want_read(h2->session));
}

static void on_settle(struct conn *conn) {
    struct h2 *h2 = of(conn);

    if (conn->send_busy) {
        conn_wake(conn, conn_send_due_ms(conn, h2->server->conf.write_ms));
        return;
    }
    if (list_empty(&h2->streams))
        conn_trim(conn);
    if (is_over(h2))
        conn_linger(conn);
}

/* ---- running out of time ------------------------------------------------- */

static void look(struct h2 *h2, struct h2_stream *stream) {
    if (now(h2) >= stream->out.due_ms)
        h2_out_overdue(stream);
    else
        h2->server->user->due(stream, now(h2));
}

/* A peer that says nothing while it has streams open may have lost its network: ask, once. */
static void probe(struct h2 *h2) {
    if (h2->probed) {
        conn_abort(h2->conn);
        return;
    }
    h2->probed = true;
    h2->read_ms = now(h2);
    h2_check(h2, nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL));
    conn_touch(h2->conn);
}

static void look_around(struct h2 *h2, int64_t now_ms) {
    int64_t idle_ms = h2->server->conf.idle_ms;

    each_stream(h2, look);
    if (h2->conn->state != CONN_OPEN)
        return;
    if (h2->drain == H2_DRAIN_NOTICED && now_ms >= h2->drain_ms)
        drain_finally(h2);
    else if (list_empty(&h2->streams) && now_ms >= h2->idle_since_ms + idle_ms)
        on_drain(h2->conn);
    else if (!list_empty(&h2->streams) && now_ms >= h2->read_ms + idle_ms)
        probe(h2);
}

static void earlier(int64_t *due_ms, int64_t at_ms) {
    if (at_ms < *due_ms)
        *due_ms = at_ms;
}

static int64_t send_due(const struct h2 *h2) {
    return h2->conn->send_busy ? conn_send_due_ms(h2->conn, h2->server->conf.write_ms) : INT64_MAX;
}

static int64_t next_due(const struct h2 *h2) {
    int64_t idle_ms = h2->server->conf.idle_ms;
    int64_t due_ms = INT64_MAX;

    if (h2->conn->state != CONN_OPEN) /* only the last bytes are waited for */
        return send_due(h2);
    for (struct list *node = h2->streams.next; node != &h2->streams; node = node->next) {
        const struct h2_stream *stream = CONTAINER_OF(node, struct h2_stream, node);

        earlier(&due_ms, stream->deadline_ms);
        earlier(&due_ms, stream->out.due_ms);
    }
    earlier(&due_ms, send_due(h2));
    if (h2->drain == H2_DRAIN_NOTICED)
        earlier(&due_ms, h2->drain_ms);
    else if (!list_empty(&h2->streams))
        earlier(&due_ms, h2->read_ms + idle_ms);
    else if (h2->drain == H2_DRAIN_NONE)
        earlier(&due_ms, h2->idle_since_ms + idle_ms);
    return due_ms;
}

static int64_t on_due(struct conn *conn, int64_t now_ms) {
    struct h2 *h2 = of(conn);

    if (now_ms >= send_due(h2)) {
        conn->overdue = true;
        conn_abort(conn);
        return INT64_MAX;
    }
    if (conn->state == CONN_OPEN)
        look_around(h2, now_ms);
    return next_due(h2);
}

/* ---- beginning ----------------------------------------------------------- */

static const struct conn_protocol protocol = {
    .read = on_read,
    .peer_closed = on_peer_closed,
    .gather = on_gather,
    .settle = on_settle,
    .due = on_due,
    .drain = on_drain,
    .drop = on_drop,
    .release = on_release,
};

bool h2_open(struct h2_server *server, struct conn *conn) {
    struct h2 *h2 = calloc(1, sizeof(*h2));

    if (!h2)
        return false;
    h2->conn = conn;
    h2->server = server;
    h2->session = h2_session_new(h2);
    if (!h2->session) {
        free(h2);
        return false;
    }
    list_init(&h2->streams);
    h2->idle_since_ms = h2->read_ms = now(h2);
    h2_police_init(&h2->police, now(h2));
    h2_scan_init(&h2->scan);
    if (conn->set->conf.penalty)
        conn_note_peer(conn);
    conn_speak(conn, &protocol, h2);
    conn_wake(conn, h2->idle_since_ms + server->conf.idle_ms);
    conn_touch(conn); /* our SETTINGS */
    if (conn->set->draining)
        on_drain(conn);
    return true;
}

struct h2_server *h2_server_new(const struct h2_conf *conf, const struct h2_user *user, void *ctx,
                                _Atomic uint64_t *floods) {
    struct h2_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    *server = (struct h2_server){.conf = *conf, .user = user, .ctx = ctx, .floods = floods};
    h2_memory_init(&server->memory);
    server->callbacks = h2_session_callbacks();
    server->option = h2_session_option();
    if (server->callbacks && server->option)
        return server;
    h2_server_free(server);
    return NULL;
}

void h2_server_free(struct h2_server *server) {
    if (!server)
        return;
    nghttp2_option_del(server->option);
    nghttp2_session_callbacks_del(server->callbacks);
    h2_memory_release(&server->memory);
    free(server);
}
