/* analytics_remote.h - analytics elsewhere: questions of one loop, over gRPC.
 *
 *     ask ─► a call to every instance ─► core/analytics_merge ─► done
 *
 * Each instance counts other lanes, so each must answer. One that can't be reached, or has no
 * answer, leaves the question without one (ERR_UNAVAILABLE): a ranking without its counters would
 * be wrong, and wouldn't look so.
 *
 * Threads    A remote belongs to its loop; what they share (the fleet) is read by all.
 * Ownership  The fleet outlives its remotes, the remotes their askers.
 */
#ifndef GATEWAY_ANALYTICS_REMOTE_H
#define GATEWAY_ANALYTICS_REMOTE_H

#include "base/attr.h"
#include "base/config.h"
#include "core/analytics_ask.h"
#include "gateway/gateway.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct analytics_fleet;
struct analytics_remote;

/* What 'config->gateway_analytics' lists; NULL when memory runs out. */
struct analytics_fleet *analytics_fleet_new(const struct config *config, struct resolver *resolver,
                                            struct tls *tls);
void analytics_fleet_free(struct analytics_fleet *fleet); /* NULL is fine */

struct gateway_service analytics_fleet_service(struct analytics_fleet *fleet);

/* Connects on the loop's first turns. NULL when memory runs out. */
struct analytics_remote *analytics_remote_new(struct analytics_fleet *fleet, struct loop *loop);
struct analytics_upstream *analytics_remote_upstream(struct analytics_remote *remote);

/* Nothing is asked any more; then closed() runs once and the remote is gone. */
void analytics_remote_close(struct analytics_remote *remote, void (*closed)(void *ctx), void *ctx);

#endif
