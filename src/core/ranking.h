/* ranking.h - an always current ranking of any number of entries: a tournament tree.
 *
 *     winners[1]                     the best of all
 *     winners[2]   winners[3]        the best of each half …
 *     entries                        the leaves
 *
 * A change plays only the matches on its way up that it can decide: mostly one or two. The first k
 * are found by visiting k paths from the top, whatever the number of entries.
 *
 * Order: entries with a tally before those without and those hidden (which aren't listed), the
 * larger sum first,
 * then the user's order, in which no two entries are equal.
 *
 * Threads    One owner.
 * Limits     24 bytes for an entry, twice that at most while it grows.
 */
#ifndef CORE_RANKING_H
#define CORE_RANKING_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/tally.h"

struct ranking_order {
    bool (*before)(const struct ranking_order *order, uint32_t a, uint32_t b);
    /* A bit for each entry that ranks as if it had no tally; NULL: none does. After a change of an
     * entry's bit: ranking_set() to what it has. */
    uint64_t *hidden;
};

static inline bool ranking_hides(const struct ranking_order *order, uint32_t entry) {
    return order->hidden && order->hidden[entry / 64] >> entry % 64 & 1;
}

struct ranking { /* a zeroed one is empty */
    struct tally *entries;
    uint32_t *winners;
    uint32_t count;
    uint32_t cap;
};

void ranking_release(struct ranking *ranking);

/* One more, without a tally: number count - 1. ERR_NO_MEMORY. */
MUST_CHECK enum err ranking_grow(struct ranking *ranking, const struct ranking_order *order);

/* Entry 'number' becomes 'tally'. */
void ranking_set(struct ranking *ranking, const struct ranking_order *order, uint32_t number,
                 struct tally tally);

/* Every tally becomes empty. */
void ranking_reset(struct ranking *ranking, const struct ranking_order *order);

/* The best 'max' in order, fewer if there are fewer. ERR_NO_MEMORY. */
MUST_CHECK enum err ranking_top(const struct ranking *ranking, const struct ranking_order *order,
                                size_t max, uint32_t *out, size_t *out_count);

#endif
