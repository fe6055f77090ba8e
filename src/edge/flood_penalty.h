/* flood_penalty.h - a client whose connection was ended for abuse waits before it is served again.
 *
 * To end such a connection costs the attacker nothing: it is back in a fraction of a millisecond,
 * and what is dear about it, the greeting, the frames up to the last straw, begins again. So its
 * address gets a penalty (core/penalty.h), and while that lasts new connections from there aren't
 * read (edge/conn_set.c). Those that are open aren't touched.
 *
 * Threads    Any; the table is the process's, whichever loop a connection is on. Without a penalty
 *            in force a new connection costs one atomic load.
 * Limits     The table has a fixed size.
 */
#ifndef EDGE_FLOOD_PENALTY_H
#define EDGE_FLOOD_PENALTY_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flood_penalty;

struct flood_penalty_conf {
    int64_t first_ms; /* see core/penalty.h */
    int64_t max_ms;
    size_t clients;
    const char *exempt; /* networks that have no penalties, "10.0.0.0/8,::1" */
};

struct flood_penalty_stats {    /* relaxed */
    _Atomic uint64_t penalties; /* begun */
    _Atomic uint64_t delayed;   /* connections that had to wait */
    _Atomic uint64_t refused;   /* closed at once: too many waited already */
};

/* NULL when memory runs out. */
struct flood_penalty *flood_penalty_new(const struct flood_penalty_conf *conf);
void flood_penalty_free(struct flood_penalty *penalty);

/* A connection of this peer was ended; 'why' is for the log. */
void flood_penalty_offend(struct flood_penalty *penalty, const struct in6_addr *peer,
                          int64_t now_ms, const char *why);

/* May anybody have to wait? */
bool flood_penalty_in_force(const struct flood_penalty *penalty, int64_t now_ms);
/* How long a new connection of this peer waits; 0: not at all. */
int64_t flood_penalty_left_ms(struct flood_penalty *penalty, const struct in6_addr *peer,
                              int64_t now_ms);

struct flood_penalty_stats *flood_penalty_stats(struct flood_penalty *penalty);

#endif
