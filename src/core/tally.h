/* tally.h - what a counter did in some time.
 *
 * Sums are modulo 2^64: exact wherever the true sum fits an int64.
 *
 * Threads    Plain data.
 */
#ifndef CORE_TALLY_H
#define CORE_TALLY_H

#include <stdbool.h>
#include <stdint.h>

struct tally {
    int64_t sum;         /* of the deltas */
    uint64_t increments; /* operations; sets and resets aren't increments */
};

static inline void tally_add(struct tally *tally, struct tally more) {
    tally->sum = (int64_t)((uint64_t)tally->sum + (uint64_t)more.sum);
    tally->increments += more.increments;
}

static inline void tally_subtract(struct tally *tally, struct tally less) {
    tally->sum = (int64_t)((uint64_t)tally->sum - (uint64_t)less.sum);
    tally->increments -= less.increments;
}

/* Nothing has happened, as far as can be told. */
static inline bool tally_empty(struct tally tally) {
    return tally.sum == 0 && tally.increments == 0;
}

#endif
