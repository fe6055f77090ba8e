/* peers.h - which of several counter instances gets the next message.
 *
 * All serve the same store, so any may take any message (DESIGN decision 5): among the usable ones
 * the one with the fewest messages under way for its weight; equals take turns, by weight (a smooth
 * weighted round robin). A retry rather goes where nothing has failed lately. One that has just
 * become usable, or comes back from having been set aside, gets a tenth of its share at first and
 * all of it after 5 s. One that keeps failing is set aside for a while, but never the last usable
 * one:
 *
 *            5 failures in a row              time is over
 *     CLOSED ───────────────────────► OPEN ─────────────────► HALF OPEN
 *        ▲                             ▲ ◄─── a failure ──────── │
 *        └──────────────────────── 3 that serve ◄────────────────┘
 *
 * It is open for 30 s, doubling to 300 s while it comes back failing; half open it has at most 10
 * messages under way.
 *
 * One that is slow (core/outlier.h: late again and again, or silent) doesn't fail, but is set aside
 * as well: for 10 s, doubling to 300 s while it comes back slow, with one message at a time while
 * half open, of which the third in a row that is late opens it again. At least half of the usable
 * ones are never set aside for being slow. And one that has said nothing for 500 ms to what is
 * under way to it gets no more at once, as long as there is another.
 *
 * Retries are allowed from a budget: 20 % of the messages sent first, and 10 a second, saved up to
 * 100.
 *
 * Threads    One owner (a loop).
 * Time       now_ms is monotonic, from 0.
 */
#ifndef CORE_PEERS_H
#define CORE_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/outlier.h"

#define PEERS_MAX        64
#define PEERS_NONE       PEERS_MAX
#define PEERS_UNTIMED    (-1)
#define PEERS_WEIGHT_MAX 65535 /* as in Consul and in SRV records */

struct peer {
    bool usable;              /* connected, and of the right store */
    uint32_t weight;          /* 1 to PEERS_WEIGHT_MAX; 0: nobody */
    int64_t since_ms;         /* usable, or closed again */
    int64_t credit;           /* what it should have got more than it has, in shares */
    unsigned out;             /* messages under way */
    int64_t heard_ms;         /* it served then, or the first of them left */
    unsigned failures;        /* in a row */
    int64_t failed_at_ms;     /* the last of them */
    int64_t ejected_until_ms; /* set aside */
    int64_t ejected_ms;       /* for so long; 0: closed */
    bool slow;                /* that is why */
    unsigned served;          /* while half open */
    struct outlier outlier;
};

enum peer_fault { PEER_FAILING, PEER_SLOW, PEER_FAULTS };

struct peers {
    struct peer peer[PEERS_MAX];
    size_t count;   /* beyond it there is nobody */
    int64_t budget; /* thousandths of a retry */
    int64_t budget_at_ms;
    uint64_t ejections[PEER_FAULTS]; /* so far: when they move, so has somebody's state */
};

/* 'count' peers of weight 1, at most PEERS_MAX, none of them usable yet. */
void peers_init(struct peers *peers, size_t count, int64_t now_ms);

/* Somebody new at 'i' (below PEERS_MAX), where nobody is; not usable yet. A weight out of range is
 * the nearest in it. */
void peers_add(struct peers *peers, size_t i, uint32_t weight);
void peers_set_weight(struct peers *peers, size_t i, uint32_t weight);

/* Nobody is at 'i' any more; no message is under way to it. */
void peers_remove(struct peers *peers, size_t i);

void peers_set_usable(struct peers *peers, size_t i, bool usable, int64_t now_ms);

/* One for a first attempt or, out of the budget, for a retry; counts it as under way. PEERS_NONE:
 * none is usable. '*out_budget' false (then PEERS_NONE too): the budget is used up. */
size_t peers_pick(struct peers *peers, bool retry, int64_t now_ms, bool *out_budget);

/* When to see whether a message under way to 'i' is lost; at or before 'now_ms': it is, as 'i' has
 * been silent for long enough to be sure, and there is another one that isn't. */
int64_t peers_lost_ms(struct peers *peers, size_t i, int64_t now_ms);

/* The message that 'i' got has come back. 'failed': it couldn't serve (unreachable, reset, timed
 * out), not: it answered with an error. Failures at one and the same 'now_ms' are one: a lost
 * connection takes all its messages along, and so does our own pause past their deadlines.
 * 'took_ms': since it was sent, where it was carried out; PEERS_UNTIMED: it says nothing of that.
 */
void peers_returned(struct peers *peers, size_t i, bool failed, int64_t took_ms, int64_t now_ms);

enum peer_state { PEER_CLOSED, PEER_OPEN, PEER_HALF_OPEN, PEER_STATES };

enum peer_state peers_state(const struct peers *peers, size_t i, int64_t now_ms);

/* Set aside at the moment: open. */
bool peers_ejected(const struct peers *peers, size_t i, int64_t now_ms);

#endif
