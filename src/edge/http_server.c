/* http_server.c - the server: what its connections share. */
#include "edge/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "edge/http_internal.h"

/* A browser pings before it uses a connection that has been quiet; more than that is a flood. */
#define PING_MIN_MS 1000

static struct h2_server *make_h2(struct http_server *server) {
    const struct http_server_conf *conf = &server->conf;

    return h2_server_new(&(struct h2_conf){.streams_max = conf->streams_max,
                                           .header_list_bytes = (uint32_t)conf->limits.header_bytes,
                                           .idle_ms = conf->idle_ms,
                                           .write_ms = conf->write_ms,
                                           .ping_min_ms = PING_MIN_MS},
                         &http_stream_user, server, &server->stats.floods_total);
}

struct http_server *http_server_new(struct loop *loop, const struct http_server_conf *conf,
                                    const struct http_app *app) {
    struct http_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    server->loop = loop;
    server->conf = *conf;
    server->next_span = ~conf->id_seed; /* other numbers than request ids */
    server->app = *app;
    list_init(&server->free_exchanges);
    list_init(&server->free_streams);
    (void)snprintf(server->next_id, sizeof(server->next_id), "%016llx%016x",
                   (unsigned long long)conf->id_seed, 0);
    conn_set_init(&server->conns, loop,
                  &(struct conn_set_conf){
                      .connections_max = conf->connections_max,
                      .connections = conf->connections,
                      .open = &server->stats.connections,
                      .refused = &server->stats.refused_total,
                      .busy = &server->stats.busy_connections,
                      .owed = &server->stats.exchanges,
                      .tls = conf->tls,
                      .penalty = conf->penalty,
                      .opened = http_protocol_open,
                  });
    server->h2 = make_h2(server);
    if (server->h2)
        return server;
    http_server_free(server);
    return NULL;
}

void http_server_free(struct http_server *server) {
    struct list *node;

    if (!server)
        return;
    conn_set_release(&server->conns);
    while ((node = list_pop_front(&server->free_exchanges))) {
        struct http_exchange *exchange = CONTAINER_OF(node, struct http_exchange, node);

        arena_release(&exchange->arena);
        buf_release(&exchange->reply);
        free(exchange);
    }
    while ((node = list_pop_front(&server->free_streams)))
        http_stream_free(CONTAINER_OF(node, struct http_stream, h2.node));
    buf_release(&server->body);
    h2_server_free(server->h2);
    spare_release(&server->conns.spare);
    free(server);
}

enum err http_server_listen(struct http_server *server, int fd) {
    return conn_set_listen(&server->conns, fd);
}

void http_server_drain(struct http_server *server, void (*done)(void *ctx), void *ctx) {
    conn_set_drain(&server->conns, done, ctx);
}

void http_server_abort(struct http_server *server) {
    conn_set_abort(&server->conns);
}

/* IMF-fixdate (RFC 9110 5.6.7), made once a second. */
const char *http_server_date(struct http_server *server) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t now_s = loop_wall_ms(server->loop) / 1000;

    if (now_s != server->date_s) {
        time_t t = (time_t)now_s;
        struct tm tm;

        gmtime_r(&t, &tm);
        (void)snprintf(server->date, sizeof(server->date),
                       "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + tm.tm_wday * 3,
                       (unsigned)tm.tm_mday % 100u, months + tm.tm_mon * 3,
                       (unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)tm.tm_hour % 100u,
                       (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u);
        server->date_s = now_s;
    }
    return server->date;
}

bool http_server_owes(const struct http_server *server) {
    return conn_set_owes(&server->conns);
}

const struct http_server_stats *http_server_stats(const struct http_server *server) {
    return &server->stats;
}
