/* recount.h - analytics counted anew beside the one at work, which answers until it is replaced.
 *
 *     remove what is left ─► a second service, in a folder beside: the topic's events, or the
 * store's ─► not behind any more ─► values of all counters ─► the first one reads nothing for a
 * moment ─► folders exchanged ─► the first one goes on with what the second has counted
 *
 * Until the exchange nothing has changed; a crash leaves a folder, and a consumer of the outbox,
 * that the next start removes. Where analytics is new over a store that is not, the values alone
 * are taken, into the one at work.
 *
 * Threads    The main thread; recount_begin() and recount_status() any. It works on one of its own.
 */
#ifndef CLI_RECOUNT_H
#define CLI_RECOUNT_H

#include "base/attr.h"
#include "base/config.h"
#include "cli/store.h"
#include "cli/store_feed.h"
#include "gateway/gateway.h"

struct analytics_part;
struct recount;

struct recount_conf {
    const struct config *config;
    const struct store *store; /* beside it; NULL: a topic's, or a counter's elsewhere */
    struct analytics_part *part;
};

/* Makes it; takes the values at once where they are lacking. NULL when memory runs out. */
struct recount *recount_new(const struct recount_conf *conf);

/* What is under way is given up: the next start takes values again. NULL is fine. */
void recount_free(struct recount *recount);

/* As an admin listener's calls. */
struct gateway_recount recount_gateway(struct recount *recount);

/* What a recount that was cut off has left: the folder beside, and its consumer in the store that
 * 'feed' is of, if any. Of a Redis this goes on until store_feed_close(). (A counter elsewhere is
 * told by the feed of its events.) */
void recount_tidy(const struct config *config, struct store_feed *feed);

#endif
