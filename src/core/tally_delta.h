/* tally_delta.h - what has been counted and isn't in the store yet, by counter and bucket.
 *
 * Threads    One owner.
 * Limits     A fixed number of rows: tally_delta_room() before adding.
 */
#ifndef CORE_TALLY_DELTA_H
#define CORE_TALLY_DELTA_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/tally.h"
#include "core/time_range.h"

struct tally_cell {
    enum bucket_width width;
    int64_t bucket;
    uint32_t counter;
};

struct tally_delta_row {
    uint64_t key;
    struct tally tally;
};

struct tally_delta {
    struct tally_delta_row *rows; /* in order of adding */
    uint32_t *slots;              /* row + 1, 0: free */
    uint32_t count;
    uint32_t cap;
    unsigned slot_bits;
};

/* ERR_NO_MEMORY. */
MUST_CHECK enum err tally_delta_init(struct tally_delta *delta, uint32_t rows);
void tally_delta_release(struct tally_delta *delta);

static inline bool tally_delta_room(const struct tally_delta *delta, uint32_t rows) {
    return delta->cap - delta->count >= rows;
}

void tally_delta_add(struct tally_delta *delta, struct tally_cell cell, struct tally more);

/* An empty one where there is no row. */
struct tally tally_delta_find(const struct tally_delta *delta, struct tally_cell cell);

struct tally_cell tally_delta_cell(const struct tally_delta_row *row);

void tally_delta_clear(struct tally_delta *delta);

#endif
