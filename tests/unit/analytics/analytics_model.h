/* analytics_model.h - what analytics must answer, computed anew from every event. */
#ifndef TESTS_ANALYTICS_MODEL_H
#define TESTS_ANALYTICS_MODEL_H

#include "core/analytics.h"
#include "core/event.h"

#define MODEL_TYPES    3
#define MODEL_IDS      12
#define MODEL_COUNTERS (MODEL_TYPES * MODEL_IDS)
#define MODEL_LANES    4 /* not as many as types */
#define MODEL_EVENTS   20000

/* Every event that ever was, in order by lane; what is behind 'foreign' was written by nobody. */
struct model {
    struct event events[MODEL_LANES][MODEL_EVENTS];
    uint32_t count[MODEL_LANES];
    uint32_t counter[MODEL_LANES][MODEL_EVENTS];
    int64_t value[MODEL_COUNTERS];
};

struct slice model_id(uint32_t counter);
struct slice model_type(uint32_t counter);

struct tally model_tally(const struct model *model, uint32_t counter, enum time_range range,
                         int64_t end_ms);

/* The type's counters that are listed, in order; returns their number. */
size_t model_top(const struct model *model, uint32_t type, enum time_range range, int64_t end_ms,
                 uint32_t out[MODEL_IDS]);

size_t model_series(const struct model *model, uint32_t counter, enum time_range range,
                    int64_t end_ms, struct series_point out[RANGE_POINTS_MAX]);

#endif
