/* http_stream.c - an HTTP/2 stream: one request and its answer.
 *
 *     begin ─► head ─► body ─► handed over ─► http_reply() ─► written, stream gone ─► free
 *                └──────┴─ refused ─┘
 *
 * A stream that was reset after it was handed over waits for its reply, to
 * nobody; until then it counts against streams_max (rapid reset, CVE-2023-44487).
 */
#include <stdlib.h>

#include "edge/http_internal.h"

#define ARENA_CHUNK (1024u - ARENA_CHUNK_HEAD)
#define ARENA_CAP   (2u << 20) /* twice the largest limits.header_bytes */
#define HELD_MAX    (4u << 20) /* requests in work and responses: beyond that none begins */

static struct http_stream *of(struct h2_stream *stream) {
    return CONTAINER_OF(stream, struct http_stream, h2);
}

/* ---- beginning and end --------------------------------------------------- */

static struct http_stream *recycled(struct http_server *server) {
    struct list *node = list_pop_front(&server->free_streams);

    if (node)
        return of(CONTAINER_OF(node, struct h2_stream, node));
    struct http_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    arena_init_spare(&stream->arena, &server->conns.spare, ARENA_CHUNK, ARENA_CAP);
    stream->body.spare = stream->h2.out.queue.spare = &server->conns.spare;
    return stream;
}

static struct h2_stream *on_begin(struct h2 *h2, void *ctx) {
    struct http_server *server = ctx;
    struct http_stream *stream = NULL;

    if (h2_held(h2) <= HELD_MAX)
        stream = recycled(server);
    if (!stream)
        return NULL;
    struct h2_stream own = stream->h2;
    struct arena arena = stream->arena;
    struct buf body = stream->body;

    *stream = (struct http_stream){.h2 = own, .server = server, .arena = arena, .body = body};
    h2_stream_init(&stream->h2, h2, loop_now_ms(server->loop) + server->conf.header_ms);
    return &stream->h2;
}

static void drop_request(struct http_stream *stream) {
    h2_unhold(stream->h2.h2, stream->head.held);
    stream->head.held = 0;
    h2_drop_body(&stream->h2, &stream->body);
    arena_reset(&stream->arena, ARENA_CHUNK);
}

/* The request's memory goes, the exchange's workspace counts instead: 100 batches in work are some
 * 20 MB. */
static void hold_work(struct http_stream *stream) {
    drop_request(stream);
    if (!stream->exchange || !stream->h2.h2)
        return;
    stream->head.held = stream->exchange->arena.held;
    if (!h2_hold(stream->h2.h2, stream->head.held, SIZE_MAX))
        stream->head.held = 0;
}

static void give(struct http_stream *stream) {
    h2_stream_done(&stream->h2);
    /* To the front: the one used last is warm in the cache. */
    list_push_back(stream->server->free_streams.next, &stream->h2.node);
}

void http_stream_free(struct http_stream *stream) {
    arena_release(&stream->arena);
    buf_release(&stream->body);
    buf_release(&stream->h2.out.queue);
    free(stream);
}

static void on_gone(struct h2_stream *h2) {
    struct http_stream *stream = of(h2);

    if (stream->exchange) {
        if (http_lasts(stream->exchange))
            http_lasting_gone(stream->exchange, h2->out.overdue);
        return;
    }
    drop_request(stream);
    give(stream);
}

/* ---- handing over -------------------------------------------------------- */

/* 'request' NULL: unreadable. Only the reply, which may come at once, ends the stream's part. */
static void hand_over(struct http_stream *stream, const struct http1_request *request,
                      enum err refusal, const char *detail) {
    struct http_server *server = stream->server;
    struct http_exchange *exchange = http_exchange_take(server, request);

    stream->handed = true;
    if (!exchange) {
        h2_fail(stream->h2.h2);
        return;
    }
    exchange->stream = stream;
    stream->exchange = exchange;
    conn_work_begins(h2_conn_of(stream->h2.h2));
    h2_set_deadline(&stream->h2, INT64_MAX); /* the application's own from here on */
    server->app.request(server->app.ctx, exchange, request, refusal, detail);
    hold_work(stream);
}

static void refuse(struct http_stream *stream, enum err err, const char *detail) {
    hand_over(stream, NULL, err, detail);
}

void http_stream_answered(struct http_stream *stream, const struct http_reply *reply) {
    if (!stream->h2.gone)
        http_stream_reply(stream, reply);
    http_stream_let_go(stream);
}

void http_stream_let_go(struct http_stream *stream) {
    stream->exchange->stream = NULL;
    stream->exchange = NULL;
    h2_unhold(stream->h2.h2, stream->head.held);
    stream->head.held = 0;
    if (stream->h2.h2)
        conn_work_ends(h2_conn_of(stream->h2.h2));
    if (stream->h2.gone)
        give(stream);
}

/* ---- the request --------------------------------------------------------- */

static void on_field(struct h2_stream *h2, struct slice name, struct slice value) {
    if (!h2->head_done) /* trailers mean nothing to us */
        http_stream_field(of(h2), name, value);
}

static void on_head(struct h2_stream *h2, bool body_follows) {
    struct http_stream *stream = of(h2);
    struct http_server *server = stream->server;
    enum err refusal = ERR_OK;

    if (!http_stream_head(stream, body_follows)) {
        refuse(stream, stream->problem, stream->detail);
        return;
    }
    stream->body_max = server->app.head(server->app.ctx, &stream->request, &refusal);
    if (refusal != ERR_OK)
        hand_over(stream, &stream->request, refusal, err_text(refusal));
    else if (stream->head.content_length > stream->body_max)
        refuse(stream, ERR_TOO_LARGE, "the body is too large");
    else if (body_follows) {
        if (stream->request.expects_continue)
            http_stream_continue(stream);
        h2_set_deadline(h2, loop_now_ms(server->loop) + server->conf.body_ms);
    }
}

static void on_data(struct h2_stream *h2, struct slice bytes) {
    struct http_stream *stream = of(h2);

    if (stream->handed)
        return;
    if (stream->body.len + bytes.len > stream->body_max)
        refuse(stream, ERR_TOO_LARGE, "the body is too large");
    else if (h2_make_room(h2, &stream->body, bytes.len, stream->head.content_length,
                          stream->body_max + HTTP_STREAM_IN_SLACK))
        buf_add_slice(&stream->body, bytes);
    else
        refuse(stream, ERR_BUSY, "the connection's requests take too much memory");
}

static void on_end(struct h2_stream *h2) {
    struct http_stream *stream = of(h2);

    if (stream->handed)
        return;
    stream->request.expects_continue = false;
    if (stream->request.has_body)
        stream->request.body = stream->body.len ? buf_slice(&stream->body) : SLICE("");
    hand_over(stream, &stream->request, ERR_OK, NULL);
}

/* It ends with the peer's FIN: nobody would hear of the rest. */
static bool is_lasting(const struct h2_stream *h2) {
    const struct http_stream *stream = CONTAINER_OF(h2, const struct http_stream, h2);

    return stream->exchange && http_lasts(stream->exchange);
}

static void on_due(struct h2_stream *h2, int64_t now_ms) {
    if (h2_overdue(h2, now_ms))
        refuse(of(h2), ERR_SLOW, "the request's body took too long");
}

const struct h2_user http_stream_user = {
    .begin = on_begin,
    .field = on_field,
    .head = on_head,
    .data = on_data,
    .end = on_end,
    .gone = on_gone,
    .due = on_due,
    .lasting = is_lasting,
};
