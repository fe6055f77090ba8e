/* analytics_query.h - analytics' part of a URL in, its answers as JSON out.
 *
 * Threads    Plain functions.
 */
#ifndef GATEWAY_ANALYTICS_QUERY_H
#define GATEWAY_ANALYTICS_QUERY_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "core/analytics_ask.h"
#include "core/stats_metric.h"

struct analytics_params { /* holds the defaults before it is read into */
    struct slice counter_type;
    enum time_range range;
    uint32_t limit;
    uint32_t offset;
    unsigned metrics;
};

#define ANALYTICS_DEFAULTS                                                                         \
    { .range = RANGE_24H, .limit = 10, .metrics = STATS_METRICS_ALL }

/* Of the top, or of a counter's stats. Unknown parameters are ignored, as unknown fields are.
 * ERR_INVALID: '*out_detail' names the parameter; ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_read_params(struct slice query, bool top, struct arena *arena,
                                          struct analytics_params *params, const char **out_detail);

/* One of them, decoded: what is wrong with it, or NULL. */
const char *analytics_read_param(struct slice name, struct slice value, bool top,
                                 struct analytics_params *params);

/* The data alone, without the braces around it. */
void analytics_add_top(struct buf *out, const struct analytics_ask *ask);
void analytics_write_top(struct buf *out, const struct analytics_ask *ask);
void analytics_write_stats(struct buf *out, const struct analytics_ask *ask, unsigned metrics);

#endif
