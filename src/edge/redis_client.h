/* redis_client.h - one Redis, asked one question at a time by somebody who waits for the answer:
 * for tools. Services have redis_conn.h.
 *
 * A question is asked again while the server is away, so it must be one that may be.
 *
 * Threads    One owner, who has no loop: it has its own.
 * Limits     Blocks for up to 'patience_ms' while the server is away.
 */
#ifndef EDGE_REDIS_CLIENT_H
#define EDGE_REDIS_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "edge/redis_reply.h"
#include "edge/redis_script.h"
#include "edge/redis_url.h"

struct redis_client;
struct tls;

struct redis_client_conf {
    const struct redis_url *url; /* copied; of Sentinels: the primary they tell; no Cluster's */
    struct tls *tls;             /* a client's, for url->is_tls; outlives it */
    const struct redis_scripts *scripts; /* as struct redis_conn_conf */
    int64_t patience_ms;
};

/* Connects. ERR_UNREACHABLE, ERR_NO_MEMORY, and ERR_INVALID: it doesn't take us as we are
 * configured; '*out_detail' is a sentence in a static buffer. */
MUST_CHECK enum err redis_client_new(const struct redis_client_conf *conf,
                                     struct redis_client **out, const char **out_detail);

/* NULL is fine. */
void redis_client_free(struct redis_client *client);

/* Asks one command; 'take' gets the reply, borrowed for the call, unless it is an error. Those of
 * redis_reply_err(), ERR_UNREACHABLE, or what 'take' says. */
typedef enum err (*redis_take_fn)(void *ctx, const struct redis_reply *reply);
MUST_CHECK enum err redis_client_ask(struct redis_client *client, struct slice command,
                                     redis_take_fn take, void *ctx);

/* What went wrong the last time, a sentence. */
const char *redis_client_problem(const struct redis_client *client);

#endif
