/* http_lasting.c - a reply that comes bit by bit (Server-Sent Events), over HTTP/1 or HTTP/2.
 *
 *     http_begin() ─► http_send() … ─► http_finish()
 *          └─► gone() ─► http_finish()        the client went, or doesn't read
 */
#include <assert.h>
#include <stdio.h>

#include "edge/http_internal.h"

/* Of the kernel's buffer for a client over HTTP/1: what it hasn't taken waits there, where it can't
 * be replaced by something later. HTTP/2 has windows. */
#define UNTAKEN_BYTES (16 << 10)

static bool has_client(const struct http_exchange *exchange) {
    if (exchange->stream)
        return !exchange->stream->h2.gone;
    return exchange->conn && !exchange->conn->conn->peer_closed;
}

/* The answer is complete, or nobody waits for it. */
static void let_go(struct http_exchange *exchange) {
    struct http_server *server = exchange->server;

    exchange->ended = true;
    conn_stat_add(&server->stats.exchanges, (uint64_t)-1);
    if (exchange->stream)
        http_stream_end(exchange->stream);
    if (exchange->conn) {
        http_conn_answered(exchange->conn, exchange);
        return;
    }
    http_exchange_give(exchange);
    conn_set_check_drained(&server->conns);
}

/* Over HTTP/1 the end of a connection whose client has closed its side is its end, too: nothing
 * that lasts could be told to it for long. */
bool http_begin(struct http_exchange *exchange, const struct http_reply *reply,
                const struct http_lasting *lasting) {
    bool lasts = has_client(exchange) && !exchange->head_only;

    assert(!exchange->answered && reply->body.len == 0);
    exchange->answered = true;
    exchange->lasting = *lasting;
    if (exchange->stream && has_client(exchange)) {
        http_stream_lasting(exchange->stream, reply);
    } else if (exchange->conn) {
        exchange->close |= exchange->http_1_0 || exchange->server->conns.draining;
        http_exchange_head(exchange, reply, true);
        http_conn_answered(exchange->conn, exchange);
        if (lasts)
            stream_limit_unsent(exchange->conn->conn->transport.stream, UNTAKEN_BYTES);
    }
    http_exchange_replied(exchange, reply);
    if (!lasts)
        let_go(exchange);
    return lasts;
}

static void add_chunk(struct http_exchange *exchange, struct slice bytes) {
    char head[20];
    int len = snprintf(head, sizeof(head), "%zx\r\n", bytes.len);

    buf_add(&exchange->reply, head, (size_t)len);
    buf_add_slice(&exchange->reply, bytes);
    buf_add_slice(&exchange->reply, SLICE("\r\n"));
}

void http_send(struct http_exchange *exchange, struct slice bytes) {
    assert(http_lasts(exchange));
    if (bytes.len == 0) /* an empty chunk would be the last one */
        return;
    if (exchange->stream) {
        http_stream_send(exchange->stream, bytes);
    } else if (exchange->conn) {
        if (exchange->http_1_0)
            buf_add_slice(&exchange->reply, bytes);
        else
            add_chunk(exchange, bytes);
        http_conn_answered(exchange->conn, exchange);
    }
}

bool http_ready(const struct http_exchange *exchange) {
    if (exchange->stream)
        return h2_taken(&exchange->stream->h2);
    return !exchange->conn || http_conn_ready(exchange->conn, exchange);
}

void http_finish(struct http_exchange *exchange) {
    assert(http_lasts(exchange));
    if (exchange->conn) {
        exchange->close |= exchange->server->conns.draining;
        if (!exchange->http_1_0)
            buf_add_slice(&exchange->reply, SLICE("0\r\n\r\n"));
    }
    let_go(exchange);
}

void http_lasting_gone(struct http_exchange *exchange, bool slow) {
    exchange->lasting.gone(exchange->lasting.ctx, slow);
}
