/* analytics_values.c - counters' values from the store itself, while events go on.
 *
 * Values are of one moment S, taken after analytics_values_begin(), at which events up to A <= S
 * were counted. A counter with an event since A has its value from that; one without has had none
 * up to where its lane is now, so the value at S is right, at once or when the events between here
 * and S are counted: each brings the value that came of it.
 */
#include <stdlib.h>

#include "core/analytics_internal.h"

#define BITS 64

enum err analytics_values_begin(struct analytics *a) {
    uint64_t *touched = calloc(a->ids.count / BITS + 1, sizeof(*touched));

    if (!touched)
        return ERR_NO_MEMORY;
    free(a->touched);
    a->touched = touched;
    a->touched_max = a->ids.count;
    return ERR_OK;
}

void analytics_touch(struct analytics *a, uint32_t counter) {
    if (counter < a->touched_max)
        a->touched[counter / BITS] |= UINT64_C(1) << counter % BITS;
    if (counter < a->unproven_max)
        a->unproven[counter / BITS] &= ~(UINT64_C(1) << counter % BITS);
}

bool analytics_proven(const struct analytics *a, uint32_t counter) {
    return !a->touched &&
           (counter >= a->unproven_max || !(a->unproven[counter / BITS] >> counter % BITS & 1));
}

/* Without memory for it none: a false alarm rather than no more comparing. */
static void doubt_all(struct analytics *a) {
    size_t words = a->ids.count / BITS + 1;
    uint64_t *unproven = malloc(words * sizeof(*unproven));

    free(a->unproven);
    a->unproven = unproven;
    a->unproven_max = unproven ? a->ids.count : 0;
    if (unproven)
        memset(unproven, 0xff, words * sizeof(*unproven));
}

/* What is newer than the beginning has its value from an event. */
static bool is_touched(const struct analytics *a, uint32_t counter) {
    return counter >= a->touched_max || a->touched[counter / BITS] >> counter % BITS & 1;
}

/* Of a group the largest value of any; one that had none yet has the first. */
static int64_t value_of(const struct analytics *a, uint32_t counter, int64_t value, bool first) {
    int64_t before = analytics_tally(a, counter, RANGE_ALL).sum;

    return !analytics_is_rest(&a->counters[counter]) || first || value > before ? value : before;
}

static enum err admit(struct analytics *a, struct slice resource_id, struct slice counter_type,
                      uint32_t *out) {
    struct slice id = analytics_id(&a->looked, resource_id, counter_type);
    struct lookup lookup;

    if (buf_failed(&a->looked))
        return ERR_NO_MEMORY;
    analytics_look(a, id, &lookup);
    return analytics_counter(a, &lookup, 0, out);
}

enum err analytics_value(struct analytics *a, struct slice resource_id, struct slice counter_type,
                         int64_t value) {
    struct tally_pending *pending = &analytics_open_generation(a)->pending;
    uint32_t number = analytics_find(a, resource_id, counter_type);
    uint32_t known = a->ids.count;

    if (number == NO_COUNTER ? value == 0 : is_touched(a, number))
        return ERR_OK;
    if (!tally_pending_room(pending))
        return ERR_BUSY;
    enum err err = number == NO_COUNTER ? admit(a, resource_id, counter_type, &number) : ERR_OK;
    if (err != ERR_OK)
        return err;
    bool first = number >= known;
    struct tally now = analytics_tally(a, number, RANGE_ALL);
    struct pending_counter *counter =
        tally_pending_touch(pending, number, &a->counters[number].hint[a->open]);

    now.sum = value_of(a, number, value, first);
    counter->now = now;
    analytics_rank(a, number, RANGE_ALL, now);
    return first ? tally_pending_name(pending, counter, bytes_table_key(&a->ids, number), 0)
                 : ERR_OK;
}

void analytics_values_end(struct analytics *a) {
    if (a->touched)
        doubt_all(a);
    free(a->touched);
    a->touched = NULL;
    a->touched_max = 0;
    a->values_known = true;
    analytics_open_generation(a)->values_known = true;
}

bool analytics_values_known(const struct analytics *a) {
    return a->values_known || a->since_ms == 0;
}
