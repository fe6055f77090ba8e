/* analytics_still.c - the head of each ranking as it was before a bucket began to leave its window.
 *
 * Half taken off, a window is nobody's: some counters have what leaves, others don't. Until all has
 * left, who asks gets the ranking of the moment before, with that moment as its time. Only where
 * more leaves than goes in one step, and only so many places of it: the rest isn't exact meanwhile.
 */
#include <stdlib.h>

#include "core/analytics_internal.h"

/* Of all types together: a millisecond's work. */
#define STILL_ROWS 1024

/* Older than this it tells nobody anything: counting stood still, and so did who asks. */
#define STILL_AGE_MS 60000

static void release_still(struct still_ranking *still) {
    free(still->rows);
    *still = (struct still_ranking){0};
}

void analytics_still_end(struct analytics *a, enum time_range range) {
    if (a->stills[range].as_of_ms == 0)
        return;
    a->stills[range] = (struct still){0};
    for (uint32_t i = 0; i < a->type_names.count; i++)
        release_still(&a->types[i]->stills[range]);
}

void analytics_still_end_all(struct analytics *a) {
    for (unsigned i = 0; i < RANGE_WINDOWS; i++)
        analytics_still_end(a, (enum time_range)i);
}

/* False: no memory. Of this type, and those behind it, nothing is kept then. */
static bool keep(struct analytics *a, struct counter_type *type, enum time_range range,
                 size_t max) {
    struct still_ranking *still = &type->stills[range];
    uint32_t *entries = malloc(max * sizeof(*entries));
    size_t found = 0;

    release_still(still);
    still->rows = malloc(max * sizeof(*still->rows));
    bool kept = entries && still->rows &&
                ranking_top(&type->rankings, &type->order, range, max, entries, &found) == ERR_OK;
    for (size_t i = 0; kept && i < found; i++)
        still->rows[i] =
            (struct still_row){entries[i], ranking_get(&type->rankings, range, entries[i])};
    still->count = (uint32_t)found;
    still->whole = found < max;
    still->certainty = analytics_certainty(a, type, NULL, range);
    free(entries);
    if (!kept)
        release_still(still);
    return kept;
}

void analytics_still_begin(struct analytics *a, enum time_range range, int64_t now_ms) {
    size_t types = 0;

    analytics_still_end(a, range);
    for (uint32_t i = 0; i < a->type_names.count; i++)
        types += a->types[i]->rankings.count > 0;
    size_t max = types ? STILL_ROWS / types : 1;
    if (a->end_ms <= 0 || now_ms - a->end_ms > STILL_AGE_MS || max == 0)
        return;
    a->stills[range] = (struct still){a->end_ms, a->stats.events};
    for (uint32_t i = 0; i < a->type_names.count; i++)
        if (!keep(a, a->types[i], range, max))
            return;
}

const struct still_ranking *analytics_still(const struct analytics *a,
                                            const struct counter_type *type, enum time_range range,
                                            size_t reach) {
    if (range == RANGE_ALL || !a->leaving[range].cursor || a->stills[range].as_of_ms == 0)
        return NULL;
    const struct still_ranking *still = &type->stills[range];
    return still->rows && (still->whole || reach <= still->count) ? still : NULL;
}
