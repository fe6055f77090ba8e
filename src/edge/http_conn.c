/* http_conn.c - one client connection: reading, deadlines, writing, closing.
 *
 *     OPEN ──► FINISHING ──► LINGERING ──► CLOSING
 *       └──────────┴─────────────┴────────────►┘ broken, too slow, aborted
 *
 * OPEN reads requests. FINISHING has met its last request (Connection: close,
 * an unreadable one, the peer's FIN, a drain) and writes what is still owed.
 * LINGERING has sent FIN and waits for the peer's, so that the last answer
 * isn't lost to a reset (RFC 9112 9.6). CLOSING waits for on_closed().
 */
#include <stdlib.h>

#include "edge/http_internal.h"

#define LINGER_MS 1000
#define OUT_KEEP  1024u      /* bytes of buffer an idle connection may keep */
#define OUT_MAX   (1u << 20) /* a peer that doesn't read gets no further requests read */

static void settle(struct http_conn *conn);

/* ---- deadlines ---------------------------------------------------------- */

/* The timer is only ever moved forward lazily: when it fires early it is armed
 * again for the rest, so that a busy connection doesn't touch the heap. */
static void set_deadline(struct http_conn *conn, int64_t delay_ms) {
    struct loop *loop = conn->server->loop;

    conn->deadline_ms = loop_now_ms(loop) + delay_ms;
    if (!timer_armed(&conn->timer) || conn->timer.at_ms > conn->deadline_ms)
        timer_start(loop, &conn->timer, delay_ms);
}

static void no_deadline(struct http_conn *conn) {
    conn->deadline_ms = INT64_MAX;
}

/* ---- closing ------------------------------------------------------------ */

static void drop_exchanges(struct http_conn *conn) {
    struct list *node;

    while ((node = list_pop_front(&conn->exchanges))) {
        struct http_exchange *exchange = CONTAINER_OF(node, struct http_exchange, node);

        exchange->conn = NULL; /* the application still owes its reply, to nobody */
        if (exchange->answered)
            http_exchange_give(exchange);
    }
    if (conn->exchange_count)
        stat_add(&conn->server->stats.busy_connections, (uint64_t)-1);
    conn->exchange_count = 0;
}

void http_conn_abort(struct http_conn *conn) {
    if (conn->state == CONN_CLOSING)
        return;
    conn->state = CONN_CLOSING;
    timer_stop(conn->server->loop, &conn->timer);
    list_remove(&conn->dirty);
    drop_exchanges(conn);
    transport_close(&conn->transport);
}

static void on_closed(void *ctx) {
    struct http_conn *conn = ctx;

    http_server_gone(conn->server, conn);
    http1_free(conn->parser);
    buf_release(&conn->pending);
    buf_release(&conn->out);
    buf_release(&conn->sending);
    free(conn);
}

static void on_broken(void *ctx) {
    http_conn_abort(ctx);
}

static bool is_idle(const struct http_conn *conn) {
    return conn->exchange_count == 0 && !conn->send_busy && conn->out.len == 0 &&
           conn->pending.len == 0;
}

void http_conn_finish(struct http_conn *conn) {
    if (conn->state == CONN_OPEN && is_idle(conn) && http1_idle(conn->parser)) {
        conn->state = CONN_FINISHING;
        settle(conn);
    }
}

static void linger(struct http_conn *conn) {
    if (conn->peer_closed) {
        http_conn_abort(conn);
        return;
    }
    conn->state = CONN_LINGERING;
    if (conn->paused)
        transport_resume(&conn->transport);
    transport_shutdown(&conn->transport);
    set_deadline(conn, LINGER_MS);
}

/* ---- reading ------------------------------------------------------------ */

static void refuse(struct http_conn *conn, const struct http1_request *request, enum err err,
                   const char *detail) {
    struct http_server *server = conn->server;
    struct http_exchange *exchange = http_exchange_take(conn, request);

    conn->in_head = conn->in_body = conn->wants_continue = false;
    if (!exchange) {
        http_conn_abort(conn);
        return;
    }
    exchange->close = true;
    conn->state = CONN_FINISHING;
    server->app.request(server->app.ctx, exchange, request, err, detail);
}

static void on_head(struct http_conn *conn) {
    struct http_server *server = conn->server;
    const struct http1_request *request = http1_request(conn->parser);
    enum err refusal = ERR_OK;
    size_t body_max = server->app.head(server->app.ctx, request, &refusal);

    conn->in_head = false;
    if (refusal != ERR_OK) {
        refuse(conn, request, refusal, err_text(refusal));
        return;
    }
    http1_limit_body(conn->parser, body_max);
    conn->in_body = true;
    conn->wants_continue = request->expects_continue;
    set_deadline(conn, server->conf.body_ms);
}

