/* redis_client.c - a connection on a loop that runs only while somebody waits. */
#include "edge/redis_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "edge/redis_conn.h"
#include "edge/redis_sentinel.h"
#include "loop/timer.h"

#define CONNECT_MS     2000
#define RESPONSE_MS    30000 /* a replica of a large store may take its time for a SCAN */
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 400
#define PROBLEM_BYTES  512

struct redis_client {
    struct redis_client_conf conf;
    struct redis_url url; /* of the server itself */
    struct loop *loop;
    struct resolver *resolver;
    struct redis_sentinel *sentinel;
    struct redis_conn *conn;
    struct timer patience;
    struct redis_request request;
    redis_take_fn take;
    void *ctx;
    enum err err; /* what became of the question */
    bool again;   /* it was lost on the way */
    char problem[PROBLEM_BYTES];
};

static char new_detail[PROBLEM_BYTES];

static void stop(void *ctx) {
    loop_stop(((struct redis_client *)ctx)->loop);
}

static void on_patience(struct timer *timer) {
    stop(CONTAINER_OF(timer, struct redis_client, patience));
}

static void keep_problem(struct redis_client *client, const char *text) {
    (void)snprintf(client->problem, sizeof(client->problem), "%s", text);
}

/* Runs the loop until something stops it, or until then. */
static enum err wait_until(struct redis_client *client, int64_t until_ms) {
    int64_t left_ms = until_ms - clock_mono_ms();

    client->patience.fire = on_patience;
    timer_start(client->loop, &client->patience, left_ms > 0 ? left_ms : 0);
    enum err err = loop_run(client->loop);
    timer_stop(client->loop, &client->patience);
    return err;
}

/* ---- connecting ---- */

static void on_told(void *ctx, const char *address, const char *why) {
    struct redis_client *client = ctx;

    if (address)
        (void)snprintf(client->url.address, sizeof(client->url.address), "%s", address);
    else
        keep_problem(client, why);
    if (address)
        stop(client);
}

/* Who is the primary? It stays that: a failover meanwhile ends the tool. */
static enum err ask_sentinels(struct redis_client *client, int64_t until_ms) {
    struct redis_sentinel_conf conf = {.resolver = client->resolver,
                                       .url = client->conf.url,
                                       .connect_ms = CONNECT_MS,
                                       .response_ms = CONNECT_MS,
                                       .backoff_min_ms = BACKOFF_MIN_MS,
                                       .backoff_max_ms = BACKOFF_MAX_MS,
                                       .told = on_told,
                                       .ctx = client,
                                       .seed = random_u64()};

    client->url.address[0] = '\0';
    client->sentinel = redis_sentinel_new(client->loop, &conf);
    if (!client->sentinel)
        return ERR_NO_MEMORY;
    enum err err = ERR_OK;
    while (err == ERR_OK && !client->url.address[0] && clock_mono_ms() < until_ms)
        err = wait_until(client, until_ms);
    redis_sentinel_close(client->sentinel, stop, client);
    if (err == ERR_OK)
        err = loop_run(client->loop);
    client->url.is_sentinel = false;
    if (err == ERR_OK && !client->url.address[0])
        err = ERR_UNREACHABLE;
    return err;
}

