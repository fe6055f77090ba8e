/* rewind_internal.h - what rewind.c (what was found) and rewind_plan.c (what is made of it) share.
 *
 * Threads    One owner.
 */
#ifndef CORE_REWIND_INTERNAL_H
#define CORE_REWIND_INTERNAL_H

#include "core/bytes_table.h"
#include "core/rewind.h"

/* What the topic says first under a number. */
struct mark {
    struct event_position at;
    uint64_t says;
};

struct item {
    struct event_position at; /* {0, 0}: not there */
    uint64_t says;
    enum op_kind kind;
    uint32_t counter;
    int64_t delta;
    int64_t new_value;
    uint64_t count;
    int64_t et_ms;
};

struct items {
    struct item *list;
    size_t count;
    size_t cap;
};

struct lane_row {
    struct mark *marks;
    size_t marks_count;
    size_t marks_cap;
    struct event_position conflict; /* the first number of two events; {0, 0}: none */
    struct event_position gap;      /* the last event behind which the topic lacks some */
    bool has_gap;
    struct rewind_lane said;
    struct items heard; /* of the topic, behind 'shared' */
    struct items own;   /* the store's, by number behind 'shared'; where it is the same as heard it
                           may be absent */
    struct items again; /* those that the topic hasn't, in the new epoch */
    bool twice;
};

/* One way that a counter has gone from what is shared. */
struct way {
    uint64_t events;
    bool sets;     /* among them */
    bool wide;     /* the sum of its increments is past int64 */
    int64_t sum;   /* modulo 2^64 */
    int64_t first; /* before them */
    int64_t last;  /* behind them */
};

struct counter_row {
    uint32_t lane;
    struct way lost;
    struct way own;
    uint64_t both_sum; /* of what both have, modulo 2^64 */
    int64_t read;      /* what a reader of the topic has */
    int64_t becomes;   /* by its events, whatever others have added */
};

struct rewind {
    uint32_t lanes_count;
    struct lane_row *lanes;
    struct bytes_table names; /* resource_id, a zero byte, counter_type */
    struct counter_row *counters;
    uint32_t counters_cap;
    struct buf scratch;
};

/* Room for so many; false when memory runs out. */
MUST_CHECK bool rewind_room(struct items *items, size_t count);

#endif
