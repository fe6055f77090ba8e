/* analytics.h - analytics beside the embedded store of this process.
 *
 * Threads    Opened and closed by the main thread.
 * Errors     Logged, and returned as the process's exit code.
 */
#ifndef CLI_ANALYTICS_H
#define CLI_ANALYTICS_H

#include "analytics/service.h"
#include "base/attr.h"
#include "base/config.h"
#include "cli/store_feed.h"

struct analytics_part { /* a zeroed one runs none */
    struct rocks_tally *rocks;
    struct store_feed feed;
    struct analytics_service *service;
};

/* Starts it, where the configuration and the store have it and there is somebody to ask; else sees
 * to it that the store keeps nothing for it. */
MUST_CHECK int analytics_part_open(struct analytics_part *part, const struct config *config,
                                   const struct store *store, struct metrics *metrics,
                                   unsigned shard, bool asked);

/* Before the store, when no worker runs any more. */
void analytics_part_close(struct analytics_part *part);

#endif
