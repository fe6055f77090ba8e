/* analytics_internal.h - what the files of core/analytics.h share.
 *
 * analytics.c          open, source, positions, applying
 * analytics_commit.c   what is pending, stored
 * analytics_load.c     what is stored, read back
 * analytics_regroup.c  what versions before groups have stored, in groups
 * analytics_counters.c counters and types: found, admitted, ranked
 * analytics_rest.c     counters beyond the limit, and what none of them can exceed
 * analytics_move.c     windows that move
 * analytics_still.c    rankings as they were, while a bucket leaves
 * analytics_query.c    tops and series
 * analytics_totals.c   a total at a position
 * analytics_values.c   values from the store itself
 * analytics_partition.c  partitions that come and go, and what is shown of them
 * analytics_carry.c      a partition's state, out of one instance and into another
 */
#ifndef CORE_ANALYTICS_INTERNAL_H
#define CORE_ANALYTICS_INTERNAL_H

#include "core/analytics.h"
#include "core/analytics_partition.h"
#include "core/bytes.h"
#include "core/bytes_table.h"
#include "core/radix.h"
#include "core/ranking.h"
#include "core/tally_group.h"
#include "core/tally_pending.h"

#define NO_COUNTER UINT32_MAX

/* Counters beyond the limit are counted in groups, by a hash of their id: none can have more than
 * its group. Types that have groups are few, so that nobody fills memory with types. */
#define REST_GROUPS    1024
#define REST_TYPES_MAX 64
#define REST_ENTRY     (UINT32_C(1) << 31) /* and the group's number; REST_GROUPS: rest_before */

#define GENERATIONS 2

/* A counter; or a group of those beyond the limit. Its value and increments are its tally of
 * RANGE_ALL: after its last event; of a group the largest value that was seen, and events. */
struct tracked {
    uint32_t type;
    uint32_t entry;             /* in the type's rankings; of a group see REST_ENTRY */
    uint32_t hint[GENERATIONS]; /* where it is pending */
    uint32_t lane;              /* of its events, and 1; 0: nobody knows, or a group */
};

struct rest_groups {
    uint32_t counters[REST_GROUPS]; /* NO_COUNTER: nobody is in it */
    struct tally tallies[RANGES][REST_GROUPS];
};

/* The head of a ranking at a moment that is over. */
struct still_row {
    uint32_t entry;
    struct tally tally;
};

struct still_ranking {
    struct certainty certainty;
    struct still_row *rows; /* NULL: it wasn't kept */
    uint32_t count;
    bool whole; /* there is nobody behind */
};

struct still {
    int64_t as_of_ms; /* 0: there is none */
    uint64_t events;  /* counted until then */
};

struct counter_type {
    struct ranking_order order;
    const struct analytics *owner;
    uint32_t number;
    struct rankings rankings;
    struct still_ranking stills[RANGE_WINDOWS];
    uint32_t *members; /* counters by entry */
    uint32_t members_cap;
    uint32_t hidden_cap;              /* bits of order.hidden */
    struct rest_groups *groups;       /* NULL: nobody is beyond the limit */
    struct tally rest_before[RANGES]; /* of all who were when there was one group (version 2) */
};

struct analytics_lane {
    struct event_position at;
    struct event_position stored; /* what is on disk for certain */
    int64_t latest_ms;            /* of its events */
    int64_t since_ms; /* events before were not there to be read any more; 0: all were */
    bool halted;
    bool missed; /* events: it has halted since the folder was made, which is on disk */
    enum partition_state partition; /* its state */
};

struct partitions {
    struct analytics_partition all[ANALYTICS_PARTITIONS_MAX];
    uint32_t count;
    bool dirty;
};

/* What was counted between two commits. One is open; the other one is empty or under way to the
 * store, and then only read, by the store's thread too. */
struct generation {
    struct tally_pending pending;
    struct analytics_lane *lanes; /* as they were when it was closed */
    bool lanes_dirty;
    bool source_dirty;
    bool values_known; /* since then */
    struct partitions partitions;
    struct buf mark;
    int64_t forget_ms;        /* 0, or: buckets that aren't kept at this time go */
    struct tally_group group; /* the store's thread's, and what is below */
    struct radix_item *order; /* twice as many */
    struct buf key;
    struct buf record;
};

/* What a window still has of buckets outside its span. */
struct leaving {
    struct tally_cursor *cursor; /* from here on; NULL: nothing */
    struct tally_group group;    /* and of the last one that it gave */
    uint32_t first;              /* the group's first counter */
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
    uint32_t rest_types; /* that have groups, number 0 apart */

