/* analytics_internal.h - what the files of core/analytics.h share.
 *
 * analytics.c          open, source, positions, applying
 * analytics_load.c     what is stored, read back
 * analytics_counters.c counters and types: found, admitted, ranked
 * analytics_move.c     windows that move
 * analytics_query.c    tops and series
 */
#ifndef CORE_ANALYTICS_INTERNAL_H
#define CORE_ANALYTICS_INTERNAL_H

#include "core/analytics.h"
#include "core/bytes.h"
#include "core/bytes_table.h"
#include "core/ranking.h"
#include "core/tally_delta.h"

#define NO_COUNTER UINT32_MAX
#define NO_ENTRY   UINT32_MAX

/* A counter; or, without an entry, all those of a type that are beyond the limit. */
struct tracked {
    int64_t value;       /* after its last event; of many: the largest that was seen */
    int64_t external;    /* what was changed without an event */
    uint64_t increments; /* of many: events */
    uint32_t type;
    uint32_t entry; /* in the type's rankings, NO_ENTRY */
    bool dirty;     /* differs from the store's */
};

struct counter_type {
    struct ranking_order order;
    const struct analytics *owner;
    struct ranking rankings[RANGES];
    uint32_t *members; /* counters by entry */
    uint32_t members_cap;
    uint32_t rest; /* the counter that stands for those beyond the limit, NO_COUNTER */
    struct tally rest_tallies[RANGE_WINDOWS];
};

struct analytics_lane {
    struct event_position at;
    int64_t latest_ms; /* of its events */
    bool halted;
    bool dirty;
};

struct analytics {
    struct tally_store *store;
    struct analytics_conf conf;

    struct bytes_table ids; /* resource_id, a zero byte, counter_type */
    struct tracked *counters;
    uint32_t counters_cap;
    uint32_t held;     /* counters that count towards the limit */
    bool full;         /* there are counters beyond it; stays so: their past is not known */
    uint32_t *changed; /* counters that are dirty */
    uint32_t changed_count;
    struct bytes_table type_names; /* number 0, "": types beyond the limit */
    struct counter_type **types;
    uint32_t types_cap;

    bool sourced;
    uint64_t store_id;
    uint32_t lanes_count;
    struct analytics_lane *lanes;
    bool source_dirty;

    int64_t end_ms;    /* of the windows */
    int64_t latest_ms; /* of all events */
    struct bucket_span spans[RANGE_WINDOWS];
    struct tally_delta delta;
    struct analytics_stats stats;
    struct buf scratch;
    struct buf record;
};

/* ---- analytics_counters.c ---- */

/* Type 0, for counters of types beyond the limit. */
MUST_CHECK enum err analytics_make_rest(struct analytics *a);

/* The counter of this id, or what stands for it. ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_counter(struct analytics *a, struct slice resource_id,
                                      struct slice counter_type, uint32_t *out);

/* A counter of this id is held: NO_COUNTER otherwise. */
uint32_t analytics_find(struct analytics *a, struct slice resource_id, struct slice counter_type);

/* The next counter, with this id; 'entry': it is one, not many. ERR_NO_MEMORY, ERR_CORRUPT. */
MUST_CHECK enum err analytics_add_counter(struct analytics *a, struct slice id, uint32_t *out);

/* The type of this name, NULL if it isn't known. */
struct counter_type *analytics_type(const struct analytics *a, struct slice name);

/* Its tally in the window changes by 'more'; 'back': less by it. */
void analytics_window_add(struct analytics *a, uint32_t counter, enum time_range range,
                          struct tally more, bool back);

/* Its value or increments have changed. */
void analytics_rank_value(struct analytics *a, uint32_t counter);

void analytics_counters_release(struct analytics *a);

static inline bool analytics_is_rest(const struct tracked *counter) {
    return counter->entry == NO_ENTRY;
}

/* ---- analytics_move.c ---- */

/* Builds every window anew from the store, to end at 'end_ms'. */
MUST_CHECK enum err analytics_build_windows(struct analytics *a, int64_t end_ms);

/* ---- analytics_load.c ---- */

#define ANALYTICS_VERSION 1

void analytics_cell_key(struct tally_cell cell, struct buf *out);
void analytics_stage(struct analytics *a);
MUST_CHECK enum err analytics_load(struct analytics *a);

#endif
