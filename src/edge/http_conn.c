/* http_conn.c - an HTTP/1 connection: requests in order, answers in order.
 *
 * FINISHING (conn.h) has met its last request (Connection: close, an unreadable
 * one, the peer's FIN, a drain) and writes what is still owed.
 */
#include <stdlib.h>

#include "edge/http_internal.h"

/* Of one send, beside the last answer in it: small enough to tell a slow peer from one that doesn't
 * read. That one gets no further requests read. */
#define OUT_GATHER (256u << 10)

static void settle(struct http_conn *http);

static struct http_conn *of(const struct conn *conn) {
    return conn->self;
}

static void set_deadline(struct http_conn *http, int64_t delay_ms) {
    http->conn->deadline_ms = loop_now_ms(http->server->loop) + delay_ms;
    conn_wake(http->conn, http->conn->deadline_ms);
}

/* ---- ending -------------------------------------------------------------- */

static void on_drop(struct conn *conn) {
    struct http_conn *http = of(conn);
    struct list *node;

    while ((node = list_pop_front(&http->exchanges))) {
        struct http_exchange *exchange = CONTAINER_OF(node, struct http_exchange, node);

        exchange->conn = NULL; /* the application still owes its reply, to nobody */
        if (http_lasts(exchange))
            http_lasting_gone(exchange, conn->overdue);
        else if (exchange->answered)
            http_exchange_give(exchange);
    }
}

static void on_release(struct conn *conn) {
    struct http_conn *http = of(conn);

    http1_free(http->parser);
    buf_release(&http->pending);
    free(http);
}

static bool is_idle(const struct http_conn *http) {
    return http->conn->in_work == 0 && !http->conn->send_busy && http->conn->out.len == 0 &&
           http->pending.len == 0;
}

/* A request may be under way already: HTTP/1 has no word for "no more". So there is a little time
 * for it, and for an answer that says Connection: close; whoever sends behind that is cut off. */
static int64_t idle_ms(const struct http_conn *http) {
    const struct http_server_conf *conf = &http->server->conf;

    return http->conn->set->draining ? conf->drain_idle_ms : conf->idle_ms;
}

static void on_drain(struct conn *conn) {
    struct http_conn *http = of(conn);

    if (conn->state == CONN_OPEN && is_idle(http) && http1_idle(http->parser))
        set_deadline(http, idle_ms(http));
}

/* ---- reading ------------------------------------------------------------ */

/* NULL: out of memory, and the connection is aborted. */
static struct http_exchange *take(struct http_conn *http, const struct http1_request *request) {
    struct http_exchange *exchange = http_exchange_take(http->server, request);

    if (!exchange) {
        conn_abort(http->conn);
        return NULL;
    }
    exchange->conn = http;
    list_push_back(&http->exchanges, &exchange->node);
    conn_work_begins(http->conn);
    return exchange;
}

static void refuse(struct http_conn *http, const struct http1_request *request, enum err err,
                   const char *detail) {
    struct http_server *server = http->server;
    struct http_exchange *exchange = take(http, request);

    http->in_head = http->in_body = http->wants_continue = false;
    if (!exchange)
        return;
    exchange->close = true;
    http->conn->state = CONN_FINISHING;
    server->app.request(server->app.ctx, exchange, request, err, detail);
}

static void on_head(struct http_conn *http) {
    struct http_server *server = http->server;
    const struct http1_request *request = http1_request(http->parser);
    enum err refusal = ERR_OK;
    size_t body_max = server->app.head(server->app.ctx, request, &refusal);

    http->in_head = false;
    if (refusal != ERR_OK) {
        refuse(http, request, refusal, err_text(refusal));
        return;
    }
    http1_limit_body(http->parser, body_max);
    http->in_body = true;
    http->wants_continue = request->expects_continue;
    set_deadline(http, server->conf.body_ms);
}

static void on_request(struct http_conn *http) {
    struct http_server *server = http->server;
    const struct http1_request *request = http1_request(http->parser);
    struct http_exchange *exchange = take(http, request);

    http->in_body = http->wants_continue = false;
    if (!exchange)
        return;
    if (exchange->close)
        http->conn->state = CONN_FINISHING;
    server->app.request(server->app.ctx, exchange, request, ERR_OK, NULL);
    http1_next(http->parser);
}