static void on_request(struct http_conn *conn) {
    struct http_server *server = conn->server;
    const struct http1_request *request = http1_request(conn->parser);
    struct http_exchange *exchange = http_exchange_take(conn, request);

    conn->in_body = conn->wants_continue = false;
    if (!exchange) {
        http_conn_abort(conn);
        return;
    }
    if (exchange->close)
        conn->state = CONN_FINISHING;
    server->app.request(server->app.ctx, exchange, request, ERR_OK, NULL);
    http1_next(conn->parser);
}

/* Only now is it sure that the announced body isn't too large (RFC 9110 10.1.1). */
static void invite_body(struct http_conn *conn) {
    if (!conn->wants_continue)
        return;
    conn->wants_continue = false;
    if (!http_exchange_continue(conn))
        http_conn_abort(conn);
}

static bool may_parse(const struct http_conn *conn) {
    return conn->state == CONN_OPEN && conn->exchange_count < conn->server->conf.pipeline_max &&
           conn->out.len < OUT_MAX;
}

/* Takes what it can; returns what it must leave for later. Between head and body it goes on even
 * when the pipeline is full: until then the parser may point into the input. */
static struct slice parse(struct http_conn *conn, struct slice in) {
    while (conn->state == CONN_OPEN && (conn->in_body || may_parse(conn))) {
        size_t used = 0;
        enum http1_event event = http1_parse(conn->parser, in, &used);
        const char *detail = NULL;

        in = slice_skip(in, used);
        if (event == HTTP1_MORE) {
            invite_body(conn);
            break;
        }
        if (event == HTTP1_HEAD)
            on_head(conn);
        else if (event == HTTP1_REQUEST)
            on_request(conn);
        else {
            enum err problem = http1_problem(conn->parser, &detail);
            refuse(conn, NULL, problem, detail);
        }
    }
    return conn->state == CONN_OPEN ? in : (struct slice){NULL, 0};
}

static void set_paused(struct http_conn *conn, bool paused) {
    if (conn->paused == paused)
        return;
    conn->paused = paused;
    if (paused)
        transport_pause(&conn->transport);
    else
        transport_resume(&conn->transport);
}

/* All that the peer sent before its FIN has been parsed. */
static void at_end_of_input(struct http_conn *conn) {
    if (!http1_idle(conn->parser))
        refuse(conn, NULL, ERR_INVALID, "the connection ended inside a request");
    else
        conn->state = CONN_FINISHING;
}

static void after_parse(struct http_conn *conn, struct slice rest) {
    if (conn->state == CONN_CLOSING)
        return;
    buf_add_slice(&conn->pending, rest);
    if (buf_failed(&conn->pending)) {
        http_conn_abort(conn);
        return;
    }
    set_paused(conn, conn->pending.len > 0);
    if (conn->peer_closed && conn->state == CONN_OPEN && conn->pending.len == 0)
        at_end_of_input(conn);
    if (conn->state == CONN_OPEN && !conn->in_head && !conn->in_body && !http1_idle(conn->parser)) {
        conn->in_head = true;
        set_deadline(conn, conn->server->conf.header_ms);
    }
    settle(conn);
}

/* The pipeline has room again: on with what was read before. */
static void parse_pending(struct http_conn *conn) {
    struct buf before = conn->pending;

    conn->pending = (struct buf){0};
    after_parse(conn, parse(conn, buf_slice(&before)));
    buf_release(&before);
}

static void on_peer_closed(struct http_conn *conn) {
    conn->peer_closed = true;
    if (conn->state == CONN_LINGERING)
        http_conn_abort(conn);
    else
        after_parse(conn, (struct slice){NULL, 0});
}

static void on_read(void *ctx, struct slice bytes) {
    struct http_conn *conn = ctx;

    if (bytes.len == 0)
        on_peer_closed(conn);
    else if (conn->state != CONN_OPEN)
        return; /* behind the last request: not ours to read */
    else if (conn->pending.len)
        after_parse(conn, bytes);
    else
        after_parse(conn, parse(conn, bytes));
}

/* ---- writing ------------------------------------------------------------ */

void http_conn_answered(struct http_conn *conn, struct http_exchange *exchange) {
    /* Only the first in order can be written; the others wait for it. */
    if (conn->exchanges.next == &exchange->node && list_empty(&conn->dirty))
        list_push_back(&conn->server->dirty, &conn->dirty);
}

