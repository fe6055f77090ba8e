/* redis_link.c - one connection: ready, opened, usable; scripts loaded again; housekeeping. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/random.h"
#include "counter/redis_internal.h"
#include "edge/redis_command.h"

#define BACKOFF_MIN_MS 25
#define BACKOFF_MAX_MS 400 /* what is back is found within a second, by gateways too */
#define TIDY_EVERY_MS  1000
#define LOOK_EVERY_MS  2000 /* what the server gives: some 50 us of its time */

static const struct redis_scripts scripts = {{&redis_script_apply, &redis_script_open,
                                              &redis_script_tidy, &redis_script_consumer,
                                              &redis_script_lease}};

/* ---- up and down ---- */

static void on_ready(void *ctx) {
    redis_hello_ask(ctx);
}

void redis_link_usable(struct redis_link *link, bool usable) {
    struct redis_store *store = link->store;
    struct redis_fleet *fleet = store->fleet;

    if (link->usable == usable)
        return;
    link->usable = usable;
    store->usable += usable ? 1 : -1u;
    if (store->usable == (usable ? 1 : 0) && !store->aside)
        atomic_fetch_add(&fleet->loops_up, usable ? 1 : -1u);
    if (!usable)
        atomic_fetch_sub(&fleet->usable, 1);
    metrics_set(fleet->conf.metrics, store->shard, fleet->series.connections, store->usable);
}

static void tell_user(struct redis_store *store) {
    bool up = store->usable > 0;

    if (store->told && store->told_up == up)
        return;
    store->told = true;
    store->told_up = up;
    store->user.changed(store->user.ctx, up);
}

/* ---- who is the primary? ---- */

static void on_primary(void *ctx, const char *address, const char *why) {
    struct redis_store *store = ctx;

    store->sentinel_silent = !address;
    if (!address) {
        if (store->usable == 0)
            redis_fleet_link_down(store->fleet, ERR_UNREACHABLE, why);
        return;
    }
    if (strcmp(address, store->url.address) == 0)
        return;
    log_line(LOG_INFO, "Sentinels tell the primary", LOG_STR("store", store->fleet->name),
             LOG_STR("primary", address), LOG_STR("before", store->url.address));
    (void)snprintf(store->url.address, sizeof(store->url.address), "%s", address);
}

bool redis_link_watch(struct redis_store *store) {
    const struct redis_fleet_conf *own = &store->fleet->conf;
    struct redis_sentinel_conf conf = {.resolver = own->resolver,
                                       .url = &own->url,
                                       .connect_ms = own->connect_ms,
                                       .response_ms = own->response_ms,
                                       .backoff_min_ms = BACKOFF_MIN_MS,
                                       .backoff_max_ms = BACKOFF_MAX_MS,
                                       .told = on_primary,
                                       .ctx = store,
                                       .seed = random_u64()};

    store->url = own->url;
    if (!own->url.is_sentinel)
        return true;
    store->url.is_sentinel = false;
    store->url.address[0] = '\0';
    store->sentinel = redis_sentinel_new(store->loop, &conf);
    return store->sentinel != NULL;
}

/* ---- down ---- */

static void on_down(void *ctx) {
    struct redis_link *link = ctx;
    struct redis_store *store = link->store;
    enum err err = link->opened;

    if (err == ERR_OK)
        err = redis_conn_refused(link->conn) ? ERR_INVALID : ERR_UNREACHABLE;
    link->opened = ERR_OK;
    redis_link_usable(link, false);
    if (store->sentinel) /* it may be another one by now */
        redis_sentinel_ask(store->sentinel);
    if (!store->url.address[0] && !store->sentinel_silent)
        return; /* nothing has been tried: Sentinels are still to tell */
    if (!store->sentinel_silent)
        redis_fleet_link_down(store->fleet, err, redis_conn_problem(link->conn));
    tell_user(store);
}

void redis_link_opened(struct redis_link *link) {
    if (link->opened != ERR_OK) {
        redis_conn_give_up(link->conn, link->refusal);
        return;
    }
    link->look_ms = loop_now_ms(link->store->loop) + LOOK_EVERY_MS;
    redis_store_learn_clock(link->store, link->clock_ms);
    redis_link_usable(link, true);
    redis_fleet_link_up(link->store->fleet, &link->given);
    tell_user(link->store);
}

