/* analytics_ask.h - a question on its way to analytics, wherever that is, and back.
 *
 * Threads    The asker's, done() too.
 * Ownership  The asker's, with everything in it; whoever answers has it from ask() to done().
 * Callbacks  done() runs exactly once for each ask() that returned ERR_OK, never inside it.
 */
#ifndef CORE_ANALYTICS_ASK_H
#define CORE_ANALYTICS_ASK_H

#include "base/attr.h"
#include "base/err.h"
#include "core/analytics_answer.h"
#include "core/analytics_total.h"
#include "core/coverage.h"

/* What ERR_UNAVAILABLE means here, for whoever asked. */
#define ANALYTICS_AWAY                                                                             \
    "analytics has no answer now: it is starting, or has stopped (the log says why)"

/* Counting pauses in all lanes until the totals that were announced are asked for, a second at
 * most: a store that is read meanwhile is ahead, and its position will be reached. */
struct hold_ask {
    uint64_t store_id; /* the answer, and */
    uint64_t number;
};

/* Answered when every lane is where it is asked about, or after two seconds. */
struct totals_ask {
    uint64_t hold; /* its number: it is over when these have come, */
    bool more;     /* unless more of them follow */
    struct total *totals;
    size_t count;
};

struct analytics_ask {
    enum { ASK_TOP, ASK_STATS, ASK_HOLD, ASK_TOTALS } kind;
    int64_t deadline_ms; /* monotonic */
    struct top_query top;
    struct stats_query stats;
    struct hold_ask hold;
    struct totals_ask totals;

    enum err err; /* ERR_OK, ERR_DEADLINE, ERR_UNAVAILABLE, ERR_NO_MEMORY */
    int64_t
        as_of_ms; /* where the ranges end: the wall clock, or the latest event if that is later */
    uint64_t lag; /* events that are in the store and not in the answer */
    struct coverage coverage;
    struct top_answer top_answer;
    struct stats_answer stats_answer;

    void (*done)(struct analytics_ask *ask);
    void *ctx; /* the asker's */
};

struct analytics_upstream {
    uint32_t reach; /* of a ranking: offset and limit together, at most */
    /* ERR_BUSY: too many are under way; ERR_NO_MEMORY. */
    enum err (*ask)(struct analytics_upstream *upstream, struct analytics_ask *ask);
};

MUST_CHECK static inline enum err analytics_ask(struct analytics_upstream *upstream,
                                                struct analytics_ask *ask) {
    return upstream->ask(upstream, ask);
}

#endif
