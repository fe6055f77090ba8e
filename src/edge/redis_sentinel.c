/* redis_sentinel.c - ask one; on failure the next. */
#include "edge/redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>

#include "edge/redis_command.h"
#include "edge/redis_conn.h"

struct redis_sentinel {
    struct redis_sentinel_conf conf;
    struct redis_url url; /* of the one that is tried or connected */
    unsigned turn;
    struct redis_conn *conn;
    struct redis_request request;
    bool asking;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static const struct redis_scripts no_scripts;

/* Of "host:port,host:port", counted round. */
static void take_turn(struct redis_sentinel *sentinel) {
    struct slice list = slice_str(sentinel->conf.url->address);
    unsigned count = 1;
    unsigned skip;

    for (size_t i = 0; i < list.len; i++)
        count += list.ptr[i] == ',';
    for (skip = sentinel->turn++ % count; skip > 0; skip--)
        list = slice_skip(list, strcspn(list.ptr, ",") + 1);
    sentinel->url = (struct redis_url){0};
    (void)snprintf(sentinel->url.address, sizeof(sentinel->url.address), "%.*s",
                   (int)strcspn(list.ptr, ","), list.ptr);
}

static void say_unknown(struct redis_sentinel *sentinel, const char *why) {
    char text[512];

    (void)snprintf(text, sizeof(text), "the Sentinel %s doesn't tell the primary of %s: %s",
                   sentinel->url.address, sentinel->conf.url->master, why);
    sentinel->conf.told(sentinel->conf.ctx, NULL, text);
}

static void on_told(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_sentinel *sentinel = CONTAINER_OF(request, struct redis_sentinel, request);
    char address[REDIS_URL_TEXT_BYTES];

    sentinel->asking = false;
    if (!outcome->reply)
        return; /* on_down() says so */
    if (outcome->err != ERR_OK || redis_reply_count(outcome->reply) != 2) {
        /* Another one may know. */
        redis_conn_give_up(sentinel->conn, redis_reply_is_error(outcome->reply)
                                               ? "it refuses the question"
                                               : "it watches no group of this name");
        return;
    }
    struct slice host = redis_reply_text(redis_reply_at(outcome->reply, 0));
    struct slice port = redis_reply_text(redis_reply_at(outcome->reply, 1));
    bool v6 = host.len && memchr(host.ptr, ':', host.len);
    (void)snprintf(address, sizeof(address), "%s%.*s%s:%.*s", v6 ? "[" : "", SLICE_ARGS(host),
                   v6 ? "]" : "", SLICE_ARGS(port));
    sentinel->conf.told(sentinel->conf.ctx, address, NULL);
}

void redis_sentinel_ask(struct redis_sentinel *sentinel) {
    struct buf command = {0};

    if (sentinel->asking || !redis_conn_ready(sentinel->conn))
        return;
    redis_command_begin(&command, 3);
    redis_command_arg(&command, SLICE("SENTINEL"));
    redis_command_arg(&command, SLICE("GET-MASTER-ADDR-BY-NAME"));
    redis_command_arg(&command, slice_str(sentinel->conf.url->master));
    sentinel->request.done = on_told;
    sentinel->asking = !buf_failed(&command) && redis_conn_ask(sentinel->conn, &sentinel->request,
                                                               buf_slice(&command)) == ERR_OK;
    buf_release(&command);
}

static void on_ready(void *ctx) {
    redis_sentinel_ask(ctx);
}

static void on_down(void *ctx) {
    struct redis_sentinel *sentinel = ctx;

    say_unknown(sentinel, redis_conn_problem(sentinel->conn));
    take_turn(sentinel); /* the next attempt reads it */
}

struct redis_sentinel *redis_sentinel_new(struct loop *loop,
                                          const struct redis_sentinel_conf *conf) {
    struct redis_sentinel *sentinel = calloc(1, sizeof(*sentinel));

    if (!sentinel)
        return NULL;
    sentinel->conf = *conf;
    struct redis_conn_conf own = {.resolver = conf->resolver,
                                  .url = &sentinel->url,
                                  .scripts = &no_scripts,
                                  .connect_ms = conf->connect_ms,
                                  .response_ms = conf->response_ms,
                                  .backoff_min_ms = conf->backoff_min_ms,
                                  .backoff_max_ms = conf->backoff_max_ms,
                                  .on_ready = on_ready,
                                  .on_down = on_down,
                                  .ctx = sentinel,
                                  .seed = conf->seed};
    sentinel->turn = (unsigned)(conf->seed >> 33); /* not all loops to the first */
    take_turn(sentinel);
    sentinel->conn = redis_conn_new(loop, &own);
    if (sentinel->conn)
        return sentinel;
    free(sentinel);
    return NULL;
}

static void on_closed(void *ctx) {
    struct redis_sentinel *sentinel = ctx;
    void (*closed)(void *ctx) = sentinel->closed;
    void *closed_ctx = sentinel->closed_ctx;

    free(sentinel);
    closed(closed_ctx);
}

void redis_sentinel_close(struct redis_sentinel *sentinel, void (*closed)(void *ctx), void *ctx) {
    sentinel->closed = closed;
    sentinel->closed_ctx = ctx;
    redis_conn_close(sentinel->conn, on_closed, sentinel);
}
