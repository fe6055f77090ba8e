/* front_internal.h - what the front's files share.
 *
 * front.c         analytics.AnalyticsService, for everybody
 * front_totals.c  analytics.internal.Totals, for `highgopress verify`
 */
#ifndef ANALYTICS_FRONT_INTERNAL_H
#define ANALYTICS_FRONT_INTERNAL_H

#include "analytics/front.h"
#include "base/buf.h"

struct analytics_front {
    struct analytics_upstream *upstream;
    struct buf message; /* answers are written here */
};

void analytics_front_totals(struct analytics_front *front, struct grpc_service *out);

#endif
