/* store.c - the store, opened, and the counter core on it. */
#include "cli/store.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "cli/events.h"
#include "cli/exit.h"
#include "cli/store_redis.h"
#include "cli/store_url.h"

static int exit_code(enum err err) {
    switch (err) {
    case ERR_LOCKED:
        return EX_UNAVAILABLE;
    case ERR_LAYOUT:
        return EX_CONFIG;
    case ERR_CORRUPT:
    case ERR_NEWER:
        return EX_DATAERR;
    case ERR_IO:
        return EX_IOERR;
    default:
        return EX_OSERR;
    }
}

/* Of a topic with many partitions the others are for those who pay for more lanes. */
#define NEW_LANES_MAX 4

uint32_t store_new_lanes(const struct config *config) {
    if (!events_in_kafka(config))
        return 1;
    return config->events_partitions < NEW_LANES_MAX ? config->events_partitions : NEW_LANES_MAX;
}

enum durability store_durability(const struct config *config) {
    static const enum durability modes[] = {
        [CONFIG_DURABILITY_FAST] = DURABILITY_FAST,
        [CONFIG_DURABILITY_LOCAL] = DURABILITY_LOCAL,
        [CONFIG_DURABILITY_REPLICATED] = DURABILITY_REPLICATED,
    };

    return modes[config->durability_mode];
}

static int open_folder(struct store *store, const char *locked_hint) {
    struct rocks_kv_conf conf = {
        .block_cache_bytes = store->config->rocksdb_block_cache_bytes,
        .write_buffer_bytes = store->config->rocksdb_write_buffer_bytes,
    };
    const char *detail = NULL;
    char text[CONFIG_TEXT_BYTES + 512];
    enum err err = rocks_kv_open(store->config->data, &conf, &store->rocks, &detail);

    if (err == ERR_OK)
        return EX_OK;
    (void)snprintf(text, sizeof(text), "%s%s", detail,
                   err == ERR_LOCKED && locked_hint ? locked_hint : "");
    return give_up("the store can't be opened", text, exit_code(err));
}

static int start_counter(struct store *store, const struct store_conf *own) {
    const struct config *config = store->config;
    struct counter_conf conf = {
        .kv = rocks_kv_view(store->rocks),
        .scanner = rocks_kv_scanner(store->rocks),
        .applier = {.lanes = config->lanes,
                    .new_lanes = store_new_lanes(config),
                    .key_ttl_ms = config->idempotency_ttl_ms,
                    .outbox_max_bytes = config->outbox_max_bytes,
                    .outbox_max_age_ms = config->outbox_max_age_ms,
                    .cache_counters = config->cache_counters,
                    .coalesce = config->events_coalesce,
                    .hash_seed = {random_u64(), random_u64()}},
        .durability = store_durability(config),
        .metrics = own->metrics,
        .shard = own->shard,
        .on_failed = own->on_failed,
        .on_failed_ctx = own->on_failed_ctx,
    };
    const char *detail = NULL;
    enum err err = counter_start(&conf, &store->counter, &detail);

    return err == ERR_OK ? EX_OK : give_up("the store can't be used", detail, exit_code(err));
}

int store_open(struct store *store, const struct store_conf *conf) {
    *store = (struct store){
        .config = conf->config, .redis_tls = conf->tls, .opened_s = clock_wall_ms() / 1000};

    if (store_url_is_redis(conf->config))
        return store_redis_open(store, conf);
    int code = open_folder(store, conf->locked_hint);
    return code == EX_OK ? start_counter(store, conf) : code;
}

void store_close(struct store *store) {
    if (store->counter)
        counter_stop(store->counter);
    if (store->rocks)
        rocks_kv_close(store->rocks);
    redis_fleet_free(store->redis);
}

/* ---- as a gateway's back end ---- */

static bool up(void *ctx) {
    return counter_up(((struct store *)ctx)->counter);
}

static void promise(void *ctx, struct gateway_promise *out) {
    enum durability durability = counter_durability(((struct store *)ctx)->counter);

    (void)snprintf(out->durability, sizeof(out->durability), "%s",
                   counter_durability_name(durability));
    (void)snprintf(out->guarantee, sizeof(out->guarantee), "%s", counter_guarantee(durability));
}

static void pool(void *ctx, struct gateway_pool *out) {
    const struct store *store = ctx;

    *out = (struct gateway_pool){.instances = up(ctx) ? 1 : 0, .updated_s = store->opened_s};
}

static void down(void *ctx, char *out, size_t size) {
    (void)ctx;
    (void)snprintf(out, size, "the store is unavailable");
}

struct gateway_backend store_gateway_backend(struct store *store) {
    if (store->redis)
        return store_redis_gateway_backend(store);
    return (struct gateway_backend){
        .ctx = store,
        .up = up,
        .promise = promise,
        .pool = pool,
        .down = down,
        .clock_ahead_ms = counter_clock_ahead_ms(store->counter),
    };
}

struct counter_backend store_front_backend(struct store *store) {
    return store->redis ? store_redis_front_backend(store)
                        : counter_service_backend(store->counter);
}
