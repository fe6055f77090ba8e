/* grpc_server.c - accepting, draining, and the objects that are recycled. */
#include "edge/grpc_server.h"

#include <stdlib.h>

#include "edge/grpc_internal.h"

static void flush_dirty(struct loop_hook *hook) {
    struct grpc_server *server = CONTAINER_OF(hook, struct grpc_server, flush);
    struct list *node;

    while ((node = list_pop_front(&server->dirty)))
        grpc_conn_flush(CONTAINER_OF(node, struct grpc_conn, dirty));
}

static void call_drained(struct timer *timer) {
    struct grpc_server *server = CONTAINER_OF(timer, struct grpc_server, drained_timer);

    server->drained.done(server->drained.ctx);
}

struct grpc_server *grpc_server_new(struct loop *loop, const struct grpc_server_conf *conf) {
    struct grpc_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    server->loop = loop;
    server->conf = *conf;
    list_init(&server->conns);
    list_init(&server->dirty);
    list_init(&server->free_calls);
    server->drained_timer.fire = call_drained;
    server->flush.run = flush_dirty;
    loop_hook_add(loop, &server->flush);
    server->callbacks = grpc_session_callbacks();
    server->option = grpc_session_option();
    server->gunzip = gunzip_new();
    if (!server->callbacks || !server->option || !server->gunzip) {
        grpc_server_free(server);
        return NULL;
    }
    return server;
}

void grpc_server_free(struct grpc_server *server) {
    struct list *node;

    if (!server)
        return;
    listener_close(server->listener);
    loop_hook_remove(&server->flush);
    timer_stop(server->loop, &server->drained_timer);
    while ((node = list_pop_front(&server->free_calls))) {
        struct grpc_call *call = CONTAINER_OF(node, struct grpc_call, node);

        arena_release(&call->arena);
        buf_release(&call->in.message);
        buf_release(&call->out.queue);
        buf_release(&call->out.trailers);
        free(call);
    }
    buf_release(&server->inflated);
    gunzip_free(server->gunzip);
    nghttp2_option_del(server->option);
    nghttp2_session_callbacks_del(server->callbacks);
    free(server);
}

static void on_accept(void *ctx, struct stream *stream) {
    struct grpc_server *server = ctx;

    grpc_conn_open(server, stream);
}

enum err grpc_server_listen(struct grpc_server *server, int fd) {
    return listener_new(server->loop, fd, on_accept, server, &server->listener);
}

static void check_drained(struct grpc_server *server) {
    if (server->draining && server->drained.done && list_empty(&server->conns) &&
        atomic_load_explicit(&server->stats.calls, memory_order_relaxed) == 0 &&
        !timer_armed(&server->drained_timer))
        timer_start(server->loop, &server->drained_timer, 0);
}

void grpc_server_drain(struct grpc_server *server, void (*done)(void *ctx), void *ctx) {
    server->draining = true;
    server->drained.done = done;
    server->drained.ctx = ctx;
    listener_close(server->listener);
    server->listener = NULL;
    for (struct list *node = server->conns.next; node != &server->conns; node = node->next)
        grpc_conn_drain(CONTAINER_OF(node, struct grpc_conn, node));
    check_drained(server);
}

void grpc_server_abort(struct grpc_server *server) {
    for (struct list *node = server->conns.next; node != &server->conns; node = node->next)
        grpc_conn_abort(CONTAINER_OF(node, struct grpc_conn, node));
}

void grpc_server_gone(struct grpc_server *server, struct grpc_conn *conn) {
    if (conn) {
        list_remove(&conn->node);
        stat_add(&server->stats.connections, (uint64_t)-1);
    }
    check_drained(server);
}

const struct grpc_method *grpc_method_find(const struct grpc_server *server, struct slice path) {
    for (size_t i = 0; i < server->conf.method_count; i++)
        if (slice_eq(server->conf.methods[i].path, path))
            return &server->conf.methods[i];
    return NULL;
}

bool grpc_server_owes(const struct grpc_server *server) {
    return !list_empty(&server->dirty);
}

const struct grpc_server_stats *grpc_server_stats(const struct grpc_server *server) {
    return &server->stats;
}
