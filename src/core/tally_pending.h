/* tally_pending.h - what has been counted and isn't in the store yet, by counter.
 *
 *     a counter: its value now ─► a row: bucket, tally ─► the next row …
 *
 * A row is of the finest bucket that is kept for its time, and stands for the coarser ones too:
 * mostly a counter has one row, so that counting an event touches a counter and a row. What comes
 * from another instance's store is of one bucket alone.
 *
 * Where a counter is, its user remembers in a hint, which is checked and so never needs clearing
 * (a sparse set: Briggs and Torczon 1993).
 *
 * Threads    One owner; while nobody writes, any number of readers.
 * Limits     A fixed number of counters and as many rows: tally_pending_room() before adding.
 */
#ifndef CORE_TALLY_PENDING_H
#define CORE_TALLY_PENDING_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/tally.h"
#include "core/time_range.h"

#define PENDING_NO_ROW UINT32_MAX

struct tally_cell {
    enum bucket_width width;
    int64_t bucket;
    uint32_t counter;
};

struct pending_row {
    uint32_t counter;
    uint32_t next; /* of the counter */
    uint32_t bucket;
    uint16_t width;
    uint16_t widest; /* as wide as this it stands for */
    struct tally tally;
};

struct pending_counter {
    uint32_t number;
    uint32_t rows;    /* the first */
    struct tally now; /* the counter's value and all its increments */
    uint32_t lane;    /* of a new one: its lane and 1, 0: nobody knows */
    uint32_t name_at; /* in 'names', if it is a new one */
    uint32_t name_len;
};

struct tally_pending {
    struct pending_counter *counters;
    struct pending_row *rows;
    uint32_t counters_count;
    uint32_t rows_count;
    uint32_t cap; /* of each */
    struct buf names;
};

/* ERR_NO_MEMORY. */
MUST_CHECK enum err tally_pending_init(struct tally_pending *pending, uint32_t cap);
void tally_pending_release(struct tally_pending *pending);
void tally_pending_clear(struct tally_pending *pending);

/* For one event more. */
static inline bool tally_pending_room(const struct tally_pending *pending) {
    return pending->counters_count < pending->cap && pending->rows_count < pending->cap;
}

/* The counter of this number, which is added if it isn't there. */
struct pending_counter *tally_pending_touch(struct tally_pending *pending, uint32_t number,
                                            uint32_t *hint);

/* It is a new one, of this name; 'lane' as in struct pending_counter. ERR_NO_MEMORY. */
MUST_CHECK enum err tally_pending_name(struct tally_pending *pending,
                                       struct pending_counter *counter, struct slice name,
                                       uint32_t lane);

/* For the cell's bucket and those around it, up to 'widest'; cell.counter is the counter's number.
 */
void tally_pending_add(struct tally_pending *pending, struct pending_counter *counter,
                       struct tally_cell cell, enum bucket_width widest, struct tally more);

/* What is pending for the cell. */
struct tally tally_pending_find(const struct tally_pending *pending, uint32_t hint,
                                struct tally_cell cell);

/* It counts in a bucket of this width. */
static inline bool pending_row_has(const struct pending_row *row, enum bucket_width width) {
    return row->width <= (unsigned)width && (unsigned)width <= row->widest;
}

/* The row's bucket of this width, its own or a coarser one. */
static inline int64_t pending_row_bucket(const struct pending_row *row, enum bucket_width width) {
    return (int64_t)row->bucket * time_bucket_ms((enum bucket_width)row->width) /
           time_bucket_ms(width);
}

#endif
