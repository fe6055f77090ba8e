/* grpc_server.c - the server: what its connections share. */
#include "edge/grpc_server.h"

#include <stdlib.h>

#include "edge/grpc_internal.h"

static bool on_opened(struct conn *conn) {
    return h2_open(CONTAINER_OF(conn->set, struct grpc_server, conns)->h2, conn);
}

static bool is_lasting(const struct h2_stream *stream) {
    const struct grpc_call *call = CONTAINER_OF(stream, const struct grpc_call, stream);

    return call->method && call->method->long_lived;
}

/* Calls that would last for ever are told to begin again elsewhere. */
static void on_draining(struct h2_stream *stream) {
    struct grpc_call *call = grpc_call_of(stream);

    if (call->method && (call->method->long_lived || call->method->client_streams))
        grpc_call_refuse(call, GRPC_UNAVAILABLE, SLICE("the server is shutting down"));
}

static const struct h2_user user = {
    .begin = grpc_call_begin,
    .field = grpc_request_field,
    .head = grpc_request_head,
    .data = grpc_request_data,
    .end = grpc_request_end,
    .gone = grpc_call_gone,
    .due = grpc_call_due,
    .trailers = grpc_response_trailers,
    .lasting = is_lasting,
    .draining = on_draining,
};

struct grpc_server *grpc_server_new(struct loop *loop, const struct grpc_server_conf *conf) {
    struct grpc_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    server->loop = loop;
    server->conf = *conf;
    server->next_span = conf->span_seed;
    list_init(&server->free_calls);
    conn_set_init(
        &server->conns, loop,
        &(struct conn_set_conf){
            .connections_max = conf->connections_max,
            .connections = conf->connections ? conf->connections : &server->own_connections,
            .open = &server->stats.connections,
            .refused = &server->stats.refused_total,
            .owed = &server->stats.calls,
            .tls = conf->tls,
            .penalty = conf->penalty,
            .opened = on_opened,
        });
    server->h2 = h2_server_new(&(struct h2_conf){.streams_max = conf->streams_max,
                                                 .header_list_bytes = GRPC_HEADER_LIST_MAX,
                                                 .idle_ms = conf->idle_ms,
                                                 .write_ms = conf->write_ms,
                                                 .ping_min_ms = conf->keepalive_min_ms},
                               &user, server, &server->stats.floods_total);
    server->gunzip = gunzip_new();
    if (!server->h2 || !server->gunzip) {
        grpc_server_free(server);
        return NULL;
    }
    return server;
}

void grpc_server_free(struct grpc_server *server) {
    struct list *node;

    if (!server)
        return;
    conn_set_release(&server->conns);
    while ((node = list_pop_front(&server->free_calls))) {
        struct grpc_call *call = CONTAINER_OF(node, struct grpc_call, stream.node);

        arena_release(&call->arena);
        buf_release(&call->in.message);
        buf_release(&call->stream.out.queue);
        buf_release(&call->out.trailers);
        free(call);
    }
    buf_release(&server->inflated);
    gunzip_free(server->gunzip);
    h2_server_free(server->h2);
    spare_release(&server->conns.spare);
    free(server);
}

enum err grpc_server_listen(struct grpc_server *server, int fd) {
    return conn_set_listen(&server->conns, fd);
}

void grpc_server_send_away(struct grpc_server *server) {
    conn_set_send_away(&server->conns);
}

void grpc_server_drain(struct grpc_server *server, void (*done)(void *ctx), void *ctx) {
    conn_set_drain(&server->conns, done, ctx);
}

void grpc_server_abort(struct grpc_server *server) {
    conn_set_abort(&server->conns);
}

const struct grpc_method *grpc_method_find(const struct grpc_server *server, struct slice path) {
    for (size_t i = 0; i < server->conf.method_count; i++)
        if (slice_eq(server->conf.methods[i].path, path))
            return &server->conf.methods[i];
    return NULL;
}

bool grpc_server_owes(const struct grpc_server *server) {
    return conn_set_owes(&server->conns);
}

const struct grpc_server_stats *grpc_server_stats(const struct grpc_server *server) {
    return &server->stats;
}
