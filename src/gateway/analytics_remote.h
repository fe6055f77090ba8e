/* analytics_remote.h - analytics elsewhere: questions of one loop, over gRPC.
 *
 *     ask ─► a call to every instance ─► core/analytics_merge ─► done
 *
 * Instances may come and go, where discovery finds them. Each counts other lanes, so each must
 * answer. One that can't be reached, or has no answer, leaves the question without one
 * (ERR_UNAVAILABLE): a ranking without its counters would be wrong, and wouldn't look so.
 *
 * Threads    A remote belongs to its loop; what they share (the fleet) is read by all.
 * Ownership  The fleet outlives its remotes, the remotes their askers.
 */
#ifndef GATEWAY_ANALYTICS_REMOTE_H
#define GATEWAY_ANALYTICS_REMOTE_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/config.h"
#include "base/instance.h"
#include "core/analytics_ask.h"
#include "gateway/gateway.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct analytics_fleet;
struct analytics_remote;

/* By discovery, not from a list. */
bool analytics_are_found(const struct config *config);

/* What 'config->gateway_analytics' lists, unless discovery is to find them; NULL when memory runs
 * out. */
struct analytics_fleet *analytics_fleet_new(const struct config *config, struct resolver *resolver,
                                            struct tls *tls);
void analytics_fleet_free(struct analytics_fleet *fleet); /* NULL is fine */

/* These are the instances from now on; loops hear of it by mail. Any thread, one call at a time,
 * also while loops run. False: not all have found a place, because others that are leaving still
 * have theirs; call again later. */
bool analytics_fleet_set(struct analytics_fleet *fleet, const struct instances *set);

struct gateway_service analytics_fleet_service(struct analytics_fleet *fleet);

/* Connects on the loop's first turns. NULL when memory runs out. */
struct analytics_remote *analytics_remote_new(struct analytics_fleet *fleet, struct loop *loop);
struct analytics_upstream *analytics_remote_upstream(struct analytics_remote *remote);

/* Nothing is asked any more; then closed() runs once and the remote is gone. */
void analytics_remote_close(struct analytics_remote *remote, void (*closed)(void *ctx), void *ctx);

#endif
