/* http_fixture.c */
#include "http_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/stream.h"

static void must(bool ok, const char *what) {
    if (ok)
        return;
    perror(what);
    abort();
}

/* ---- the application ----------------------------------------------------- */

static void reply(struct http_exchange *exchange, int status, struct slice body) {
    http_reply(exchange, &(struct http_reply){.status = status,
                                              .content_type = body.ptr ? SLICE("text/plain")
                                                                       : (struct slice){NULL, 0},
                                              .headers = SLICE("X-Fixture: Yes\r\n"),
                                              .body = body});
}

static size_t on_head(void *ctx, const struct http1_request *request, enum err *out_refusal) {
    (void)ctx;
    if (request->expectation_failed)
        *out_refusal = ERR_EXPECTATION;
    if (slice_eq(request->path, SLICE("/refuse")))
        *out_refusal = ERR_METHOD;
    return slice_eq(request->path, SLICE("/large")) ? 1u << 20 : 65536;
}

static const char *method_text(enum http_method method) {
    static const char *const texts[HTTP_METHODS] = {"GET",    "HEAD",    "POST", "PUT",
                                                    "DELETE", "OPTIONS", "other"};

    return texts[method];
}

static void echo(struct http_exchange *exchange, const struct http1_request *request) {
    struct buf *body = http_body(exchange);

    buf_printf(body, "%s %.*s", method_text(request->method), SLICE_ARGS(request->path));
    if (request->query.ptr)
        buf_printf(body, "?%.*s", SLICE_ARGS(request->query));
    buf_printf(body, " %s", request->has_body ? "" : "-");
    buf_add_slice(body, request->body);
    reply(exchange, 200, buf_slice(body));
}

static void list_fields(struct http_exchange *exchange, const struct http1_request *request) {
    struct buf *body = http_body(exchange);

    for (size_t i = 0; i < request->header_count; i++)
        buf_printf(body, "%.*s=%.*s\n", SLICE_ARGS(request->headers[i].name),
                   SLICE_ARGS(request->headers[i].value));
    reply(exchange, 200, buf_slice(body));
}

static void bytes(struct http_exchange *exchange, const struct http1_request *request) {
    size_t n = strtoul(request->query.ptr, NULL, 10);
    struct buf *body = http_body(exchange);

    must(buf_reserve(body, n), "memory");
    memset(body->ptr, 'b', n);
    body->len = n;
    reply(exchange, 200, buf_slice(body));
}

static void release(struct http_fixture *f, struct http_exchange *exchange) {
    while (f->held_count)
        reply(f->held[--f->held_count], 200, SLICE("held"));
    reply(exchange, 200, SLICE("released"));
}

/* ---- replies that last ---- */

struct lasting {
    struct http_fixture *f;
    struct http_exchange *exchange;
};

static void remove_lasting(struct http_fixture *f, const struct http_exchange *exchange) {
    unsigned i = 0;

    while (f->lasting[i] != exchange)
        i++;
    f->lasting[i] = f->lasting[--f->lasting_count];
}

static void on_gone(void *ctx, bool slow) {
    struct lasting *lasting = ctx; /* in the exchange's arena */
    struct http_fixture *f = lasting->f;

    f->gone++;
    f->slow += slow;
    remove_lasting(f, lasting->exchange);
    http_finish(lasting->exchange);
}

static void begin_lasting(struct http_fixture *f, struct http_exchange *exchange) {
    struct lasting *lasting = arena_alloc(http_arena(exchange), sizeof(*lasting));

    *lasting = (struct lasting){f, exchange};
    if (!http_begin(exchange,
                    &(struct http_reply){.status = 200, .content_type = SLICE("text/plain")},
                    &(struct http_lasting){lasting, on_gone}))
        return;
    f->lasting[f->lasting_count++] = exchange;
    http_send(exchange, SLICE("begun"));
}

static void send_more(struct http_fixture *f, struct http_exchange *exchange,
                      const struct http1_request *request) {
    size_t n = strtoul(request->query.ptr, NULL, 10);
    char *more = malloc(n + 1);
    char count[32];
    unsigned ready = 0;

    memset(more, 'm', n);
    for (unsigned i = 0; i < f->lasting_count; i++) {
        if (!http_ready(f->lasting[i]))
            continue;
        http_send(f->lasting[i], slice_of(more, n));
        ready++;
    }
    free(more);
    (void)snprintf(count, sizeof(count), "%u of %u", ready, f->lasting_count);
    reply(exchange, 200, slice_str(count));
}

