/* loop_batcher.h - a batcher at work on a loop: flushed at each tick's end, its timer armed only
 * while something is under way.
 *
 * Threads    The loop's.
 * Ownership  Borrows loop, upstream and user for its lifetime.
 * Order      Make it behind the servers whose requests it carries: their hooks may still read
 *            operations at a tick's end, which then leave in the same tick.
 */
#ifndef EDGE_LOOP_BATCHER_H
#define EDGE_LOOP_BATCHER_H

#include "base/attr.h"
#include "base/err.h"
#include "core/batcher.h"
#include "loop/loop.h"

struct loop_batcher;

struct loop_batcher_user {
    void *ctx;
    /* Replies are ready that this tick's end has missed: the loop takes another turn. */
    bool (*owes)(void *ctx);
    /* The figures, after something was sent or answered. */
    void (*published)(void *ctx, const struct batcher_stats *now);
};

struct loop_batcher_conf {
    size_t ops_max; /* as struct batcher_conf */
    size_t queue_max;
    unsigned in_flight_max;
    int64_t clock_ahead_ms; /* the store's clock minus CLOCK_MONOTONIC */
    enum err clock_unknown; /* ERR_OK: it is known; else what all is refused with until
                               loop_batcher_set_clock() */
    int64_t attempt_ms;     /* as struct batcher_conf; 0: the upstream is in this process */
};

/* A producer with an identity of its own. NULL when memory runs out. */
struct loop_batcher *loop_batcher_new(struct loop *loop, const struct loop_batcher_conf *conf,
                                      struct upstream *upstream,
                                      const struct loop_batcher_user *user);

/* As batcher_free(). NULL is fine. */
void loop_batcher_free(struct loop_batcher *lb);

/* What the upstream has learned of the store's clock: messages are stamped with it from now on. */
void loop_batcher_set_clock(struct loop_batcher *lb, int64_t clock_ahead_ms);

/* As batcher_admit() and batcher_limit(). */
MUST_CHECK enum err loop_batcher_admit(struct loop_batcher *lb);
void loop_batcher_limit(struct loop_batcher *lb, int64_t least_ms, int64_t most_ms);

/* As batcher_add(); and conf.clock_unknown as long as nothing is known of the store's clock: it has
 * never been reached. */
MUST_CHECK enum err loop_batcher_add(struct loop_batcher *lb, const struct op *op,
                                     struct waiter *waiter);

/* The upstream's answers come in here. */
void loop_batcher_delivered(struct loop_batcher *lb, struct delivery *delivery);

bool loop_batcher_idle(const struct loop_batcher *lb);

#endif
