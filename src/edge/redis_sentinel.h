/* redis_sentinel.h - which server is the primary, as Sentinels say.
 *
 * Keeps a connection to one of several Sentinels; asks it when the connection is made and whenever
 * told to, and goes to the next one when it doesn't answer. Who uses the address has to look at the
 * server itself before counting there: a Sentinel may not know better yet
 * (redis.io/docs/reference/sentinel-clients, "Step 3").
 *
 * Threads    The loop's thread.
 * Callbacks  Never inside the function that leads to them.
 */
#ifndef EDGE_REDIS_SENTINEL_H
#define EDGE_REDIS_SENTINEL_H

#include <stdint.h>

#include "edge/redis_url.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct redis_sentinel;

struct redis_sentinel_conf {
    struct resolver *resolver;
    const struct redis_url *url; /* is_sentinel; outlives it. Its credentials aren't theirs */
    int64_t connect_ms;
    int64_t response_ms;
    int64_t backoff_min_ms; /* as struct redis_conn_conf */
    int64_t backoff_max_ms;
    /* "host:port", borrowed for the call; NULL: the Sentinels don't know, or none answers: 'why'.
     */
    void (*told)(void *ctx, const char *address, const char *why);
    void *ctx;
    uint64_t seed;
};

/* NULL when memory runs out. */
struct redis_sentinel *redis_sentinel_new(struct loop *loop,
                                          const struct redis_sentinel_conf *conf);

/* Who is it now? told() follows, unless a question is under way already or nobody is connected:
 * then the next connection asks. */
void redis_sentinel_ask(struct redis_sentinel *sentinel);

/* 'closed' runs once, on a later turn, and it is gone. */
void redis_sentinel_close(struct redis_sentinel *sentinel, void (*closed)(void *ctx), void *ctx);

#endif
