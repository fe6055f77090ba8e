/* analytics_totals.c - what is known of a counter when its lane is at a position. */
#include "core/analytics_internal.h"
#include "core/analytics_total.h"

static enum total_state lane_state(const struct analytics *a, const struct total *total) {
    if (total->lane >= a->lanes_count || analytics_elsewhere(a, total->lane))
        return TOTAL_ELSEWHERE;
    const struct analytics_lane *lane = &a->lanes[total->lane];

    if (lane->halted)
        return TOTAL_HALTED;
    if (lane->at.epoch == 0 && total->at.seq)
        return TOTAL_ELSEWHERE;
    if (total->at.seq && event_position_less(lane->at, total->at))
        return TOTAL_AHEAD;
    /* {1, 0} is where a lane begins, and so is {0, 0}. */
    if (lane->at.seq && event_position_less(total->at, lane->at))
        return TOTAL_PASSED;
    return TOTAL_KNOWN;
}

void analytics_total(struct analytics *a, struct total *total) {
    total->state = lane_state(a, total);
    total->value = 0;
    if (total->state != TOTAL_KNOWN)
        return;
    uint32_t number = analytics_find(a, total->resource_id, total->counter_type);
    if (a->touched) /* between values_begin and _end */
        total->state = TOTAL_UNHEARD;
    else if (number != NO_COUNTER)
        total->value = analytics_tally(a, number, RANGE_ALL).sum;
    else if (a->full)
        total->state = TOTAL_NOT_HELD;
    else if (!analytics_values_known(a))
        total->state = TOTAL_UNHEARD;
}
