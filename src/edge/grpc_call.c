/* grpc_call.c - a call's life, and what its handler calls.
 *
 *     take ─► head, messages ─► handed ─► grpc_finish() ─► written, stream gone ─► free
 *                 └─ refused ──────────────────────────────►┘
 *
 * Its outcome is decided once ('ended'): by its handler, by a refusal, by the
 * deadline, or by the end of its stream. Whoever else is still to come (the
 * handler's grpc_finish(), the stream's end) only lets go of it.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "edge/grpc_internal.h"

#define ARENA_CHUNK (2048u - ARENA_CHUNK_HEAD)
#define ARENA_CAP   (8u << 20) /* a batch of 1,000 items, unpacked, fits well */

/* ---- beginning and end --------------------------------------------------- */

static struct grpc_call *recycled(struct grpc_server *server) {
    struct list *node = list_pop_front(&server->free_calls);

    if (node)
        return CONTAINER_OF(node, struct grpc_call, stream.node);
    struct grpc_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    arena_init_spare(&call->arena, &server->conns.spare, ARENA_CHUNK, ARENA_CAP);
    call->in.message.spare = call->stream.out.queue.spare = &server->conns.spare;
    return call;
}

struct h2_stream *grpc_call_begin(struct h2 *h2, void *ctx) {
    struct grpc_server *server = ctx;
    struct grpc_call *call = recycled(server);

    if (!call)
        return NULL;
    struct h2_stream stream = call->stream;
    struct arena arena = call->arena;
    struct buf message = call->in.message;
    struct buf trailers = call->out.trailers;

    *call = (struct grpc_call){
        .stream = stream,
        .server = server,
        .arena = arena,
        .started_us = clock_mono_ns() / 1000,
        .in = {.message = message},
        .out = {.trailers = trailers},
    };
    h2_stream_init(&call->stream, h2, loop_now_ms(server->loop) + server->conf.deadline_max_ms);
    conn_stat_add(&server->stats.calls, 1);
    return &call->stream;
}

static void give(struct grpc_call *call) {
    struct grpc_server *server = call->server;
    bool conn_gone = call->stream.h2 == NULL;

    h2_drop_body(&call->stream, &call->in.message);
    grpc_response_drop(call);
    h2_stream_done(&call->stream);
    arena_reset(&call->arena, ARENA_CHUNK);
    /* To the front: the one used last is warm in the cache. */
    list_push_back(server->free_calls.next, &call->stream.node);
    if (conn_gone)
        conn_set_check_drained(&server->conns);
}

static void decide(struct grpc_call *call, enum grpc_status status, struct slice message) {
    struct grpc_server *server = call->server;

    call->ended = true;
    if (server->conf.finished)
        server->conf.finished(server->conf.finished_ctx, call->method, status, message, call->trace,
                              clock_mono_ns() / 1000 - call->started_us);
}

/* Neither the handler nor the request needs it any more. */
static void settle(struct grpc_call *call) {
    h2_drop_body(&call->stream, &call->in.message);
    h2_unhold(call->stream.h2, call->in.field_bytes);
    call->in.field_bytes = 0;
    call->in.fields = NULL;
    call->trace = NULL;
    arena_reset(&call->arena, ARENA_CHUNK);
    conn_stat_add(&call->server->stats.calls, (uint64_t)-1);
}

static void tell_gone(struct grpc_call *call) {
    call->stream.out.overdue |= call->overflowed;
    call->overflowed = false;
    if (call->method->gone)
        call->method->gone(call->method->ctx, call);
}

/* Behind decide(), when it wasn't the handler's decision. */
static void let_go(struct grpc_call *call) {
    if (call->handed)
        tell_gone(call);
    else
        settle(call);
}

void grpc_call_refuse(struct grpc_call *call, enum grpc_status status, struct slice message) {
    if (call->ended)
        return;
    decide(call, status, message);
    grpc_response_end(call, status, message);
    let_go(call);
}

void grpc_call_refuse_http(struct grpc_call *call) {
    decide(call, GRPC_UNKNOWN, call->in.http_text);
    grpc_response_http(call, call->in.http_status, call->in.http_text);
    let_go(call);
}

void grpc_call_gone(struct h2_stream *stream) {
    struct grpc_call *call = grpc_call_of(stream);
    bool was_ended = call->ended;

    grpc_response_drop(call);
    if (!was_ended)
        decide(call, GRPC_CANCELLED, SLICE("the client went away"));
    if (call->handed) {
        if (!was_ended || call->overflowed)
            tell_gone(call); /* may finish, and so free it */
        return;
    }
    if (!was_ended)
        settle(call);
    give(call);
}

/* ---- time ---------------------------------------------------------------- */

void grpc_call_due(struct h2_stream *stream, int64_t now_ms) {
    struct grpc_call *call = grpc_call_of(stream);

    if (call->overflowed && call->handed)
        tell_gone(call);
    else if (!h2_overdue(stream, now_ms))
        return;
    else if (call->in.http_status)
        grpc_call_refuse_http(call);
    else
        grpc_call_refuse(call, GRPC_DEADLINE_EXCEEDED, SLICE("the deadline has passed"));
}

/* ---- what the handler calls ---------------------------------------------- */

struct arena *grpc_arena(struct grpc_call *call) {
    return &call->arena;
}

void grpc_set_data(struct grpc_call *call, void *data) {
    call->data = data;
}

void *grpc_data(const struct grpc_call *call) {
    return call->data;
}

int64_t grpc_deadline_ms(const struct grpc_call *call) {
    return call->stream.deadline_ms;
}

struct slice grpc_metadata(const struct grpc_call *call, struct slice name) {
    struct slice found = {NULL, 0};

    /* The list is in reverse order: the last hit is the first that came. */
    for (const struct grpc_field *field = call->in.fields; field; field = field->next)
        if (slice_eq(field->name, name))
            found = field->value;
    return found;
}

struct trace_context *grpc_trace(const struct grpc_call *call) {
    return call->trace;
}

void grpc_send(struct grpc_call *call, struct slice message) {
    assert(call->handed);
    if (call->ended || grpc_response_message(call, message))
        return;
    decide(call, GRPC_RESOURCE_EXHAUSTED, SLICE("the client doesn't take its responses"));
    grpc_response_end(call, GRPC_RESOURCE_EXHAUSTED,
                      SLICE("the client doesn't take its responses"));
    call->overflowed = true;
    conn_wake(h2_conn_of(call->stream.h2), loop_now_ms(call->server->loop)); /* grpc_call_due() */
}

bool grpc_ready(const struct grpc_call *call) {
    return h2_taken(&call->stream);
}

bool grpc_overdue(const struct grpc_call *call) {
    return call->stream.out.overdue;
}

void grpc_add_trailer(struct grpc_call *call, struct slice name, struct slice value) {
    assert(call->handed);
    grpc_response_trailer(call, name, value);
}

void grpc_finish(struct grpc_call *call, enum grpc_status status, struct slice message) {
    assert(call->handed);
    call->handed = false;
    if (!call->ended) {
        decide(call, status, message);
        grpc_response_end(call, status, message);
    }
    settle(call);
    if (call->stream.gone)
        give(call);
}