    bool sourced;
    uint64_t store_id;
    uint32_t lanes_count;
    struct analytics_lane *lanes;
    struct buf mark;
    uint8_t made; /* the version that made what is stored */
    struct partitions partitions;
    uint32_t
        veiled; /* counters that are shown or hidden as their partitions want it, from the first */

    int64_t end_ms;    /* of the windows */
    int64_t latest_ms; /* of all events */
    struct bucket_span spans[RANGE_WINDOWS];
    struct leaving leaving[RANGE_WINDOWS];
    struct still stills[RANGE_WINDOWS]; /* until nothing leaves any more */
    bool values_known;                  /* they were taken from the store */
    int64_t since_ms;                   /* the latest of any lane */
    uint64_t *touched;     /* between values_begin and _end: counters that had an event, */
    uint32_t touched_max;  /* of those known then */
    uint64_t *unproven;    /* after it: counters that have had none since, */
    uint32_t unproven_max; /* of those known at its end */
    int64_t forgotten_hour;
    struct generation generations[GENERATIONS];
    unsigned open;
    bool committing; /* the other one is under way */
    struct tally_batch batch;
    struct analytics_stats stats;
    struct buf scratch;
    struct buf record;
    struct buf looked; /* the ids of lookups */
};

/* ---- analytics.c ---- */

/* What it is of all lanes. */
void analytics_find_since(struct analytics *a);

/* ---- analytics_counters.c ---- */

/* Type 0, for counters of types beyond the limit. */
MUST_CHECK enum err analytics_make_rest(struct analytics *a);

/* resource_id, a zero byte, counter_type. */
struct slice analytics_id(struct buf *out, struct slice resource_id, struct slice counter_type);

/* An id that is about to be looked for. On tables larger than the processor's cache a find waits
 * for memory several times: the steps of many go side by side, with other work between. */
struct lookup {
    struct slice id;
    uint64_t hash;
    uint32_t guess; /* its row, NONE */
};

/* Fills and hints, in this order; 'id' is analytics_id()'s and must last. */
void analytics_look(const struct analytics *a, struct slice id, struct lookup *out);
void analytics_look_row(const struct analytics *a, struct lookup *lookup);
void analytics_look_key(const struct analytics *a, const struct lookup *lookup);

/* The counter of this id, or what stands for it. ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_counter(struct analytics *a, const struct lookup *lookup,
                                      uint32_t lane, uint32_t *out);

/* A counter of this id is held: NO_COUNTER otherwise. It may be hidden. */
uint32_t analytics_find(struct analytics *a, struct slice resource_id, struct slice counter_type);

/* The next counter, with this id; 'lane' as in struct tracked. ERR_NO_MEMORY, ERR_CORRUPT. */
MUST_CHECK enum err analytics_add_counter(struct analytics *a, struct slice id, uint32_t lane,
                                          uint32_t *out);

/* The type of this name, NULL if it isn't known. */
struct counter_type *analytics_type(const struct analytics *a, struct slice name);

struct tally analytics_tally(const struct analytics *a, uint32_t counter, enum time_range range);

/* Where it stands in the range from now on. */
void analytics_rank(struct analytics *a, uint32_t counter, enum time_range range,
                    struct tally tally);

void analytics_counters_release(struct analytics *a);

static inline bool analytics_is_rest(const struct tracked *counter) {
    return counter->entry & REST_ENTRY;
}

/* ---- analytics_partition.c ---- */

/* After a change of a->partitions or a->lanes. */
void analytics_mark_lanes(struct analytics *a);

/* Events of such a partition count. */
static inline bool analytics_counts(enum partition_state state) {
    return state == PARTITION_UNMOVED || state == PARTITION_HERE;
}

/* And its counters are another instance's. */
static inline bool analytics_hides(enum partition_state state) {
    return !analytics_counts(state) && state != PARTITION_LEAVING;
}

/* Its partition is another instance's: it isn't ranked, and a question about it has no answer. */
bool analytics_hidden(const struct analytics *a, uint32_t counter);

/* As its partition wants it; it has its entry. ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_veil(struct analytics *a, uint32_t counter);

/* ---- analytics_rest.c ---- */

/* The group that stands for the counter of this id, which isn't a->scratch. ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_rest_counter(struct analytics *a, struct slice id, uint32_t *out);

/* Of an id that begins with a zero byte: the type's name, and where a->counters[].entry is.
 * ERR_CORRUPT. */
MUST_CHECK enum err analytics_rest_parse(struct slice id, struct slice *out_type,
                                         uint32_t *out_entry);