static void gather(struct http_conn *conn) {
    struct http_server_stats *stats = &conn->server->stats;

    while (!list_empty(&conn->exchanges)) {
        struct http_exchange *exchange =
            CONTAINER_OF(conn->exchanges.next, struct http_exchange, node);

        if (!exchange->answered)
            return;
        list_remove(&exchange->node);
        size_t had = conn->out.cap;
        buf_add_slice(&conn->out, buf_slice(&exchange->reply));
        conn->out.failed |= buf_failed(&exchange->reply);
        stat_add(&stats->output_pool.gets, 1);
        stat_add(&stats->output_pool.puts, 1);
        stat_add(&stats->output_pool.hits, conn->out.cap == had);
        if (exchange->close && conn->state == CONN_OPEN)
            conn->state = CONN_FINISHING;
        http_exchange_give(exchange);
        if (--conn->exchange_count == 0)
            stat_add(&stats->busy_connections, (uint64_t)-1);
    }
}

static void trim_buffers(struct http_conn *conn) {
    if (conn->out.cap > OUT_KEEP)
        buf_release(&conn->out);
    if (conn->sending.cap > OUT_KEEP)
        buf_release(&conn->sending);
}

/* What comes next for a connection after something was read, answered or sent. */
static void settle(struct http_conn *conn) {
    if (conn->state >= CONN_LINGERING)
        return;
    if (conn->server->draining && conn->state == CONN_OPEN && is_idle(conn) &&
        http1_idle(conn->parser))
        conn->state = CONN_FINISHING;
    if (conn->in_head || conn->in_body)
        return; /* the request's own deadline is running */
    if (conn->send_busy) {
        set_deadline(conn, conn->server->conf.idle_ms);
    } else if (conn->exchange_count || conn->out.len) {
        no_deadline(conn);
    } else if (conn->state == CONN_FINISHING) {
        linger(conn);
    } else {
        trim_buffers(conn);
        set_deadline(conn, conn->server->conf.idle_ms);
    }
}

void http_conn_flush(struct http_conn *conn) {
    gather(conn);
    if (buf_failed(&conn->out)) {
        http_conn_abort(conn);
        return;
    }
    if (!conn->send_busy && conn->out.len) {
        struct buf empty = conn->sending;

        conn->sending = conn->out;
        conn->out = empty;
        conn->send_busy = true;
        if (transport_send(&conn->transport, buf_slice(&conn->sending))) {
            conn->send_busy = false;
            buf_clear(&conn->sending);
        }
    }
    if (conn->pending.len && may_parse(conn))
        parse_pending(conn);
    else
        settle(conn);
}

static void on_sent(void *ctx, enum err err) {
    struct http_conn *conn = ctx;

    conn->send_busy = false;
    buf_clear(&conn->sending);
    if (conn->state == CONN_CLOSING)
        return;
    if (err != ERR_OK)
        http_conn_abort(conn);
    else
        http_conn_flush(conn);
}

/* ---- beginning, and running out of time --------------------------------- */

static void on_deadline(struct timer *timer) {
    struct http_conn *conn = CONTAINER_OF(timer, struct http_conn, timer);
    int64_t now_ms = loop_now_ms(conn->server->loop);

    if (conn->deadline_ms == INT64_MAX)
        return;
    if (now_ms < conn->deadline_ms) {
        timer_start(conn->server->loop, timer, conn->deadline_ms - now_ms);
        return;
    }
    /* A slow request gets its 408 (RFC 9110 15.5.9); an idle or stuck peer just the close. */
    if (conn->state == CONN_OPEN && (conn->in_head || conn->in_body)) {
        bool in_head = conn->in_head;

        refuse(conn, NULL, ERR_SLOW,
               in_head ? "the request's head took too long" : "the request's body took too long");
        settle(conn);
    } else if (conn->state == CONN_OPEN && is_idle(conn)) {
        conn->state = CONN_FINISHING;
        linger(conn);
    } else {
        http_conn_abort(conn);
    }
}

static const struct stream_events events = {
    .on_read = on_read,
    .on_sent = on_sent,
    .on_broken = on_broken,
    .on_closed = on_closed,
};

void http_conn_open(struct http_server *server, struct stream *stream) {
    size_t open = atomic_fetch_add_explicit(server->conf.connections, 1, memory_order_relaxed);
    struct http_conn *conn = NULL;

    if (!server->draining && open < server->conf.connections_max)
        conn = calloc(1, sizeof(*conn));
    if (conn)
        conn->parser = http1_new(&server->conf.limits);
    if (!conn || !conn->parser ||
        !transport_accept_tls(&conn->transport, stream, server->conf.tls)) {
        atomic_fetch_sub_explicit(server->conf.connections, 1, memory_order_relaxed);
        stat_add(&server->stats.refused_total, 1);
        if (conn)
            http1_free(conn->parser);
        free(conn);
        stream_close(stream);
        return;
    }
    conn->server = server;
    conn->timer.fire = on_deadline;
    list_init(&conn->dirty);
    list_init(&conn->exchanges);
    list_push_back(&server->conns, &conn->node);
    stat_add(&server->stats.connections, 1);
    transport_start(&conn->transport, &events, conn);
    set_deadline(conn, server->conf.idle_ms);
}
