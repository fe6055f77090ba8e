/* grpc_conn.c - one client connection: reading, deadlines, writing, closing.
 *
 *     OPEN ──► ENDING ──► LINGERING ──► CLOSING
 *       └─────────┴───────────┴──────────►┘ broken, too slow, aborted
 *
 * OPEN reads frames. ENDING (a flood) reads none and writes its last GOAWAY.
 * LINGERING has sent FIN and waits for the peer's, so that the GOAWAY isn't
 * lost to a reset. CLOSING waits for on_closed(). A drain (GOAWAY, round trip,
 * GOAWAY) happens in OPEN, which it leaves when the last call is written.
 */
#include <stdlib.h>

#include "edge/grpc_internal.h"

#define LINGER_MS       1000
#define ROUND_TRIP_MS   2000         /* a drain waits so long for the peer's PING */
#define OUT_KEEP        1024u        /* bytes of buffer an idle connection may keep */
#define OUT_GATHER      (256u << 10) /* of one send */
#define READ_BEHIND_MAX (64u << 10)  /* a peer that doesn't read isn't read from for long */

static void settle(struct grpc_conn *conn);

static int64_t now(const struct grpc_conn *conn) {
    return loop_now_ms(conn->server->loop);
}

void grpc_conn_touch(struct grpc_conn *conn) {
    if (conn->state != GRPC_CONN_CLOSING && list_empty(&conn->dirty))
        list_push_back(&conn->server->dirty, &conn->dirty);
}

/* The timer is only ever moved to an earlier time; when it fires it looks around and is armed again
 * for what is due next, so that a busy connection doesn't touch the heap. */
void grpc_conn_wake(struct grpc_conn *conn, int64_t at_ms) {
    if (at_ms == INT64_MAX || conn->state == GRPC_CONN_CLOSING)
        return;
    if (!timer_armed(&conn->timer) || conn->timer.at_ms > at_ms)
        timer_start(conn->server->loop, &conn->timer, at_ms > now(conn) ? at_ms - now(conn) : 0);
}

void grpc_conn_check(struct grpc_conn *conn, int result) {
    if (!nghttp2_is_fatal(result))
        return;
    conn->failed = true;
    grpc_conn_touch(conn);
}

/* ---- closing ------------------------------------------------------------- */

static void drop_calls(struct grpc_conn *conn) {
    struct list *node;

    while ((node = list_pop_front(&conn->calls)))
        grpc_call_conn_gone(CONTAINER_OF(node, struct grpc_call, node));
    conn->open_streams = conn->orphans = 0;
}

void grpc_conn_abort(struct grpc_conn *conn) {
    if (conn->state == GRPC_CONN_CLOSING)
        return;
    conn->state = GRPC_CONN_CLOSING;
    timer_stop(conn->server->loop, &conn->timer);
    list_remove(&conn->dirty);
    drop_calls(conn);
    transport_close(&conn->transport);
}

static void on_closed(void *ctx) {
    struct grpc_conn *conn = ctx;

    grpc_server_gone(conn->server, conn);
    nghttp2_session_del(conn->session);
    buf_release(&conn->out);
    buf_release(&conn->sending);
    free(conn);
}

static void on_broken(void *ctx) {
    grpc_conn_abort(ctx);
}

static void set_paused(struct grpc_conn *conn, bool paused) {
    if (conn->paused == paused)
        return;
    conn->paused = paused;
    if (paused)
        transport_pause(&conn->transport);
    else
        transport_resume(&conn->transport);
}

static void linger(struct grpc_conn *conn) {
    if (conn->peer_closed) {
        grpc_conn_abort(conn);
        return;
    }
    conn->state = GRPC_CONN_LINGERING;
    drop_calls(conn);
    set_paused(conn, false);
    transport_shutdown(&conn->transport);
    conn->drain_ms = now(conn) + LINGER_MS;
    grpc_conn_wake(conn, conn->drain_ms);
}

/* ---- ending -------------------------------------------------------------- */

