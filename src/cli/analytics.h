/* analytics.h - analytics in this process: beside its store, or by itself, reading the events of a
 * counter elsewhere.
 *
 * Threads    Opened and closed by the main thread.
 * Errors     Logged, and returned as the process's exit code.
 */
#ifndef CLI_ANALYTICS_H
#define CLI_ANALYTICS_H

#include "analytics/service.h"
#include "base/attr.h"
#include "base/config.h"
#include "cli/source.h"
#include "cli/store_feed.h"
#include "edge/rocks_tally.h"

struct analytics_part { /* a zeroed one runs none */
    struct rocks_tally *rocks;
    char name[ROCKS_TALLY_NAME_BYTES]; /* the folder's: what it holds goes on in no other */
    struct store_feed recounted;       /* the consumer of a recount of it */
    struct store_feed beside;          /* the events of the store in this process, */
    struct source source;              /* or of a counter elsewhere */
    struct analytics_service *service;
    struct recount *recount;
};

struct analytics_part_conf {
    const struct config *config;
    const struct store *store; /* whose events it reads; NULL: those of config->counter, */
    struct resolver *resolver; /* found by this, */
    struct tls *tls;           /* reached so; NULL: plain */
    struct metrics *metrics;
    unsigned shard;
    unsigned recount_shard;
};

MUST_CHECK int analytics_part_open(struct analytics_part *part,
                                   const struct analytics_part_conf *conf);

/* The steps of it, for recount_all.c: the folder, with its name; the service on it, which reads
 * what 'beside' or 'source' says. '*out_detail' is a sentence. */
MUST_CHECK enum err analytics_part_open_folder(struct analytics_part *part,
                                               const struct config *config, const char *folder,
                                               const char **out_detail);
MUST_CHECK enum err analytics_part_start(struct analytics_part *part, const struct config *config,
                                         struct metrics *metrics, unsigned shard);

/* It doesn't run any more, here or elsewhere: conf->store keeps nothing for it. */
MUST_CHECK int analytics_part_forget(struct analytics_part *part,
                                     const struct analytics_part_conf *conf);

/* What the admin listener of an analytics process says of it. */
struct gateway_backend analytics_part_backend(struct analytics_part *part);

/* Before the store, when no worker runs any more. */
void analytics_part_close(struct analytics_part *part);

#endif
