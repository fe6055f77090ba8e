/* analytics_total.h - a counter's total as analytics has it, at one position of its lane.
 *
 * Whoever compares reads a store's value together with its lane's position; only the total of that
 * position says something about it. A lane that is behind gets there; one that has passed doesn't
 * come back.
 *
 * Threads    Plain data; analytics_total() the owner's of the analytics.
 * Ownership  The names are the asker's.
 */
#ifndef CORE_ANALYTICS_TOTAL_H
#define CORE_ANALYTICS_TOTAL_H

#include "base/slice.h"
#include "core/event.h"

enum total_state {
    TOTAL_AHEAD,     /* the lane isn't there yet */
    TOTAL_KNOWN,     /* 'value' */
    TOTAL_NOT_HELD,  /* beyond the limit: counted in a group */
    TOTAL_UNHEARD,   /* it has had no event since analytics began, which was later than the store */
    TOTAL_PASSED,    /* the lane is behind this position for good */
    TOTAL_HALTED,    /* the lane is */
    TOTAL_ELSEWHERE, /* nothing of this lane was ever counted here */
    TOTAL_STATES
};

struct total {
    struct slice resource_id;
    struct slice counter_type;
    uint32_t lane;
    struct event_position at;
    enum total_state state;
    int64_t value;
};

struct analytics;

/* Sets its state and value. */
void analytics_total(struct analytics *analytics, struct total *total);

#endif
