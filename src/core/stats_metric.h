/* stats_metric.h - the figures that a counter's stats are made of: names and values.
 *
 * Their definitions are docs/analytics.md's.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef CORE_STATS_METRIC_H
#define CORE_STATS_METRIC_H

#include <stdbool.h>

#include "core/analytics_answer.h"

enum stats_metric {
    STATS_TOTAL,
    STATS_AVG,
    STATS_PEAK,
    STATS_TREND,
    STATS_RATE,
    STATS_INCREMENTS,
    STATS_METRICS
};

/* Sets of them are bits, by number. */
#define STATS_METRICS_ALL ((1u << STATS_METRICS) - 1)

/* "total" */
const char *stats_metric_name(enum stats_metric metric);

/* False: there is none of that name. */
bool stats_metric_find(struct slice name, enum stats_metric *out);

struct stats_figure {
    bool whole; /* the first of the two, else the second */
    int64_t whole_value;
    double value; /* in any case */
};

struct stats_figure stats_metric_of(const struct stats_answer *answer, enum stats_metric metric);

#endif
