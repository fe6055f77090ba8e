/* reload.h - the configuration while the process runs: read again, and put in force.
 *
 * All sources are read again as a whole: flags, environment, Consul's document, file, defaults.
 * When anything in them is wrong nothing changes. Of what has changed the hot keys (config.def)
 * take effect at once; the others are pending until the next start.
 *
 *     SIGHUP ─────────────────────────┐
 *     Consul's KV ─► reload_offer_kv()┴─► the main thread: reload_now()
 *
 * Threads    The main thread, except reload_offer_kv() and reload_pending(), which any may call.
 * Ownership  Borrows what reload_init() gets.
 */
#ifndef CLI_RELOAD_H
#define CLI_RELOAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "cli/options.h"

#define RELOAD_PENDING_BYTES 600
#define RELOAD_NAME_BYTES    192

struct reload {
    const struct invocation *invocation;
    const struct options *options;
    struct config *running; /* its hot keys change */
    struct metrics *metrics;
    unsigned shard;
    metric_series applied;
    metric_series refused;
    metric_series pending_count;
    char kv_name[RELOAD_NAME_BYTES];
    pthread_mutex_t lock;
    struct buf kv; /* under the lock, like */
    bool has_kv;   /* there is a document */
    char pending[RELOAD_PENDING_BYTES];
};

/* Also asks Consul, where it is configured, for at most two seconds, and takes its document into
 * 'running': before anything looks at that. */
void reload_init(struct reload *reload, const struct invocation *invocation,
                 const struct options *options, struct config *running);
void reload_release(struct reload *reload);

/* Where figures go from now on. */
void reload_count_in(struct reload *reload, struct metrics *metrics, unsigned shard);

/* "kv/high-go-press/config/production/gateway", for consul_url(). */
void reload_kv_path(const struct config *config, enum role role, char out[RELOAD_NAME_BYTES]);

/* What Consul has now; {NULL, 0}: nothing. True: that is news. */
MUST_CHECK bool reload_offer_kv(struct reload *reload, struct slice text);

/* Reads and applies. 'changed' is called once when any hot key has changed. */
void reload_now(struct reload *reload, void (*changed)(void *ctx), void *ctx);

/* "limits.pipeline,threads" */
void reload_pending(void *ctx, char *out, size_t size);

#endif