/* By hand: after a fatal error nghttp2 writes nothing more (RFC 9113 6.8). */
static void add_goaway(struct grpc_conn *conn, const char *why) {
    int32_t last = nghttp2_session_get_last_proc_stream_id(conn->session);
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

    buf_add(&conn->out, frame, sizeof(frame));
    buf_add(&conn->out, why, why_len);
}

void grpc_conn_flood(struct grpc_conn *conn, const char *why) {
    if (conn->state != GRPC_CONN_OPEN)
        return;
    stat_add(&conn->server->stats.floods_total, 1);
    conn->state = GRPC_CONN_ENDING;
    add_goaway(conn, why);
    grpc_conn_touch(conn);
}

void grpc_conn_drain(struct grpc_conn *conn) {
    if (conn->state != GRPC_CONN_OPEN || conn->drain != GRPC_DRAIN_NONE)
        return;
    conn->drain = GRPC_DRAIN_NOTICED;
    grpc_conn_check(conn, nghttp2_submit_shutdown_notice(conn->session));
    conn->drain_ms = now(conn) + ROUND_TRIP_MS;
    grpc_conn_wake(conn, conn->drain_ms);
    grpc_conn_touch(conn);
}

/* Calls that would last for ever are told to begin again elsewhere. */
static void end_lasting(struct grpc_conn *conn, struct grpc_call *call) {
    (void)conn;
    if (call->method && (call->method->long_lived || call->method->client_streams))
        grpc_call_refuse(call, GRPC_UNAVAILABLE, SLICE("the server is shutting down"));
}

static void check_call(struct grpc_conn *conn, struct grpc_call *call) {
    grpc_call_deadline(call, now(conn));
}

/* A handler that is told may finish any other call of its: no call is looked at twice, and none
 * that has gone. */
static void each_call(struct grpc_conn *conn,
                      void (*visit)(struct grpc_conn *conn, struct grpc_call *call)) {
    struct list rest;
    struct list *node;

    list_init(&rest);
    while ((node = list_pop_front(&conn->calls)))
        list_push_back(&rest, node);
    while ((node = list_pop_front(&rest))) {
        list_push_back(&conn->calls, node);
        if (conn->state == GRPC_CONN_OPEN)
            visit(conn, CONTAINER_OF(node, struct grpc_call, node));
    }
    if (conn->state == GRPC_CONN_CLOSING)
        drop_calls(conn);
}

static void drain_finally(struct grpc_conn *conn) {
    conn->drain = GRPC_DRAIN_FINAL;
    grpc_conn_check(conn,
                    nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
                                          nghttp2_session_get_last_proc_stream_id(conn->session),
                                          NGHTTP2_NO_ERROR, NULL, 0));
    each_call(conn, end_lasting);
    grpc_conn_touch(conn);
}

void grpc_conn_drain_ponged(struct grpc_conn *conn) {
    if (conn->drain == GRPC_DRAIN_NOTICED)
        drain_finally(conn);
}

/* ---- reading ------------------------------------------------------------- */

/* Nobody who speaks gRPC half-closes TCP: what is complete is answered, the rest can't end. */
static void end_incomplete(struct grpc_conn *conn, struct grpc_call *call) {
    if (!call->in.half_closed || (call->method && call->method->long_lived))
        grpc_conn_check(conn, nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE,
                                                        call->stream_id, NGHTTP2_NO_ERROR));
}

static void on_peer_closed(struct grpc_conn *conn) {
    conn->peer_closed = true;
    if (conn->state == GRPC_CONN_LINGERING) {
        grpc_conn_abort(conn);
        return;
    }
    each_call(conn, end_incomplete);
    grpc_conn_touch(conn);
}

