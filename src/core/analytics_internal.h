/* analytics_internal.h - what the files of core/analytics.h share.
 *
 * analytics.c          open, source, positions, applying
 * analytics_commit.c   what is pending, stored
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
#include "core/tally_pending.h"

#define NO_COUNTER UINT32_MAX
#define NO_ENTRY   UINT32_MAX

#define GENERATIONS 2

/* A counter; or, without an entry, all those of a type that are beyond the limit. Its value and
 * increments are its tally of RANGE_ALL: after its last event; of many the largest value that was
 * seen, and events. */
struct tracked {
    uint32_t type;
    uint32_t entry;             /* in the type's rankings, NO_ENTRY */
    uint32_t hint[GENERATIONS]; /* where it is pending */
};

struct counter_type {
    struct ranking_order order;
    const struct analytics *owner;
    struct ranking rankings[RANGES];
    uint32_t *members; /* counters by entry */
    uint32_t members_cap;
    uint32_t rest; /* the counter that stands for those beyond the limit, NO_COUNTER */
    struct tally rest_tallies[RANGES];
};

struct analytics_lane {
    struct event_position at;
    struct event_position stored; /* what is on disk for certain */
    int64_t latest_ms;            /* of its events */
    bool halted;
};

/* What was counted between two commits. One is open; the other one is empty or under way to the
 * store, and then only read, by the store's thread too. */
struct generation {
    struct tally_pending pending;
    struct analytics_lane *lanes; /* as they were when it was closed */
    bool lanes_dirty;
    bool source_dirty;
    int64_t forget_ms; /* 0, or: buckets that aren't kept at this time go */
    uint32_t *order;   /* the store's thread's, and what is below */
    struct buf key;
    struct buf record;
};

struct analytics {
    struct tally_store *store;
    struct analytics_conf conf;

    struct bytes_table ids; /* resource_id, a zero byte, counter_type */
    struct tracked *counters;
    uint32_t counters_cap;
    uint32_t held; /* counters that count towards the limit */
    bool full;     /* there are counters beyond it; stays so: their past is not known */
    struct bytes_table type_names; /* number 0, "": types beyond the limit */
    struct counter_type **types;
    uint32_t types_cap;

    bool sourced;
    uint64_t store_id;
    uint32_t lanes_count;
    struct analytics_lane *lanes;

    int64_t end_ms;    /* of the windows */
    int64_t latest_ms; /* of all events */
    struct bucket_span spans[RANGE_WINDOWS];
    int64_t forgotten_hour;
    struct generation generations[GENERATIONS];
    unsigned open;
    bool committing; /* the other one is under way */
    struct tally_batch batch;
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

struct tally analytics_tally(const struct analytics *a, uint32_t counter, enum time_range range);

/* Where it stands in the range from now on. */
void analytics_rank(struct analytics *a, uint32_t counter, enum time_range range,
                    struct tally tally);

void analytics_counters_release(struct analytics *a);

static inline bool analytics_is_rest(const struct tracked *counter) {
    return counter->entry == NO_ENTRY;
}

/* ---- analytics_move.c ---- */

/* Builds every window anew from the store, to end at 'end_ms'. */
MUST_CHECK enum err analytics_build_windows(struct analytics *a, int64_t end_ms);

/* ---- analytics_commit.c ---- */

MUST_CHECK enum err analytics_generations_init(struct analytics *a);
void analytics_generations_release(struct analytics *a);

/* False: no memory. */
bool analytics_make_lanes(struct analytics *a, uint32_t count);

static inline struct generation *analytics_open_generation(struct analytics *a) {
    return &a->generations[a->open];
}

/* ---- analytics_load.c ---- */

/*     'M'                              version, store id, lanes
 *     'L' lane                         epoch, seq, latest event time
 *     'C' counter                      value, 0, increments, id: when it was new
 *     'V' counter                      value, increments: since then
 *     'B' width bucket counter         a tally, which grows by additions
 */
#define ANALYTICS_VERSION 2 /* 1: every change rewrote 'C' */

#define KEY_META    'M'
#define KEY_LANE    'L'
#define KEY_COUNTER 'C'
#define KEY_VALUE   'V'
#define KEY_BUCKET  'B'

struct slice analytics_key(struct buf *out, char space, uint32_t number);
struct slice analytics_cell_key(struct buf *out, struct tally_cell cell);
MUST_CHECK enum err analytics_load(struct analytics *a);

#endif
