/* analytics.c - its folder, its feed, its thread; what others are told of it. */
#include "cli/analytics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "cli/events.h"
#include "cli/exit.h"
#include "cli/recount.h"
#include "cli/store_url.h"
#include "core/consumers.h"
#include "edge/data_folder.h"
#include "edge/rocks_tally.h"

/* Counters that have changed and aren't stored yet: 10 MB, and as much for those on their way; a
 * batch of so many takes 60 MB until it is on disk. */
#define PENDING_MAX 131072

enum err analytics_part_open_folder(struct analytics_part *part, const struct config *config,
                                    const char *folder, const char **out_detail) {
    struct rocks_tally_conf conf = {
        .block_cache_bytes = config->analytics_block_cache_bytes,
        .write_buffer_bytes = config->analytics_write_buffer_bytes,
    };
    enum err err = rocks_tally_open(folder, &conf, &part->rocks, out_detail);

    if (err == ERR_OK) {
        *out_detail = err_text(ERR_IO);
        err = rocks_tally_name(folder, part->name);
    }
    return err;
}

static int open_folder(struct analytics_part *part, const struct config *config) {
    char folder[CONFIG_TEXT_BYTES + 16];
    const char *detail = NULL;

    (void)snprintf(folder, sizeof(folder), "%s/analytics", config->data);
    if (!data_folder_make(config->data))
        return give_up("analytics can't be opened", strerror(errno), EX_IOERR);
    enum err err = analytics_part_open_folder(part, config, folder, &detail);
    if (err == ERR_OK)
        return EX_OK;
    return give_up("analytics can't be opened", detail, err == ERR_CORRUPT ? EX_DATAERR : EX_IOERR);
}

static enum loop_backend loop_of(const struct config *config) {
    static const enum loop_backend backends[] = {[CONFIG_LOOP_AUTO] = LOOP_AUTO,
                                                 [CONFIG_LOOP_IO_URING] = LOOP_IO_URING,
                                                 [CONFIG_LOOP_EPOLL] = LOOP_EPOLL};

    return backends[config->loop];
}

/* In a single Redis others may count. Of a topic nobody knows what its store is, unless told. */
static bool others_write(const struct analytics_part *part, const struct config *config) {
    bool told = config->source[CONFIG_KEY_store].layer != CONFIG_DEFAULT;
    bool single_redis =
        store_url_is_redis(config) && strncmp(config->store, "redis-cluster:", 14) != 0;

    if (!part->beside.store && events_in_kafka(config))
        return !told || single_redis;
    return part->beside.store ? part->beside.store->redis && single_redis : false;
}

enum err analytics_part_start(struct analytics_part *part, const struct config *config,
                              struct metrics *metrics, unsigned shard) {
    struct analytics_service_conf conf = {
        .store = rocks_tally_view(part->rocks),
        .analytics = {.counters_max = config->analytics_counters_max,
                      .pending_max = PENDING_MAX,
                      .hash_seed = {random_u64(), random_u64()},
                      .others_write = others_write(part, config)},
        .commit_ms = config->analytics_commit_ms,
        .name = part->name,
        .feed =
            part->beside.store ? store_feed_maker(&part->beside) : source_feed_maker(&part->source),
        .patient = !part->beside.store || part->beside.store->redis, /* who may be away */
        .loop = loop_of(config),
        .metrics = metrics,
        .shard = shard,
    };

    return analytics_start(&conf, &part->service);
}

static int start(struct analytics_part *part, const struct config *config, struct metrics *metrics,
                 unsigned shard) {
    enum err err = analytics_part_start(part, config, metrics, shard);

    if (err == ERR_OK)
        return EX_OK;
    return give_up("analytics can't be started",
                   err == ERR_CORRUPT || err == ERR_NEWER
                       ? "its folder in --data is damaged or newer than this version; removed, it "
                         "is made anew from the events that the outbox still has"
                       : err_text(err),
                   err == ERR_CORRUPT || err == ERR_NEWER ? EX_DATAERR : EX_OSERR);
}

