/* front.h - analytics.AnalyticsService and analytics.internal.Totals, on one loop's gRPC host.
 *
 *     GetTopCounters, GetCounterStats, Hold, GetTotals ─► ask ─► analytics_upstream ─► answer or a
 *                                                                                      status
 *
 * Threads    The loop's.
 * Ownership  A call isn't finished before its question is answered, cancelled or not: a drain of
 * the host waits for it. Limits     The upstream's: beyond it RESOURCE_EXHAUSTED.
 */
#ifndef ANALYTICS_FRONT_H
#define ANALYTICS_FRONT_H

#include "core/analytics_ask.h"
#include "edge/grpc_host.h"

struct analytics_front;

/* The paths of its methods, for grpc_host_fleet_init(). */
const struct slice *analytics_front_paths(size_t *out_count);

/* 'upstream' is borrowed. NULL when memory runs out. */
struct analytics_front *analytics_front_new(struct analytics_upstream *upstream);

/* Behind its host. NULL is fine. */
void analytics_front_free(struct analytics_front *front);

#define ANALYTICS_FRONT_SERVICES 2

void analytics_front_services(struct analytics_front *front, struct grpc_service *out);

#endif
