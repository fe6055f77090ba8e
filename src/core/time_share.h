/* time_share.h - two kinds of work on one thread, of which one has half of it at most.
 *
 * What it took, the other work has next: until the moment when they are even. Used ahead of that,
 * the debt adds up, so that half holds over any number of turns.
 *
 *     share ├─took─┤            ├─took─┤
 *     other         ├─as long──┤        ├─as long──┤
 *                              even                even
 *
 * Threads    Plain data. Times are of one clock, in ns.
 */
#ifndef CORE_TIME_SHARE_H
#define CORE_TIME_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct time_share {
    int64_t even_at_ns;
};

/* It may have the thread now, or up to 'ahead_ns' before they are even. */
static inline bool time_share_due(const struct time_share *share, int64_t now_ns,
                                  int64_t ahead_ns) {
    return now_ns + ahead_ns >= share->even_at_ns;
}

static inline void time_share_took(struct time_share *share, int64_t began_ns, int64_t ended_ns) {
    int64_t from_ns = share->even_at_ns > began_ns ? share->even_at_ns : began_ns;

    share->even_at_ns = from_ns + 2 * (ended_ns - began_ns);
}

/* There is no other work: nothing is owed. */
static inline void time_share_waive(struct time_share *share, int64_t now_ns) {
    if (share->even_at_ns > now_ns)
        share->even_at_ns = now_ns;
}

#endif