static void on_error(struct http_conn *http) {
    const char *detail = NULL;
    enum err problem = http1_problem(http->parser, &detail);

    if (!http1_foreign(http->parser)) {
        refuse(http, NULL, problem, detail);
        return;
    }
    http->in_head = false;
    http->conn->state = CONN_FINISHING;
}

/* Only now is it sure that the announced body isn't too large (RFC 9110 10.1.1). */
static void invite_body(struct http_conn *http) {
    if (!http->wants_continue)
        return;
    http->wants_continue = false;
    struct http_exchange *exchange = take(http, NULL);
    if (!exchange)
        return;
    buf_add_slice(&exchange->reply, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    exchange->answered = true; /* in its place among the answers */
    exchange->tag = http_tag_before(exchange);
    exchange->close = false;
    conn_stat_add(&http->server->stats.exchanges, (uint64_t)-1);
    http_conn_answered(http, exchange);
}

static bool may_parse(const struct http_conn *http) {
    const struct conn *conn = http->conn;

    return conn->state == CONN_OPEN && conn->in_work < http->server->conf.pipeline_max &&
           conn->out.len < OUT_GATHER;
}

/* Takes what it can; returns what it must leave for later. Between head and body it goes on even
 * when the pipeline is full: until then the parser may point into the input. */
static struct slice parse(struct http_conn *http, struct slice in) {
    while (http->conn->state == CONN_OPEN && (http->in_body || may_parse(http))) {
        size_t used = 0;
        enum http1_event event = http1_parse(http->parser, in, &used);

        in = slice_skip(in, used);
        if (event == HTTP1_MORE) {
            invite_body(http);
            break;
        }
        if (event == HTTP1_HEAD)
            on_head(http);
        else if (event == HTTP1_REQUEST)
            on_request(http);
        else
            on_error(http);
    }
    return http->conn->state == CONN_OPEN ? in : (struct slice){NULL, 0};
}

/* All that the peer sent before its FIN has been parsed. */
static void at_end_of_input(struct http_conn *http) {
    if (!http1_idle(http->parser))
        refuse(http, NULL, ERR_INVALID, "the connection ended inside a request");
    else
        http->conn->state = CONN_FINISHING;
}

static void after_parse(struct http_conn *http, struct slice rest) {
    struct conn *conn = http->conn;

    if (conn->state == CONN_CLOSING)
        return;
    buf_add_slice(&http->pending, rest);
    if (buf_failed(&http->pending)) {
        conn_abort(conn);
        return;
    }
    conn_pause(conn, http->pending.len > 0);
    if (conn->peer_closed && conn->state == CONN_OPEN && http->pending.len == 0)
        at_end_of_input(http);
    if (conn->state == CONN_OPEN && !http->in_head && !http->in_body && !http1_idle(http->parser)) {
        http->in_head = true;
        set_deadline(http, http->server->conf.header_ms);
    }
    settle(http);
}

/* The pipeline has room again: on with what was read before. */
static void parse_pending(struct http_conn *http) {
    struct buf before = http->pending;

    http->pending = (struct buf){0};
    after_parse(http, parse(http, buf_slice(&before)));
    buf_release(&before);
}

static void on_peer_closed(struct conn *conn) {
    after_parse(of(conn), (struct slice){NULL, 0});
    conn_touch(conn); /* what lasts has come to its end */
}

static void on_read(struct conn *conn, struct slice bytes) {
    struct http_conn *http = of(conn);

    if (http->pending.len)
        after_parse(http, bytes);
    else
        after_parse(http, parse(http, bytes));
}

/* ---- writing ------------------------------------------------------------ */

void http_conn_answered(struct http_conn *http, struct http_exchange *exchange) {
    /* Only the first in order can be written; the others wait for it. */
    if (http->exchanges.next == &exchange->node)
        conn_touch(http->conn);
}

bool http_conn_ready(const struct http_conn *http, const struct http_exchange *exchange) {
    return exchange->reply.len == 0 && http->conn->out.len == 0 && !http->conn->send_busy;
}

/* What there is of it so far; true: it goes on. */
static bool gather_lasting(struct http_conn *http, struct http_exchange *exchange) {
    struct conn *conn = http->conn;

    if (!http_lasts(exchange))
        return false;
    conn->out.failed |= buf_failed(&exchange->reply);
    if (!conn->peer_closed) {
        buf_add_slice(&conn->out, buf_slice(&exchange->reply));
        buf_release(&exchange->reply); /* it may be quiet for long */
        return true;
    }
    list_remove(&exchange->node);
    exchange->conn = NULL;
    conn->state = CONN_FINISHING;
    conn_work_ends(conn);
    http_lasting_gone(exchange, false);
    return true;
}

static bool on_gather(struct conn *conn) {
    struct http_conn *http = of(conn);
    struct http_server_stats *stats = &http->server->stats;

    while (!list_empty(&http->exchanges)) {
        struct http_exchange *exchange =
            CONTAINER_OF(http->exchanges.next, struct http_exchange, node);

        if (!exchange->answered)
            break;
        if (conn->out.len >= OUT_GATHER)
            return true;
        if (gather_lasting(http, exchange))
            break;
        list_remove(&exchange->node);
        size_t had = conn->out.cap;
        buf_add_slice(&conn->out, buf_slice(&exchange->reply));
        conn->out.failed |= buf_failed(&exchange->reply);
        conn_stat_add(&stats->output_pool.gets, 1);
        conn_stat_add(&stats->output_pool.puts, 1);
        conn_stat_add(&stats->output_pool.hits, conn->out.cap == had);
        if (exchange->close && conn->state == CONN_OPEN)
            conn->state = CONN_FINISHING;
        http_exchange_give(exchange);
        conn_work_ends(conn);
    }
    return false;
}

static int64_t send_due(const struct http_conn *http) {
    return http->conn->send_busy ? conn_send_due_ms(http->conn, http->server->conf.write_ms)
                                 : INT64_MAX;
}

/* As an idle connection: it may be quiet for long. */
static void trim_lasting(struct http_conn *http) {
    struct conn *conn = http->conn;

    if (!conn->send_busy && !conn->out.len && !list_empty(&http->exchanges) &&
        http_lasts(CONTAINER_OF(http->exchanges.next, struct http_exchange, node)))
        conn_trim(conn);
}

/* What comes next for a connection after something was read, answered or sent. */
static void settle(struct http_conn *http) {
    struct conn *conn = http->conn;

    if (conn->state >= CONN_LINGERING)
        return;
    conn_wake(conn, send_due(http));
    if (http->in_head || http->in_body)
        return; /* the request's own deadline is running */
    if (conn->send_busy || conn->in_work || conn->out.len) {
        conn->deadline_ms = INT64_MAX;
        trim_lasting(http);
    } else if (conn->state == CONN_FINISHING) {
        conn_linger(conn);
    } else {
        conn_trim(conn);
        set_deadline(http, idle_ms(http));
    }
}

static void on_settle(struct conn *conn) {
    struct http_conn *http = of(conn);

    if (http->pending.len && may_parse(http))
        parse_pending(http);
    else
        settle(http);
}

/* ---- beginning, and running out of time --------------------------------- */

static void on_overdue(struct http_conn *http) {
    struct conn *conn = http->conn;

    /* A slow request gets its 408 (RFC 9110 15.5.9); an idle or stuck peer just the close. */
    if (conn->state == CONN_OPEN && (http->in_head || http->in_body)) {
        bool in_head = http->in_head;

        refuse(http, NULL, ERR_SLOW,
               in_head ? "the request's head took too long" : "the request's body took too long");
        settle(http);
    } else if (conn->state == CONN_OPEN && is_idle(http)) {
        conn->state = CONN_FINISHING;
        conn_linger(conn);
    } else {
        conn_abort(conn);
    }
}

static int64_t earlier(int64_t a_ms, int64_t b_ms) {
    return a_ms < b_ms ? a_ms : b_ms;
}

static int64_t on_due(struct conn *conn, int64_t now_ms) {
    struct http_conn *http = of(conn);

    if (now_ms >= send_due(http)) {
        conn->overdue = true;
        conn_abort(conn);
        return INT64_MAX;
    }
    if (now_ms >= conn->deadline_ms)
        on_overdue(http);
    /* What came of it has set the next one. */
    return earlier(conn->deadline_ms > now_ms ? conn->deadline_ms : INT64_MAX, send_due(http));
}

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

bool http_conn_open(struct http_server *server, struct conn *conn) {
    struct http_conn *http = calloc(1, sizeof(*http));

    if (!http)
        return false;
    http->conn = conn;
    http->server = server;
    http->parser = http1_new(&server->conf.limits);
    if (!http->parser) {
        free(http);
        return false;
    }
    list_init(&http->exchanges);
    conn_speak(conn, &protocol, http);
    set_deadline(http, idle_ms(http));
    return true;
}
