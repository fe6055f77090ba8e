/* stats_metric.c - see stats_metric.h. */
#include "core/stats_metric.h"

static const char *const names[STATS_METRICS] = {
    [STATS_TOTAL] = "total", [STATS_AVG] = "avg",   [STATS_PEAK] = "peak",
    [STATS_TREND] = "trend", [STATS_RATE] = "rate", [STATS_INCREMENTS] = "increments",
};

const char *stats_metric_name(enum stats_metric metric) {
    return names[metric];
}

bool stats_metric_find(struct slice name, enum stats_metric *out) {
    for (unsigned i = 0; i < STATS_METRICS; i++) {
        if (!slice_eq(name, slice_str(names[i])))
            continue;
        *out = (enum stats_metric)i;
        return true;
    }
    return false;
}

static struct stats_figure whole(int64_t value) {
    return (struct stats_figure){.whole = true, .whole_value = value, .value = (double)value};
}

struct stats_figure stats_metric_of(const struct stats_answer *answer, enum stats_metric metric) {
    switch (metric) {
    case STATS_TOTAL:
        return whole(answer->total.sum);
    case STATS_PEAK:
        return whole(answer->peak);
    case STATS_INCREMENTS:
        return whole((int64_t)answer->total.increments);
    case STATS_AVG:
        return (struct stats_figure){.value = answer->avg};
    case STATS_RATE:
        return (struct stats_figure){.value = answer->rate};
    default:
        return (struct stats_figure){.value = answer->trend};
    }
}
