/* live_ranking.h - a ranking as a topic that is read again and again.
 *
 * Threads    The gateway's loop.
 * Ownership  As core/watch.h: it frees itself.
 */
#ifndef GATEWAY_LIVE_RANKING_H
#define GATEWAY_LIVE_RANKING_H

#include "gateway/analytics_query.h"
#include "gateway/internal.h"

struct live_ranking {
    struct watch_topic topic;
    struct gateway *gateway;
    struct analytics_ask ask;
    struct top_answer shown; /* the latest that differed from the one before */
    struct buf json;         /* it, as analytics_add_top() writes it */
    uint64_t digest;         /* of it */
    char name[];
};

extern const struct watch_kind live_ranking_kind;

/* ERR_BUSY, ERR_NO_MEMORY. The gateway has analytics. */
MUST_CHECK enum err live_ranking_follow(struct gateway *gateway, struct watcher *watcher,
                                        const struct analytics_params *params);

#endif