static void finish_lasting(struct http_fixture *f) {
    while (f->lasting_count)
        http_finish(f->lasting[--f->lasting_count]);
}

static void on_request(void *ctx, struct http_exchange *exchange,
                       const struct http1_request *request, enum err refusal, const char *detail) {
    struct http_fixture *f = ctx;

    if (refusal != ERR_OK)
        reply(exchange, err_http(refusal), slice_str(detail));
    else if (slice_eq(request->path, SLICE("/fields")))
        list_fields(exchange, request);
    else if (slice_eq(request->path, SLICE("/bytes")))
        bytes(exchange, request);
    else if (slice_eq(request->path, SLICE("/hold")))
        f->held[f->held_count++] = exchange;
    else if (slice_eq(request->path, SLICE("/release")))
        release(f, exchange);
    else if (slice_eq(request->path, SLICE("/last")))
        begin_lasting(f, exchange);
    else if (slice_eq(request->path, SLICE("/more")))
        send_more(f, exchange, request);
    else if (slice_eq(request->path, SLICE("/finish"))) {
        finish_lasting(f);
        reply(exchange, 200, SLICE("finished"));
    } else if (slice_eq(request->path, SLICE("/empty")))
        reply(exchange, 204, (struct slice){NULL, 0});
    else
        echo(exchange, request);
}

static void on_replied(void *ctx, const struct http_exchange *exchange, int status,
                       size_t body_bytes, int64_t duration_us) {
    struct http_fixture *f = ctx;

    (void)exchange, (void)body_bytes, (void)duration_us;
    f->by_status[status]++;
}

/* ---- its server ---------------------------------------------------------- */

static void stop(void *ctx) {
    struct http_fixture *f = ctx;

    loop_stop(f->loop);
}

static void run_drain(struct mail *mail) {
    struct http_fixture *f = CONTAINER_OF(mail, struct http_fixture, drain);

    http_server_drain(f->server, stop, f);
    while (f->held_count) /* nobody will ask for them any more */
        reply(f->held[--f->held_count], 200, SLICE("held"));
    finish_lasting(f);
}

static void check_stats(const struct http_server_stats *stats) {
    must(stats->connections == 0, "a connection is left over");
    must(stats->busy_connections == 0, "a connection is still busy");
    must(stats->exchanges == 0, "an exchange is left over");
    must(stats->exchange_pool.gets == stats->exchange_pool.puts, "an exchange isn't back");
    must(stats->arena_pool.gets == stats->arena_pool.puts, "an arena isn't back");
}

static void *serve(void *arg) {
    struct http_fixture *f = arg;
    struct http_app app = {.ctx = f, .head = on_head, .request = on_request, .replied = on_replied};
    char name[64];
    int fd;

    must(loop_new(&(struct loop_conf){.backend = fixture_backend}, &f->loop) == ERR_OK, "loop_new");
    f->server = http_server_new(f->loop, &f->conf, &app);
    must(f->server, "http_server_new");
    must(socket_listen(SLICE("127.0.0.1:0"), 0, &fd) == ERR_OK, "listen");
    socket_name(fd, name, sizeof(name));
    f->base.port = atoi(strrchr(name, ':') + 1);
    must(http_server_listen(f->server, fd) == ERR_OK, "http_server_listen");
    sem_post(&f->ready);
    must(loop_run(f->loop) == ERR_OK, "loop_run");
    f->floods = http_server_stats(f->server)->floods_total;
    check_stats(http_server_stats(f->server));
    must(f->connections == 0, "a connection is still counted");
    http_server_free(f->server);
    loop_free(f->loop);
    return NULL;
}

void http_start(struct http_fixture *f, const struct http_server_conf *conf) {
    memset(f, 0, sizeof(*f));
    f->conf = *conf;
    f->conf.connections = &f->connections;
    f->drain.run = run_drain;
    sem_init(&f->ready, 0, 0);
    must(pthread_create(&f->thread, NULL, serve, f) == 0, "pthread_create");
    sem_wait(&f->ready);
}

void http_drain(struct http_fixture *f) {
    must(mailbox_send(loop_mailbox(f->loop), &f->drain) == ERR_OK, "mailbox_send");
    f->draining = true;
}

void http_stop(struct http_fixture *f) {
    if (!f->draining)
        http_drain(f);
    pthread_join(f->thread, NULL);
    sem_destroy(&f->ready);
}
