/* stream_query.h - what a stream's URL asks for.
 *
 *     ?counter=post-1/like&counter=post-2/like&top=like&time_range=1h&limit=10
 *
 * Threads    Plain functions.
 */
#ifndef GATEWAY_STREAM_QUERY_H
#define GATEWAY_STREAM_QUERY_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "gateway/analytics_query.h"

struct stream_counter {
    struct slice resource_id;
    struct slice counter_type;
};

struct stream_params {
    struct stream_counter *counters;
    size_t count;
    bool ranks;                  /* a ranking is asked for: */
    struct analytics_params top; /* this one */
};

/* At most 'counters_max' counters; unknown parameters are ignored. ERR_INVALID: '*out_detail' says
 * what is wrong; ERR_NO_MEMORY. Decoded values are in the arena, or in 'query'. */
MUST_CHECK enum err stream_read_params(struct slice query, size_t counters_max, struct arena *arena,
                                       struct stream_params *out, const char **out_detail);

#endif
