/* analytics.c - its folder, its feed, its thread. */
#include "cli/analytics.h"

#include <stdio.h>

#include "base/random.h"
#include "cli/exit.h"
#include "edge/rocks_tally.h"

/* Its name in the store: what it hasn't taken is kept for it. */
#define CONSUMER "analytics"

/* Counters that have changed and aren't stored yet: 10 MB, and as much for those on their way; a
 * batch of so many takes 60 MB until it is on disk. */
#define PENDING_MAX 131072

static int open_folder(struct analytics_part *part, const struct config *config) {
    char folder[CONFIG_TEXT_BYTES + 16];
    struct rocks_tally_conf conf = {
        .block_cache_bytes = config->analytics_block_cache_bytes,
        .write_buffer_bytes = config->analytics_write_buffer_bytes,
    };
    const char *detail = NULL;

    (void)snprintf(folder, sizeof(folder), "%s/analytics", config->data);
    enum err err = rocks_tally_open(folder, &conf, &part->rocks, &detail);
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

static int start(struct analytics_part *part, const struct config *config, struct metrics *metrics,
                 unsigned shard) {
    struct analytics_service_conf conf = {
        .store = rocks_tally_view(part->rocks),
        .analytics = {.counters_max = config->analytics_counters_max,
                      .pending_max = PENDING_MAX,
                      .hash_seed = {random_u64(), random_u64()}},
        .commit_ms = config->analytics_commit_ms,
        .feed = store_feed_maker(&part->feed),
        .loop = loop_of(config),
        .metrics = metrics,
        .shard = shard,
    };
    enum err err = analytics_start(&conf, &part->service);

    if (err == ERR_OK)
        return EX_OK;
    return give_up("analytics can't be started",
                   err == ERR_CORRUPT || err == ERR_NEWER
                       ? "its folder in --data is damaged or newer than this version; removed, it "
                         "is made anew from the events that the outbox still has"
                       : err_text(err),
                   err == ERR_CORRUPT || err == ERR_NEWER ? EX_DATAERR : EX_OSERR);
}

int analytics_part_open(struct analytics_part *part, const struct config *config,
                        const struct store *store, struct metrics *metrics, unsigned shard,
                        bool asked) {
    if (!store->counter)
        return EX_OK;
    part->feed = (struct store_feed){.store = store, .consumer = CONSUMER, .shard = shard};
    if (!config->analytics_enabled || !asked) {
        enum err err = store_feed_forget(&part->feed);

        return err == ERR_OK ? EX_OK
                             : give_up("analytics can't be left out", err_text(err), EX_OSERR);
    }
    int code = open_folder(part, config);
    return code == EX_OK ? start(part, config, metrics, shard) : code;
}

void analytics_part_close(struct analytics_part *part) {
    if (part->service)
        analytics_stop(part->service);
    rocks_tally_close(part->rocks);
    store_feed_close(&part->feed);
}
