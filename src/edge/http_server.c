/* http_server.c - accepting, draining, and the objects that are recycled. */
#include "edge/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "edge/http_internal.h"

static void flush_dirty(struct loop_hook *hook) {
    struct http_server *server = CONTAINER_OF(hook, struct http_server, flush);
    struct list *node;

    while ((node = list_pop_front(&server->dirty)))
        http_conn_flush(CONTAINER_OF(node, struct http_conn, dirty));
}

static void call_drained(struct timer *timer) {
    struct http_server *server = CONTAINER_OF(timer, struct http_server, drained_timer);

    server->drained.done(server->drained.ctx);
}

struct http_server *http_server_new(struct loop *loop, const struct http_server_conf *conf,
                                    const struct http_app *app) {
    struct http_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    server->loop = loop;
    server->conf = *conf;
    server->app = *app;
    list_init(&server->conns);
    list_init(&server->dirty);
    list_init(&server->free_exchanges);
    (void)snprintf(server->id_prefix, sizeof(server->id_prefix), "%016llx",
                   (unsigned long long)conf->id_seed);
    server->drained_timer.fire = call_drained;
    server->flush.run = flush_dirty;
    loop_hook_add(loop, &server->flush);
    return server;
}

void http_server_free(struct http_server *server) {
    struct list *node;

    if (!server)
        return;
    listener_close(server->listener);
    loop_hook_remove(&server->flush);
    timer_stop(server->loop, &server->drained_timer);
    while ((node = list_pop_front(&server->free_exchanges))) {
        struct http_exchange *exchange = CONTAINER_OF(node, struct http_exchange, node);

        arena_release(&exchange->arena);
        buf_release(&exchange->reply);
        free(exchange);
    }
    buf_release(&server->body);
    free(server);
}

static void on_accept(void *ctx, struct stream *stream) {
    struct http_server *server = ctx;

    http_conn_open(server, stream);
}

enum err http_server_listen(struct http_server *server, int fd) {
    return listener_new(server->loop, fd, on_accept, server, &server->listener);
}

static void check_drained(struct http_server *server) {
    if (server->draining && server->drained.done && list_empty(&server->conns) &&
        atomic_load_explicit(&server->stats.exchanges, memory_order_relaxed) == 0 &&
        !timer_armed(&server->drained_timer))
        timer_start(server->loop, &server->drained_timer, 0);
}

void http_server_drain(struct http_server *server, void (*done)(void *ctx), void *ctx) {
    server->draining = true;
    server->drained.done = done;
    server->drained.ctx = ctx;
    listener_close(server->listener);
    server->listener = NULL;
    for (struct list *node = server->conns.next, *next; node != &server->conns; node = next) {
        next = node->next;
        http_conn_finish(CONTAINER_OF(node, struct http_conn, node));
    }
    check_drained(server);
}

void http_server_abort(struct http_server *server) {
    for (struct list *node = server->conns.next, *next; node != &server->conns; node = next) {
        next = node->next;
        http_conn_abort(CONTAINER_OF(node, struct http_conn, node));
    }
}

void http_server_gone(struct http_server *server, struct http_conn *conn) {
    if (conn) {
        list_remove(&conn->node);
        stat_add(&server->stats.connections, (uint64_t)-1);
        atomic_fetch_sub_explicit(server->conf.connections, 1, memory_order_relaxed);
    }
    check_drained(server);
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
    return !list_empty(&server->dirty);
}

const struct http_server_stats *http_server_stats(const struct http_server *server) {
    return &server->stats;
}