static void on_fatal(struct grpc_conn *conn, ssize_t error) {
    if (conn->state == GRPC_CONN_CLOSING)
        return;
    if (error == NGHTTP2_ERR_NOMEM || error == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        grpc_conn_abort(conn);
    else
        grpc_conn_flood(conn, "flood"); /* CONTINUATION, or too many acknowledgements unsent */
}

static void receive(struct grpc_conn *conn, struct slice bytes) {
    while (bytes.len && conn->state == GRPC_CONN_OPEN) {
        size_t n = grpc_scan_next(conn, bytes);
        ssize_t used = nghttp2_session_mem_recv(conn->session, (const uint8_t *)bytes.ptr, n);

        if (used < 0) {
            on_fatal(conn, used);
            return;
        }
        bytes = slice_skip(bytes, n);
    }
}

static void on_read(void *ctx, struct slice bytes) {
    struct grpc_conn *conn = ctx;

    if (bytes.len == 0) {
        on_peer_closed(conn);
        return;
    }
    if (conn->state != GRPC_CONN_OPEN)
        return;
    conn->read_ms = now(conn);
    conn->probed = false;
    receive(conn, bytes);
    if (conn->state == GRPC_CONN_CLOSING)
        return;
    if (conn->send_busy) {
        conn->read_behind += bytes.len;
        if (conn->read_behind > READ_BEHIND_MAX)
            set_paused(conn, true);
    }
    grpc_conn_touch(conn);
}

/* ---- writing ------------------------------------------------------------- */

/* Frames of this tick, up to one send's worth. */
static void gather(struct grpc_conn *conn) {
    while (conn->state == GRPC_CONN_OPEN && conn->out.len < OUT_GATHER) {
        const uint8_t *frame;
        ssize_t len = nghttp2_session_mem_send(conn->session, &frame);

        if (len < 0)
            conn->failed = true;
        if (len <= 0)
            return;
        buf_add(&conn->out, frame, (size_t)len);
    }
}

static void send_out(struct grpc_conn *conn) {
    struct buf empty = conn->sending;

    conn->sending = conn->out;
    conn->out = empty;
    conn->send_busy = true;
    if (transport_send(&conn->transport, buf_slice(&conn->sending))) {
        conn->send_busy = false;
        buf_clear(&conn->sending);
        return;
    }
    conn->read_behind = 0;
    conn->send_ms = now(conn);
    grpc_conn_wake(conn, conn->send_ms + conn->server->conf.idle_ms);
}

void grpc_conn_flush(struct grpc_conn *conn) {
    if (conn->state >= GRPC_CONN_LINGERING)
        return;
    while (!conn->send_busy) {
        gather(conn);
        if (conn->state >= GRPC_CONN_LINGERING)
            return;
        if (conn->failed || buf_failed(&conn->out)) {
            grpc_conn_abort(conn);
            return;
        }
        if (conn->out.len == 0)
            break;
        send_out(conn);
    }
    settle(conn);
}

static void on_sent(void *ctx, enum err err) {
    struct grpc_conn *conn = ctx;

    conn->send_busy = false;
    buf_clear(&conn->sending);
    if (conn->state == GRPC_CONN_CLOSING)
        return;
    if (err != ERR_OK) {
        grpc_conn_abort(conn);
        return;
    }
    set_paused(conn, false);
    grpc_conn_flush(conn);
}

/* Nothing will be read or written any more. */
static bool is_over(const struct grpc_conn *conn) {
    if (conn->state == GRPC_CONN_ENDING)
        return true;
    if (nghttp2_session_want_write(conn->session))
        return false;
    if (conn->open_streams == 0 && (conn->drain == GRPC_DRAIN_FINAL || conn->peer_closed))
        return true;
    /* Without streams nghttp2 takes the first of our two GOAWAYs for the last word. */
    return conn->terminated ||
           (conn->drain == GRPC_DRAIN_NONE && !nghttp2_session_want_read(conn->session));
}

static void settle(struct grpc_conn *conn) {
    if (conn->send_busy || conn->out.len)
        return;
    if (conn->out.cap > OUT_KEEP && list_empty(&conn->calls))
        buf_release(&conn->out);
    if (conn->sending.cap > OUT_KEEP && list_empty(&conn->calls))
        buf_release(&conn->sending);
    if (is_over(conn))
        linger(conn);
}

/* ---- beginning, and running out of time ---------------------------------- */

static void earlier(int64_t *due_ms, int64_t at_ms) {
    if (at_ms < *due_ms)
        *due_ms = at_ms;
}

static void wake_for_next(struct grpc_conn *conn) {
    int64_t idle_ms = conn->server->conf.idle_ms;
    int64_t due_ms = INT64_MAX;

    for (struct list *node = conn->calls.next; node != &conn->calls; node = node->next)
        earlier(&due_ms, CONTAINER_OF(node, struct grpc_call, node)->deadline_ms);
    if (conn->send_busy)
        earlier(&due_ms, conn->send_ms + idle_ms);
    if (conn->drain == GRPC_DRAIN_NOTICED || conn->state == GRPC_CONN_LINGERING)
        earlier(&due_ms, conn->drain_ms);
    else if (!list_empty(&conn->calls))
        earlier(&due_ms, conn->read_ms + idle_ms);
    else
        earlier(&due_ms, conn->idle_since_ms + idle_ms);
    grpc_conn_wake(conn, due_ms);
}

/* A peer that says nothing while it has calls open may have lost its network: ask, once. */
static void probe(struct grpc_conn *conn) {
    if (conn->probed) {
        grpc_conn_abort(conn);
        return;
    }
    conn->probed = true;
    conn->read_ms = now(conn);
    grpc_conn_check(conn, nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL));
    grpc_conn_touch(conn);
}

