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

#define ARENA_CHUNK 2048u
#define ARENA_CAP   (8u << 20) /* a batch of 1,000 items, unpacked, fits well */

/* ---- beginning and end --------------------------------------------------- */

static struct grpc_call *recycled(struct grpc_server *server) {
    struct list *node = list_pop_front(&server->free_calls);

    if (node)
        return CONTAINER_OF(node, struct grpc_call, node);
    struct grpc_call *call = calloc(1, sizeof(*call));
    if (call)
        arena_init(&call->arena, ARENA_CHUNK, ARENA_CAP);
    return call;
}

struct grpc_call *grpc_call_take(struct grpc_conn *conn, int32_t stream_id) {
    struct grpc_server *server = conn->server;
    struct grpc_call *call = recycled(server);

    if (!call)
        return NULL;
    struct arena arena = call->arena;
    struct buf message = call->in.message;
    struct buf queue = call->out.queue;
    struct buf trailers = call->out.trailers;

    *call = (struct grpc_call){
        .server = server,
        .conn = conn,
        .stream_id = stream_id,
        .arena = arena,
        .started_us = clock_mono_ns() / 1000,
        .deadline_ms = loop_now_ms(server->loop) + server->conf.deadline_max_ms,
        .in = {.message = message},
        .out = {.queue = queue, .trailers = trailers},
    };
    list_init(&call->node);
    list_push_back(&conn->calls, &call->node);
    conn->open_streams++;
    grpc_conn_wake(conn, call->deadline_ms);
    stat_add(&server->stats.calls, 1);
    return call;
}

static void give(struct grpc_call *call) {
    struct grpc_server *server = call->server;
    struct grpc_conn *conn = call->conn;

    list_remove(&call->node);
    grpc_request_drop(call);
    grpc_response_drop(call);
    arena_reset(&call->arena, ARENA_CHUNK);
    /* To the front: the one used last is warm in the cache. */
    list_push_back(server->free_calls.next, &call->node);
    if (!conn) {
        grpc_server_gone(server, NULL);
    } else if (list_empty(&conn->calls)) {
        conn->idle_since_ms = loop_now_ms(server->loop);
        grpc_conn_wake(conn, conn->idle_since_ms + server->conf.idle_ms);
        grpc_conn_touch(conn);
    }
}

static void decide(struct grpc_call *call, enum grpc_status status, struct slice message) {
    struct grpc_server *server = call->server;

    call->ended = true;
    if (server->conf.finished)
        server->conf.finished(server->conf.finished_ctx, call->method, status, message,
                              clock_mono_ns() / 1000 - call->started_us);
    /* From here on: the client's time to take the answer. */
    call->deadline_ms = INT64_MAX;
    if (call->conn && !call->stream_gone) {
        call->deadline_ms = loop_now_ms(server->loop) + server->conf.idle_ms;
        grpc_conn_wake(call->conn, call->deadline_ms);
    }
}

/* Neither the handler nor the request needs it any more. */
static void settle(struct grpc_call *call) {
    grpc_request_drop(call);
    if (call->conn)
        call->conn->in_bytes -= call->in.field_bytes;
    call->in.field_bytes = 0;
    call->in.fields = NULL;
    arena_reset(&call->arena, ARENA_CHUNK);
    stat_add(&call->server->stats.calls, (uint64_t)-1);
}

static void tell_gone(struct grpc_call *call) {
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

void grpc_call_stream_gone(struct grpc_call *call) {
    bool was_ended = call->ended;

    call->stream_gone = true;
    grpc_response_drop(call);
    if (call->conn) {
        call->conn->open_streams--;
        call->conn->orphans += call->handed;
    }
    call->deadline_ms = INT64_MAX;
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

void grpc_call_conn_gone(struct grpc_call *call) {
    list_remove(&call->node);
    call->conn = NULL;
    if (!call->stream_gone)
        grpc_call_stream_gone(call);
}

/* ---- time ---------------------------------------------------------------- */

void grpc_call_deadline(struct grpc_call *call, int64_t now_ms) {
    struct grpc_conn *conn = call->conn;

    if (call->overflowed && call->handed)
        tell_gone(call);
    else if (now_ms < call->deadline_ms)
        return;
    else if (call->ended) {
        /* Its answer hasn't been taken: a window that stays shut. */
        call->deadline_ms = INT64_MAX;
        grpc_conn_check(conn, nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE,
                                                        call->stream_id, NGHTTP2_CANCEL));
        grpc_conn_touch(conn);
    } else if (!call->in.head_done) {
        grpc_conn_flood(conn, "a header block without an end");
    } else if (call->in.http_status) {
        grpc_call_refuse_http(call);
    } else {
        grpc_call_refuse(call, GRPC_DEADLINE_EXCEEDED, SLICE("the deadline has passed"));
    }
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
    return call->deadline_ms;
}

struct slice grpc_metadata(const struct grpc_call *call, struct slice name) {
    struct slice found = {NULL, 0};

    /* The list is in reverse order: the last hit is the first that came. */
    for (const struct grpc_field *field = call->in.fields; field; field = field->next)
        if (slice_eq(field->name, name))
            found = field->value;
    return found;
}

void grpc_send(struct grpc_call *call, struct slice message) {
    assert(call->handed);
    if (call->ended || grpc_response_message(call, message))
        return;
    decide(call, GRPC_RESOURCE_EXHAUSTED, SLICE("the client doesn't take its responses"));
    grpc_response_end(call, GRPC_RESOURCE_EXHAUSTED,
                      SLICE("the client doesn't take its responses"));
    call->overflowed = true;
    grpc_conn_wake(call->conn, loop_now_ms(call->server->loop));
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
    if (!call->stream_gone)
        return;
    if (call->conn)
        call->conn->orphans--;
    give(call);
}