static int make_recount(struct analytics_part *part, const struct analytics_part_conf *conf) {
    part->recount = recount_new(
        &(struct recount_conf){.config = conf->config, .store = conf->store, .part = part});
    return part->recount ? EX_OK : give_up("out of memory", "while starting analytics", EX_OSERR);
}

static struct store_feed feed_of(const struct analytics_part_conf *conf, const char *consumer,
                                 unsigned shard) {
    return (struct store_feed){.store = conf->store, .consumer = consumer, .shard = shard};
}

int analytics_part_open(struct analytics_part *part, const struct analytics_part_conf *conf) {
    part->beside = feed_of(conf, CONSUMER_ANALYTICS, conf->shard);
    part->beside.owner = part->name;
    part->recounted = feed_of(conf, CONSUMER_RECOUNT, conf->recount_shard);
    part->source.config = conf->config;
    part->source.resolver = conf->resolver;
    part->source.tls = conf->tls;
    const char *problem = part->beside.store ? NULL : source_open(&part->source);
    if (problem)
        return give_up("events can't be read", problem, EX_CONFIG);
    recount_tidy(conf->config, &part->recounted);
    int code = open_folder(part, conf->config);
    if (code == EX_OK)
        code = start(part, conf->config, conf->metrics, conf->shard);
    return code == EX_OK ? make_recount(part, conf) : code;
}

int analytics_part_forget(struct analytics_part *part, const struct analytics_part_conf *conf) {
    part->recounted = feed_of(conf, CONSUMER_RECOUNT, conf->recount_shard);
    recount_tidy(conf->config, &part->recounted);
    part->beside = feed_of(conf, CONSUMER_ANALYTICS, conf->shard);
    enum err err = store_feed_forget(&part->beside);

    return err == ERR_OK ? EX_OK : give_up("analytics can't be left out", err_text(err), EX_OSERR);
}

void analytics_part_close(struct analytics_part *part) {
    recount_free(part->recount);
    if (part->service)
        analytics_stop(part->service);
    rocks_tally_close(part->rocks);
    store_feed_close(&part->beside);
    store_feed_close(&part->recounted);
}

/* ---- as an admin listener's back end ---- */

static bool up(void *ctx) {
    return analytics_answers(((struct analytics_part *)ctx)->service);
}

static void promise(void *ctx, struct gateway_promise *out) {
    (void)ctx;
    (void)snprintf(out->durability, sizeof(out->durability), "local");
    (void)snprintf(out->guarantee, sizeof(out->guarantee),
                   "what was counted is on this disk before its source may forget the events; what "
                   "a crash takes comes again");
}

/* Connections to where its events are. */
static unsigned connections(const struct analytics_part *part) {
    if (part->beside.store)
        return redis_fleet_connections(part->beside.store->redis);
    return atomic_load(&part->source.up) ? 1 : 0;
}

static void pool(void *ctx, struct gateway_pool *out) {
    *out = (struct gateway_pool){.connections = connections(ctx), .instances = up(ctx) ? 1 : 0};
}

static void down(void *ctx, char *out, size_t size) {
    const struct analytics_part *part = ctx;
    char name[SOURCE_NAME_BYTES];

    source_name(part->source.config, name);
    if (connections(part) > 0)
        (void)snprintf(out, size, "%s (the log says why)",
                       part->beside.store ? "analytics has not begun to read, or has stopped"
                                          : "analytics has stopped");
    else
        (void)snprintf(out, size,
                       "the events of %s can't be read, and it has heard of none since it started "
                       "(the log says why)",
                       name);
}

struct gateway_backend analytics_part_backend(struct analytics_part *part) {
    return (struct gateway_backend){
        .ctx = part,
        .up = up,
        .promise = promise,
        .pool = pool,
        .down = down,
        .clock_unknown = ERR_NOT_IMPL, /* it counts nothing by itself */
    };
}