static void on_timer(struct timer *timer) {
    struct grpc_conn *conn = CONTAINER_OF(timer, struct grpc_conn, timer);
    int64_t now_ms = now(conn);
    int64_t idle_ms = conn->server->conf.idle_ms;

    if ((conn->send_busy && now_ms >= conn->send_ms + idle_ms) ||
        (conn->state == GRPC_CONN_LINGERING && now_ms >= conn->drain_ms)) {
        grpc_conn_abort(conn);
        return;
    }
    if (conn->state == GRPC_CONN_OPEN)
        each_call(conn, check_call);
    if (conn->state == GRPC_CONN_OPEN) {
        if (conn->drain == GRPC_DRAIN_NOTICED && now_ms >= conn->drain_ms)
            drain_finally(conn);
        else if (list_empty(&conn->calls) && now_ms >= conn->idle_since_ms + idle_ms)
            grpc_conn_drain(conn);
        else if (!list_empty(&conn->calls) && now_ms >= conn->read_ms + idle_ms)
            probe(conn);
    }
    if (conn->state != GRPC_CONN_CLOSING)
        wake_for_next(conn);
}

static const struct stream_events events = {
    .on_read = on_read,
    .on_sent = on_sent,
    .on_broken = on_broken,
    .on_closed = on_closed,
};

void grpc_conn_open(struct grpc_server *server, struct stream *stream) {
    uint64_t open = atomic_load_explicit(&server->stats.connections, memory_order_relaxed);
    struct grpc_conn *conn = NULL;

    if (!server->draining && open < server->conf.connections_max)
        conn = calloc(1, sizeof(*conn));
    if (conn) {
        conn->server = server;
        conn->session = grpc_session_new(conn);
    }
    if (!conn || !conn->session ||
        !transport_accept_tls(&conn->transport, stream, server->conf.tls)) {
        stat_add(&server->stats.refused_total, 1);
        if (conn)
            nghttp2_session_del(conn->session);
        free(conn);
        stream_close(stream);
        return;
    }
    conn->timer.fire = on_timer;
    conn->idle_since_ms = conn->read_ms = now(conn);
    grpc_police_init(&conn->police, now(conn));
    grpc_scan_init(&conn->scan);
    list_init(&conn->dirty);
    list_init(&conn->calls);
    list_push_back(&server->conns, &conn->node);
    stat_add(&server->stats.connections, 1);
    transport_start(&conn->transport, &events, conn);
    grpc_conn_wake(conn, conn->idle_since_ms + server->conf.idle_ms);
    grpc_conn_touch(conn); /* our SETTINGS */
}