bool redis_link_start(struct redis_link *link, struct redis_store *store, uint64_t seed) {
    const struct redis_fleet_conf *own = &store->fleet->conf;
    struct redis_conn_conf conf = {.resolver = own->resolver,
                                   .url = &store->url,
                                   .tls = own->tls,
                                   .scripts = &scripts,
                                   .connect_ms = own->connect_ms,
                                   .response_ms = own->response_ms,
                                   .backoff_min_ms = BACKOFF_MIN_MS,
                                   .backoff_max_ms = BACKOFF_MAX_MS,
                                   .on_ready = on_ready,
                                   .on_down = on_down,
                                   .ctx = link,
                                   .seed = seed};

    *link = (struct redis_link){.store = store};
    redis_hold_init(&link->hold, store, redis_call_release);
    link->conn = redis_conn_new(store->loop, &conf);
    link->hold.conn = link->conn;
    return link->conn != NULL;
}

/* ---- NOSCRIPT: somebody has flushed the scripts ---- */

static void on_reloaded(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_link *link = CONTAINER_OF(request, struct redis_link, reload);

    link->reloading = false;
    if (outcome->reply && outcome->err != ERR_OK)
        redis_conn_give_up(link->conn, "Redis doesn't load a script of ours again");
}

/* What is sent from now on is behind it. */
void redis_link_reload(struct redis_link *link, const struct redis_script *script) {
    struct buf *command = &link->store->command;

    if (link->reloading)
        return;
    buf_clear(command);
    redis_command_begin(command, 3);
    redis_command_arg(command, SLICE("SCRIPT"));
    redis_command_arg(command, SLICE("LOAD"));
    redis_command_arg(command, script->text);
    link->reload.done = on_reloaded;
    link->reloading = !buf_failed(command) &&
                      redis_conn_ask(link->conn, &link->reload, buf_slice(command)) == ERR_OK;
}

/* ---- housekeeping ---- */

/* A loop's own lanes, by turns: lane mod loops is its number. */
static void next_lane(struct redis_store *store) {
    store->tidy.lane += store->fleet->conf.loops;
    if (store->tidy.lane >= store->fleet->layout.lanes)
        store->tidy.lane = store->shard;
}

static void on_tidied(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_store *store = CONTAINER_OF(request, struct redis_store, tidy.request);
    uint32_t lanes = store->fleet->layout.lanes / store->fleet->conf.loops + 1;
    bool more;

    store->tidy.under_way = false;
    store->tidy.next_ms = loop_now_ms(store->loop) + TIDY_EVERY_MS / lanes;
    if (outcome->reply && outcome->err == ERR_NOT_FOUND)
        redis_link_reload(store->tidy.link, &redis_script_tidy);
    if (!redis_tidy_heard(store->fleet, store->shard, store->tidy.lane, outcome, &more))
        return;
    if (more)
        store->tidy.next_ms = 0;
    else
        next_lane(store);
}

static void look(struct redis_link *link) {
    int64_t now_ms = loop_now_ms(link->store->loop);

    if (link->looking || now_ms < link->look_ms)
        return;
    link->look_ms = now_ms + LOOK_EVERY_MS;
    redis_hello_look(link);
}

/* Behind traffic only: an idle store has nothing new to tidy, and an idle process no wake-ups. */
void redis_link_tidy(struct redis_link *link) {
    struct redis_store *store = link->store;
    const struct redis_fleet *fleet = store->fleet;
    uint32_t lane = store->tidy.lane;
    struct buf *command = &store->command;

    look(link);
    if (store->tidy.under_way || loop_now_ms(store->loop) < store->tidy.next_ms ||
        lane >= fleet->layout.lanes)
        return;
    redis_tidy_command(fleet, lane, NULL, command);
    store->tidy.request.done = on_tidied;
    store->tidy.link = link;
    store->tidy.under_way = !buf_failed(command) && redis_conn_ask(link->conn, &store->tidy.request,
                                                                   buf_slice(command)) == ERR_OK;
}