static enum err await_ready(struct redis_client *client, int64_t until_ms) {
    while (!redis_conn_ready(client->conn)) {
        if (redis_conn_refused(client->conn) || clock_mono_ms() >= until_ms) {
            keep_problem(client, redis_conn_problem(client->conn));
            return redis_conn_refused(client->conn) ? ERR_INVALID : ERR_UNREACHABLE;
        }
        enum err err = wait_until(client, until_ms);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err connect_to(struct redis_client *client) {
    int64_t until_ms = clock_mono_ms() + client->conf.patience_ms;
    struct redis_conn_conf conf = {.url = &client->url,
                                   .tls = client->conf.tls,
                                   .scripts = client->conf.scripts,
                                   .connect_ms = CONNECT_MS,
                                   .response_ms = RESPONSE_MS,
                                   .backoff_min_ms = BACKOFF_MIN_MS,
                                   .backoff_max_ms = BACKOFF_MAX_MS,
                                   .on_ready = stop,
                                   .on_down = stop,
                                   .ctx = client,
                                   .seed = random_u64()};
    enum err err = loop_new(&(struct loop_conf){.backend = LOOP_EPOLL}, &client->loop);

    if (err == ERR_OK)
        client->resolver = resolver_new();
    if (!client->resolver)
        return ERR_NO_MEMORY;
    if (client->url.is_sentinel)
        err = ask_sentinels(client, until_ms);
    if (err != ERR_OK)
        return err;
    conf.resolver = client->resolver;
    client->conn = redis_conn_new(client->loop, &conf);
    return client->conn ? await_ready(client, until_ms) : ERR_NO_MEMORY;
}

enum err redis_client_new(const struct redis_client_conf *conf, struct redis_client **out,
                          const char **out_detail) {
    struct redis_client *client = calloc(1, sizeof(*client));

    *out_detail = new_detail;
    (void)snprintf(new_detail, sizeof(new_detail), "out of memory");
    if (!client)
        return ERR_NO_MEMORY;
    client->conf = *conf;
    client->url = *conf->url;
    enum err err = connect_to(client);
    client->conf.url = NULL; /* the caller's */
    if (err == ERR_OK) {
        *out = client;
        return ERR_OK;
    }
    if (client->problem[0])
        (void)snprintf(new_detail, sizeof(new_detail), "%s", client->problem);
    redis_client_free(client);
    return err;
}

void redis_client_free(struct redis_client *client) {
    if (!client)
        return;
    if (client->conn) {
        redis_conn_close(client->conn, stop, client);
        if (loop_run(client->loop) != ERR_OK)
            abort(); /* epoll itself fails: nothing can be taken apart any more */
    }
    if (client->loop)
        loop_free(client->loop);
    resolver_free(client->resolver);
    explicit_bzero(client->url.password, sizeof(client->url.password));
    free(client);
}

const char *redis_client_problem(const struct redis_client *client) {
    return client->problem;
}

/* ---- asking ---- */

static void on_done(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_client *client = CONTAINER_OF(request, struct redis_client, request);
    client->err = outcome->err;
    client->again = !outcome->reply || redis_reply_passes(outcome->reply);
    if (outcome->err == ERR_OK)
        client->err = client->take(client->ctx, outcome->reply);
    else if (outcome->reply)
        (void)snprintf(client->problem, sizeof(client->problem), "%.*s",
                       SLICE_ARGS(redis_reply_text(outcome->reply)));
    stop(client);
}

static enum err ask_once(struct redis_client *client, struct slice command, int64_t until_ms) {
    client->again = true;
    client->request.done = on_done;
    enum err err = await_ready(client, until_ms);
    if (err != ERR_OK) {
        client->again = false;
        return err;
    }
    err = redis_conn_ask(client->conn, &client->request, command);
    if (err != ERR_OK)
        return err;
    client->err = ERR_BUSY;      /* until on_done(), which comes also when the connection breaks */
    err = wait_until(client, 0); /* it leaves at the end of a turn, so there must be one */
    while (err == ERR_OK && redis_conn_requests(client->conn) > 0)
        err = loop_run(client->loop);
    return err == ERR_OK ? client->err : err;
}

enum err redis_client_ask(struct redis_client *client, struct slice command, redis_take_fn take,
                          void *ctx) {
    int64_t until_ms = clock_mono_ms() + client->conf.patience_ms;
    enum err err;

    client->take = take;
    client->ctx = ctx;
    do
        err = ask_once(client, command, until_ms);
    while (err != ERR_OK && client->again && clock_mono_ms() < until_ms);
    return err;
}
