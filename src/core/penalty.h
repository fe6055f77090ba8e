/* penalty.h - who has offended and how long that lasts, in a table of fixed size.
 *
 * The first penalty of a client lasts 'first_ms', each further one twice the one before, up to
 * 'max_ms'. What it does while one lasts is the same offence: connections that one client has open
 * together are found out together. Whoever keeps quiet for another 'max_ms' begins anew.
 *
 * Eviction   As in rate_limit.h: sets of PENALTY_WAYS places, chosen by SipHash under a random
 *            seed; in a full set the one whose penalty ends first is forgotten.
 * Threads    One owner at a time.
 * Time       now_ms is monotonic.
 * Limits     Allocates at penalty_new() only: 32 bytes for each place.
 */
#ifndef CORE_PENALTY_H
#define CORE_PENALTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"

#define PENALTY_WAYS 8

struct penalty_table;

struct penalty_conf {
    int64_t first_ms;
    int64_t max_ms;   /* less than first_ms is fine: every one lasts so long */
    size_t clients;   /* places; rounded up to whole sets, a power of two of them */
    uint64_t seed[2]; /* random */
};

/* NULL when memory runs out. */
struct penalty_table *penalty_new(const struct penalty_conf *conf);
void penalty_free(struct penalty_table *table);

/* How long the penalty that begins will last; 0: one is under way. */
int64_t penalty_offend(struct penalty_table *table, const struct in6_addr *client, int64_t now_ms);

/* How long this client's penalty still lasts; 0: it has none. */
int64_t penalty_left_ms(const struct penalty_table *table, const struct in6_addr *client,
                        int64_t now_ms);

#endif