/* 'counter' is this group of its type from now on. ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_rest_place(struct analytics *a, uint32_t counter);

static inline struct tally *analytics_rest_tally(struct counter_type *type, uint32_t entry,
                                                 enum time_range range) {
    uint32_t group = entry - REST_ENTRY;

    return group == REST_GROUPS ? &type->rest_before[range] : &type->groups->tallies[range][group];
}

/* What no counter of the type (number 0: one that isn't known) that is beyond the limit can exceed
 * in the range; or, with 'one', what this one can't. False: nothing is missing. */
bool analytics_rest_bound(struct analytics *a, const struct counter_type *type,
                          const struct stats_query *one, enum time_range range, int64_t *out);

/* How far a ranking of the type can be trusted; with 'one', an answer about that counter, which
 * isn't held. */
struct certainty analytics_certainty(struct analytics *a, const struct counter_type *type,
                                     const struct stats_query *one, enum time_range range);

/* ---- analytics_still.c ---- */

/* The range's rankings are kept as they are, at the end of the windows; which will be 'now_ms'. */
void analytics_still_begin(struct analytics *a, enum time_range range, int64_t now_ms);
void analytics_still_end(struct analytics *a, enum time_range range);
void analytics_still_end_all(struct analytics *a);

/* What stands for the ranking's first 'reach' places now; NULL: the ranking itself. */
const struct still_ranking *analytics_still(const struct analytics *a,
                                            const struct counter_type *type, enum time_range range,
                                            size_t reach);

/* ---- analytics_move.c ---- */

/* Builds every window anew from the store, to end at 'end_ms'. */
MUST_CHECK enum err analytics_build_windows(struct analytics *a, int64_t end_ms);

/* The cursors; before the store is closed. */
void analytics_windows_release(struct analytics *a);

/* ---- analytics_commit.c ---- */

MUST_CHECK enum err analytics_generations_init(struct analytics *a);

/* Whose events are counted, and the version of what is stored; inside 'fill'. */
void analytics_put_source(const struct analytics *a, struct tally_store *store, struct buf *key,
                          struct buf *record);
void analytics_generations_release(struct analytics *a);

/* False: no memory. */
bool analytics_make_lanes(struct analytics *a, uint32_t count);

static inline struct generation *analytics_open_generation(struct analytics *a) {
    return &a->generations[a->open];
}

/* ---- analytics_values.c ---- */

/* The counter has had an event. */
void analytics_touch(struct analytics *a, uint32_t counter);

/* Its total is as of the last event of its lane that was counted. Values from the store may be of
 * later ones: until its next event, nobody knows. */
bool analytics_proven(const struct analytics *a, uint32_t counter);

/* ---- analytics_load.c ---- */

/*     'M'                              version, store id, lanes, the version that made it
 *     'L' lane                         epoch, seq, latest event time, since
 *     'P' partition                    partitions, state, moves, peer: once it has been moved
 *     'C' counter                      value, lane, increments, id: when it was new
 *     'W' group of counters            value, increments of each: since then
 *     'S'                              there: the values of all counters were taken from the store
 *     'G' width bucket group           their tallies there, which grow by additions
 *
 * Before version 5 each had a record of its own:
 *     'V' counter                      value, increments: until it is in a 'W'
 *     'B' width bucket counter         a tally: until analytics_regroup()
 */
#define ANALYTICS_VERSION                                                                          \
    5 /* 1: every change rewrote 'C'; 2: one group for each type; 3: no lane, no since; 4: above   \
       */
#define WITH_LANES    4
#define VERSION_SINCE 4

#define KEY_META    'M' /* 0: the source; META_MARK */
#define META_MARK   1
#define KEY_LANE    'L'
#define KEY_COUNTER 'C'
#define KEY_VALUES  'W'
#define KEY_BUCKET  'G'
#define KEY_VALUE   'V'
#define KEY_KNOWN   'S'
#define KEY_PART    'P'

struct slice analytics_key(struct buf *out, char space, uint32_t number);

/* Of the group that the cell's counter is in. */
#define ANALYTICS_CELL_KEY_BYTES 10
struct slice analytics_cell_key(struct buf *out, struct tally_cell cell);

/* What such a key says; the counter is the group's first. ERR_CORRUPT: it is none. */
MUST_CHECK enum err analytics_cell_of(const struct analytics *a, struct slice key,
                                      struct tally_cell *out);
MUST_CHECK enum err analytics_load(struct analytics *a);

/* ---- analytics_regroup.c ---- */

/* What is stored as versions before 5 did it is stored in groups, and the version with it. As
 * analytics_open(). */
MUST_CHECK enum err analytics_regroup(struct analytics *a);

#endif
