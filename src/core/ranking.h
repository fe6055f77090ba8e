/* ranking.h - always current rankings of any number of entries, one for each time range: tournament
 * trees.
 *
 *     winners[1]                     the best of all
 *     winners[2]   winners[3]        the best of each half …
 *     entries                        the leaves
 *
 * A change plays only the matches on its way up that it can decide: mostly one or two. The first k
 * are found by visiting k paths from the top, whatever the number of entries.
 *
 * What an entry has in all ranges is side by side, and so are the ranges' winners at a node: mostly
 * an event counts in all of them, and memory is what it waits for.
 *
 * Order: entries with a tally before those without and those hidden (which aren't listed), the
 * larger sum first,
 * then the user's order, in which no two entries are equal.
 *
 * Threads    One owner.
 * Limits     100 bytes for an entry, 1.5 times that at most when it has grown.
 */
#ifndef CORE_RANKING_H
#define CORE_RANKING_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/tally.h"
#include "core/time_range.h"

struct ranking_order {
    bool (*before)(const struct ranking_order *order, uint32_t a, uint32_t b);
    /* A bit for each entry that ranks as if it had no tally; NULL: none does. After a change of an
     * entry's bit: ranking_set() to what it has. */
    uint64_t *hidden;
};

static inline bool ranking_hides(const struct ranking_order *order, uint32_t entry) {
    return order->hidden && order->hidden[entry / 64] >> entry % 64 & 1;
}

struct ranking_entry {
    struct tally in[RANGES];
};

struct ranking_node {
    uint32_t winner[RANGES];
};

struct rankings { /* a zeroed one is empty */
    struct ranking_entry *entries;
    struct ranking_node *nodes;
    uint32_t count;
    uint32_t cap;
    uint32_t rose; /* a hint: the highest node won by the last entry that rose; 0: none */
};

void ranking_release(struct rankings *rankings);

/* One more, without a tally in any range: number count - 1. ERR_NO_MEMORY. */
MUST_CHECK enum err ranking_grow(struct rankings *rankings, const struct ranking_order *order);

static inline struct tally ranking_get(const struct rankings *rankings, enum time_range range,
                                       uint32_t number) {
    return rankings->entries[number].in[range];
}

/* Entry 'number' becomes 'tally' in the range. */
void ranking_set(struct rankings *rankings, const struct ranking_order *order,
                 enum time_range range, uint32_t number, struct tally tally);

/* Hints that the entry will be set in all ranges, soon. */
void ranking_prefetch(const struct rankings *rankings, uint32_t number);

/* Every tally of the range becomes empty. */
void ranking_reset(struct rankings *rankings, const struct ranking_order *order,
                   enum time_range range);

/* The range's best 'max' in order, fewer if there are fewer. ERR_NO_MEMORY. */
MUST_CHECK enum err ranking_top(const struct rankings *rankings, const struct ranking_order *order,
                                enum time_range range, size_t max, uint32_t *out,
                                size_t *out_count);

#endif
