/* store_redis.c - one look at Redis before anything starts, and what is said of it later. */
#include "cli/store_redis.h"

#include <stdio.h>

#include "cli/exit.h"
#include "cli/store_url.h"

/* What Redis has time for, so that a request can still be tried again behind it. */
#define CONNECT_MS_MAX 1000
/* The first look; a Redis that takes longer is away, and loops go on trying. */
#define PROBE_MS 3000

static int exit_code(enum err err) {
    switch (err) {
    case ERR_INVALID:
    case ERR_LAYOUT:
        return EX_CONFIG;
    case ERR_CORRUPT:
    case ERR_NEWER:
        return EX_DATAERR;
    default:
        return EX_UNAVAILABLE;
    }
}

static int look(struct redis_fleet *fleet) {
    const char *detail = NULL;
    enum err err = redis_fleet_probe(fleet, PROBE_MS, &detail);

    if (err == ERR_OK)
        return EX_OK;
    if (err != ERR_UNREACHABLE && err != ERR_UNAVAILABLE)
        return give_up("this Redis can't be used", detail, exit_code(err));
    log_line(LOG_WARN, "Redis can't be used yet: requests are refused until it can",
             LOG_STR("detail", detail));
    return EX_OK;
}

int store_redis_open(struct store *store, const struct store_conf *own) {
    const struct config *config = store->config;
    int64_t attempt_ms = config->timeouts_request_ms / 2;
    struct redis_fleet_conf conf = {
        .resolver = own->resolver,
        .tls = own->tls,
        .metrics = own->metrics,
        .lanes = config->lanes,
        .new_lanes = store_new_lanes(config),
        .key_ttl_ms = config->idempotency_ttl_ms,
        .coalesce = config->events_coalesce,
        .outbox_max_bytes = config->outbox_max_bytes,
        .outbox_max_age_ms = config->outbox_max_age_ms,
        .durability = store_durability(config),
        .strict = config->durability_strict,
        .replicas = config->durability_replicas,
        .loops = own->loops,
        .connections = config->redis_connections,
        .connect_ms = attempt_ms < CONNECT_MS_MAX ? attempt_ms : CONNECT_MS_MAX,
        .response_ms = attempt_ms,
    };
    const char *problem = store_url_read(config, &conf.url);

    if (problem)
        return give_up("the store can't be used", problem, EX_CONFIG);
    store->redis = redis_fleet_new(&conf);
    explicit_bzero(conf.url.password, sizeof(conf.url.password));
    if (!store->redis)
        return give_up("out of memory", "while preparing for Redis", EX_OSERR);
    return look(store->redis);
}

/* ---- what is said of it ---- */

static struct redis_fleet *fleet_of(void *ctx) {
    return ((struct store *)ctx)->redis;
}

static bool up(void *ctx) {
    return redis_fleet_up(fleet_of(ctx));
}

static void down(void *ctx, char *out, size_t size) {
    redis_fleet_problem(fleet_of(ctx), out, size);
}

static void promise(void *ctx, struct gateway_promise *out) {
    redis_fleet_promise(fleet_of(ctx), out->durability, sizeof(out->durability), out->guarantee,
                        sizeof(out->guarantee));
}

static void front_promise(void *ctx, struct counter_promise *out) {
    redis_fleet_promise(fleet_of(ctx), out->durability, sizeof(out->durability), out->guarantee,
                        sizeof(out->guarantee));
}

static void pool(void *ctx, struct gateway_pool *out) {
    *out = (struct gateway_pool){.instances = up(ctx) ? 1 : 0,
                                 .updated_s = redis_fleet_changed_s(fleet_of(ctx))};
}

static uint64_t store_id(void *ctx) {
    return redis_fleet_store_id(fleet_of(ctx));
}

struct gateway_backend store_redis_gateway_backend(struct store *store) {
    return (struct gateway_backend){
        .ctx = store,
        .up = up,
        .promise = promise,
        .pool = pool,
        .down = down,
        .clock_unknown = ERR_UNAVAILABLE,
    };
}

struct counter_backend store_redis_front_backend(struct store *store) {
    return (struct counter_backend){
        .ctx = store,
        .store_id = store_id,
        .promise = front_promise,
        .down = down,
        .clock_unknown = ERR_UNAVAILABLE,
    };
}
