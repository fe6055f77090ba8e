/* time_range.h - the ranges that analytics answers for, and the buckets that they are made of.
 *
 * A range is its newest buckets, the current one included, so it reaches back between its length
 * less one bucket and its whole length: what it counts lies inside the range, what is missing is at
 * most the oldest bucket's part.
 *
 *     1h   60 minutes     24h  24 hours     7d  168 hours     30d  30 days     all  everything
 *
 * Buckets are numbered from the Unix epoch, in UTC. 'all' has no window: it is the counter's value;
 * its buckets here are those of its series.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef CORE_TIME_RANGE_H
#define CORE_TIME_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum bucket_width { BUCKET_MINUTE, BUCKET_HOUR, BUCKET_DAY, BUCKET_WIDTHS };

enum time_range { RANGE_1H, RANGE_24H, RANGE_7D, RANGE_30D, RANGE_ALL, RANGES };

/* The ranges that have a window: all but RANGE_ALL. */
#define RANGE_WINDOWS RANGE_ALL

#define RANGE_POINTS_MAX 366 /* of any range's series */

/* First and last bucket, both included. last < first: none. */
struct bucket_span {
    int64_t first;
    int64_t last;
};

/* "1h", "24h", "7d", "30d", "all". */
const char *time_range_name(enum time_range range);

/* False: there is none of that name. */
bool time_range_find(struct slice name, enum time_range *out);

enum bucket_width time_range_width(enum time_range range);

/* The buckets of the range that ends at 'now_ms'. */
struct bucket_span time_range_span(enum time_range range, int64_t now_ms);

static inline bool bucket_span_has(struct bucket_span span, int64_t bucket) {
    return bucket >= span.first && bucket <= span.last;
}

int64_t time_bucket_ms(enum bucket_width width);

/* Of an event at 'ms' since the epoch; what lies before the epoch or beyond the year 4000, which
 * only a clock that was never set gives, is in the first and the last one. */
int64_t time_bucket_of(enum bucket_width width, int64_t ms);

/* The oldest bucket that is kept at 'now_ms': longer than any range needs, so that a clock that is
 * set back finds what it had. */
int64_t time_bucket_oldest(enum bucket_width width, int64_t now_ms);

#endif
