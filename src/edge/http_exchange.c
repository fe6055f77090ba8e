/* http_exchange.c - one request and its reply. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "edge/http_internal.h"
#include "edge/tracer.h"
#include "wire/trace_context.h"

#define ARENA_CHUNK (2048u - ARENA_CHUNK_HEAD)
#define ARENA_CAP   (8u << 20) /* a batch of 1,000 items with everything escaped fits well */
#define REPLY_KEEP  4096u      /* a larger reply's memory goes back to the system */

/* A request id that is safe to echo and to log wherever it may be shown: no markup, not too long.
 */
static bool id_usable(struct slice id) {
    if (id.len == 0 || id.len > HTTP_REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr("-_.:/+=@", c))))
            return false;
    }
    return true;
}

/* The text of the next number, in place: mostly its last digit. */
static void next_id(char id[HTTP_MADE_ID_BYTES]) {
    for (size_t i = HTTP_MADE_ID_BYTES; i-- > HTTP_MADE_ID_BYTES / 2;) {
        if (LIKELY(id[i] != 'f')) {
            id[i] = id[i] == '9' ? 'a' : (char)(id[i] + 1);
            return;
        }
        id[i] = '0';
    }
}

static void make_id(struct http_exchange *exchange) {
    struct http_server *server = exchange->server;

    memcpy(exchange->id, server->next_id, HTTP_MADE_ID_BYTES);
    exchange->id_len = HTTP_MADE_ID_BYTES;
    next_id(server->next_id);
}

static struct trace_context *read_trace(struct http_exchange *exchange,
                                        const struct http1_request *request) {
    struct trace_fields fields;

    if (!http1_header(request, SLICE(TRACEPARENT)).ptr)
        return tracer_sample(&exchange->server->next_span, &exchange->arena);
    fields = (struct trace_fields){.parents = 0};
    for (size_t i = 0; i < request->header_count; i++)
        trace_fields_add(&fields, request->headers[i].name, request->headers[i].value);
    return trace_fields_read(&fields, random_next(&exchange->server->next_span), &exchange->arena);
}

static struct http_exchange *recycled(struct http_server *server) {
    struct list *node = list_pop_front(&server->free_exchanges);

    conn_stat_add(&server->stats.exchange_pool.gets, 1);
    if (node) {
        conn_stat_add(&server->stats.exchange_pool.hits, 1);
        return CONTAINER_OF(node, struct http_exchange, node);
    }
    struct http_exchange *exchange = calloc(1, sizeof(*exchange));
    if (!exchange)
        return NULL;
    arena_init_spare(&exchange->arena, &server->conns.spare, ARENA_CHUNK, ARENA_CAP);
    exchange->server = server;
    return exchange;
}

struct http_exchange *http_exchange_take(struct http_server *server,
                                         const struct http1_request *request) {
    struct http_exchange *exchange = recycled(server);

    if (!exchange)
        return NULL;
    exchange->conn = NULL;
    exchange->stream = NULL;
    exchange->started_us = clock_mono_ns() / 1000;
    exchange->failure = ERR_OK;
    exchange->failure_detail = (struct slice){NULL, 0};
    exchange->fields = (struct slice){NULL, 0};
    exchange->tag = 0;
    exchange->answered = exchange->ended = false;
    exchange->lasting = (struct http_lasting){.gone = NULL};
    exchange->head_only = request && request->method == HTTP_HEAD;
    exchange->close = !request || !request->keep_alive;
    exchange->http_1_0 = request && request->minor_version == 0;
    struct slice id = request ? http1_header(request, SLICE("X-Request-Id")) : (struct slice){0};
    if (id_usable(id)) {
        memcpy(exchange->id, id.ptr, id.len);
        exchange->id_len = id.len;
    } else {
        make_id(exchange);
    }
    exchange->trace = request ? read_trace(exchange, request) : NULL;
    list_init(&exchange->node);
    conn_stat_add(&server->stats.exchanges, 1);
    conn_stat_add(&server->stats.reply_pool.gets, 1);
    conn_stat_add(&server->stats.arena_pool.gets, 1);
    return exchange;
}

void http_exchange_give(struct http_exchange *exchange) {
    struct http_server *server = exchange->server;

    arena_reset(&exchange->arena, ARENA_CHUNK);
    if (exchange->reply.cap > REPLY_KEEP)
        buf_release(&exchange->reply);
    buf_clear(&exchange->reply);
    exchange->conn = NULL;
    list_init(&exchange->node);
    /* To the front: the one used last is warm in the cache. */
    list_push_back(server->free_exchanges.next, &exchange->node);
    conn_stat_add(&server->stats.exchange_pool.puts, 1);
    conn_stat_add(&server->stats.reply_pool.puts, 1);
    conn_stat_add(&server->stats.arena_pool.puts, 1);
}

struct arena *http_arena(struct http_exchange *exchange) {
    return &exchange->arena;
}

struct buf *http_body(struct http_exchange *exchange) {
    buf_clear(&exchange->server->body);
    return &exchange->server->body;
}

struct slice http_request_id(const struct http_exchange *exchange) {
    return slice_of(exchange->id, exchange->id_len);
}

struct trace_context *http_trace(const struct http_exchange *exchange) {
    return exchange->trace;
}

bool http_peer(const struct http_exchange *exchange, struct in6_addr *out) {
    struct conn *conn =
        exchange->stream ? h2_conn_of(exchange->stream->h2.h2) : exchange->conn->conn;

    return conn_peer(conn, out);
}

void http_set_fields(struct http_exchange *exchange, struct slice fields) {
    exchange->fields = arena_copy(&exchange->arena, fields);
}

