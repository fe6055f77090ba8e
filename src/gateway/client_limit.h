/* client_limit.h - a request costs its client a token, or is refused with 429.
 *
 * A client is an IPv4 address or an IPv6 /64 (what one customer has). Its limit is the whole
 * process's, whichever loops its connections are on, so that the figures it is told are true: this
 * is why the table is not a loop's. It is split, and a part is locked for the moment of a look-up.
 *
 * Threads    Any.
 * Fields     RateLimit-Policy and RateLimit, as draft-ietf-httpapi-ratelimit-headers has them, of
 *            the policy "client"; q: the burst, w: seconds to fill it; r: requests left, t: seconds
 *            until all are there. Retry-After on 429 (RFC 6585 4).
 */
#ifndef GATEWAY_CLIENT_LIMIT_H
#define GATEWAY_CLIENT_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/config.h"
#include "base/metrics.h"
#include "edge/http_server.h"

struct client_limit;

/* Before the loops start. NULL when memory runs out. */
struct client_limit *client_limit_new(const struct config *config, struct metrics *metrics);
void client_limit_free(struct client_limit *limit);

/* config->rate_limit_per_second isn't 0. */
bool client_limit_is_on(const struct client_limit *limit);
/* The rate or the burst of the configuration has changed. One thread, also while loops run. */
void client_limit_changed(struct client_limit *limit, const struct config *config);

/* One request; its answer, whatever it will be, gets the fields. false: refuse it. In the call that
 * hands the exchange over. 'shard' of the metrics is the caller's. */
MUST_CHECK bool client_limit_admit(struct client_limit *limit, struct http_exchange *exchange,
                                   const struct http1_request *http, unsigned shard,
                                   int64_t now_ms);

#endif
