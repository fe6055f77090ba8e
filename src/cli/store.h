/* store.h - the counter core of this process: the store in its data folder and the thread on it, or
 * the Redis it counts in.
 *
 * Threads    Opened and closed by the main thread; in between it is its users'.
 * Errors     Logged, and returned as the process's exit code.
 */
#ifndef CLI_STORE_H
#define CLI_STORE_H

#include "base/attr.h"
#include "base/config.h"
#include "base/metrics.h"
#include "counter/redis_store.h"
#include "counter/service.h"
#include "edge/rocks_kv.h"
#include "gateway/gateway.h"

struct store {
    const struct config *config;
    struct rocks_kv *rocks;
    struct counter_service *counter; /* NULL: it is in */
    struct redis_fleet *redis;       /* this one, */
    struct tls *redis_tls;           /* reached so; NULL: plain */
    int64_t opened_s;                /* wall clock */
};

struct store_conf {
    const struct config *config;
    struct metrics *metrics;
    struct resolver *resolver;    /* for a Redis, */
    struct tls *tls;              /* like this */
    unsigned loops;               /* that will count */
    unsigned shard;               /* the store thread's */
    const char *locked_hint;      /* what else to say when another process has the folder */
    void (*on_failed)(void *ctx); /* as struct counter_conf */
    void *on_failed_ctx;
};

MUST_CHECK int store_open(struct store *store, const struct store_conf *conf);

/* No port may send any more. Commits and syncs what is there. One that was never opened is fine. */
void store_close(struct store *store);

/* What the gateway and the front in the same process say of it. */
struct gateway_backend store_gateway_backend(struct store *store);
struct counter_backend store_front_backend(struct store *store);

/* Lanes of a store that is made where their number isn't configured: one is the cheapest, and as
 * many as the topic has partitions, up to four, let consumers of it share them
 * (docs/adr/0018-one-lane-on-one-node.md). */
uint32_t store_new_lanes(const struct config *config);

/* The mode that is configured. */
enum durability store_durability(const struct config *config);

#endif