void http_set_tag(struct http_exchange *exchange, unsigned tag) {
    exchange->tag = tag;
}

unsigned http_tag(const struct http_exchange *exchange) {
    return exchange->tag;
}

unsigned http_tag_before(const struct http_exchange *exchange) {
    const struct http_conn *conn = exchange->conn;

    if (!conn || exchange->node.prev == &conn->exchanges)
        return 0;
    return CONTAINER_OF(exchange->node.prev, struct http_exchange, node)->tag;
}

void http_set_failure(struct http_exchange *exchange, enum err err, struct slice detail) {
    exchange->failure = err;
    exchange->failure_detail = arena_copy(&exchange->arena, detail);
}

enum err http_failure(const struct http_exchange *exchange, struct slice *out_detail) {
    *out_detail = exchange->failure_detail;
    return exchange->failure;
}

struct slice http_reason(int status) {
    static const struct {
        int status;
        struct slice reason;
    } rows[] = {
        {100, {"Continue", 8}},
        {200, {"OK", 2}},
        {204, {"No Content", 10}},
        {400, {"Bad Request", 11}},
        {404, {"Not Found", 9}},
        {405, {"Method Not Allowed", 18}},
        {408, {"Request Timeout", 15}},
        {409, {"Conflict", 8}},
        {411, {"Length Required", 15}},
        {413, {"Content Too Large", 17}},
        {414, {"URI Too Long", 12}},
        {415, {"Unsupported Media Type", 22}},
        {417, {"Expectation Failed", 18}},
        {422, {"Unprocessable Content", 21}},
        {429, {"Too Many Requests", 17}},
        {431, {"Request Header Fields Too Large", 31}},
        {500, {"Internal Server Error", 21}},
        {501, {"Not Implemented", 15}},
        {503, {"Service Unavailable", 19}},
        {504, {"Gateway Timeout", 15}},
        {505, {"HTTP Version Not Supported", 26}},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return SLICE("Unknown");
}

static void add_status_line(struct buf *out, int status) {
    if (LIKELY(status == 200)) {
        buf_add_slice(out, SLICE("HTTP/1.1 200 OK\r\n"));
        return;
    }
    buf_add_slice(out, SLICE("HTTP/1.1 "));
    buf_add_u64(out, (uint64_t)status);
    buf_add_char(out, ' ');
    buf_add_slice(out, http_reason(status));
    buf_add_slice(out, SLICE("\r\n"));
}

/* 204 must not carry a length (RFC 9110 8.6). HTTP/1.0 knows no chunks: there the connection's end
 * is the body's. */
static void add_framing(struct http_exchange *exchange, const struct http_reply *reply,
                        bool lasts) {
    struct buf *out = &exchange->reply;

    if (lasts) {
        if (!exchange->http_1_0)
            buf_add_slice(out, SLICE("\r\nTransfer-Encoding: chunked"));
    } else if (reply->status != 204) {
        buf_add_slice(out, SLICE("\r\nContent-Length: "));
        buf_add_u64(out, reply->body.len);
    }
}

void http_exchange_head(struct http_exchange *exchange, const struct http_reply *reply,
                        bool lasts) {
    struct buf *out = &exchange->reply;

    add_status_line(out, reply->status);
    if (reply->content_type.ptr) {
        buf_add_slice(out, SLICE("Content-Type: "));
        buf_add_slice(out, reply->content_type);
        buf_add_slice(out, SLICE("\r\n"));
    }
    buf_add_slice(out, SLICE("Date: "));
    buf_add(out, http_server_date(exchange->server), HTTP_DATE_BYTES);
    add_framing(exchange, reply, lasts);
    buf_add_slice(out, SLICE("\r\nX-Request-Id: "));
    buf_add(out, exchange->id, exchange->id_len);
    buf_add_slice(out, SLICE("\r\n"));
    buf_add_slice(out, exchange->fields);
    buf_add_slice(out, reply->headers);
    if (exchange->close)
        buf_add_slice(out, SLICE("Connection: close\r\n"));
    else if (exchange->http_1_0)
        buf_add_slice(out, SLICE("Connection: keep-alive\r\n"));
    buf_add_slice(out, SLICE("\r\n"));
}

static void reply_over_http1(struct http_exchange *exchange, const struct http_reply *reply) {
    struct http_server *server = exchange->server;
    size_t had = exchange->reply.cap;

    exchange->close |= reply->close || server->conns.draining;
    http_exchange_head(exchange, reply, false);
    if (!exchange->head_only)
        buf_add_slice(&exchange->reply, reply->body);
    if (exchange->reply.cap == had)
        conn_stat_add(&server->stats.reply_pool.hits, 1);
}

void http_exchange_replied(struct http_exchange *exchange, const struct http_reply *reply) {
    struct http_server *server = exchange->server;

    if (exchange->arena.held <= ARENA_CHUNK)
        conn_stat_add(&server->stats.arena_pool.hits, 1);
    server->app.replied(server->app.ctx, exchange, reply->status, reply->body.len,
                        clock_mono_ns() / 1000 - exchange->started_us);
}

void http_reply(struct http_exchange *exchange, const struct http_reply *reply) {
    struct http_server *server = exchange->server;

    assert(!exchange->answered);
    exchange->answered = true;
    if (exchange->stream)
        http_stream_answered(exchange->stream, reply);
    else
        reply_over_http1(exchange, reply);
    http_exchange_replied(exchange, reply);
    conn_stat_add(&server->stats.exchanges, (uint64_t)-1);
    if (exchange->conn) {
        http_conn_answered(exchange->conn, exchange);
        return;
    }
    http_exchange_give(exchange);
    conn_set_check_drained(&server->conns);
}
