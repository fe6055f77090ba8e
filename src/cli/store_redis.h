/* store_redis.h - the store in a Redis: found, or known to be away.
 *
 * Threads    The main thread; the back ends' functions any.
 */
#ifndef CLI_STORE_REDIS_H
#define CLI_STORE_REDIS_H

#include "cli/store.h"

/* As store_open(). A Redis that can't be reached is no reason not to start; one that may not be
 * used is. */
MUST_CHECK int store_redis_open(struct store *store, const struct store_conf *conf);

struct gateway_backend store_redis_gateway_backend(struct store *store);
struct counter_backend store_redis_front_backend(struct store *store);

#endif
