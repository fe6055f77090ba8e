/* analytics_answer.h - what analytics is asked and what it answers.
 *
 * Threads    Plain data.
 * Ownership  Of a query: the asker's, until it is answered. Of an answer: the slices and arrays
 *            live in its buffers, until answer_release().
 */
#ifndef CORE_ANALYTICS_ANSWER_H
#define CORE_ANALYTICS_ANSWER_H

#include "base/buf.h"
#include "base/slice.h"
#include "core/tally.h"
#include "core/time_range.h"

#define TOP_LIMIT_MAX 1000
#define TOP_REACH_MAX 10000 /* offset + limit */

/* How far an answer can be trusted. */
struct certainty {
    bool exact;
    int64_t max_error; /* no counter that is missing can have more; -1: nobody knows */
    int64_t since_ms;  /* the range begins before: events up to then were never read; 0: none */
};

struct top_query {
    struct slice counter_type;
    enum time_range range;
    uint32_t offset;
    uint32_t limit;
};

struct top_item {
    struct slice resource_id;
    struct tally tally;
};

struct top_answer {
    struct certainty certainty;
    int64_t as_of_ms; /* analytics_top()'s: where the range ends, */
    uint64_t since;   /* and events that were counted since then */
    size_t count;
    struct buf items; /* struct top_item; their slices point into 'names' */
    struct buf names;
};

struct stats_query {
    struct slice resource_id;
    struct slice counter_type;
    enum time_range range;
};

struct series_point {
    int64_t start_ms;
    struct tally tally;
};

/* The definitions are docs/analytics.md's. */
struct stats_answer {
    struct certainty certainty;
    struct tally total;
    double avg;
    double rate;
    double trend;
    int64_t peak;
    size_t count;
    struct series_point points[RANGE_POINTS_MAX];
};

static inline const struct top_item *top_item(const struct top_answer *answer, size_t index) {
    return (const struct top_item *)(const void *)answer->items.ptr + index;
}

static inline void top_answer_release(struct top_answer *answer) {
    buf_release(&answer->items);
    buf_release(&answer->names);
}

/* avg, rate, trend and peak, from the points and the range's end. */
void analytics_summarize(struct stats_answer *answer, int64_t end_ms);

#endif
