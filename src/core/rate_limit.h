/* rate_limit.h - a token bucket for each client, in a table of fixed size.
 *
 * A bucket holds up to 'burst' requests and is filled by 'per_second'. A client whose bucket is
 * full is not in the table, or might as well not be: it is the same as one never seen.
 *
 * Eviction   The table is made of sets of RATE_LIMIT_WAYS places; a client's set is chosen by
 *            SipHash under a random seed, so that nobody can fill somebody else's set on
 *            purpose. In a full set a new client gets the place of the one whose bucket is
 *            fullest and loses the least; who is refused is the last to be forgotten.
 * Threads    One owner at a time.
 * Time       now_ms is monotonic. A step back counts as no time.
 * Limits     Allocates at rate_limit_new() only: 32 bytes for each place.
 */
#ifndef CORE_RATE_LIMIT_H
#define CORE_RATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATE_LIMIT_WAYS      8
#define RATE_LIMIT_KEY_BYTES 16
#define RATE_LIMIT_MAX       1000000 /* of both figures */

struct rate_limit;

struct rate_limit_conf {
    uint32_t per_second; /* 1 .. RATE_LIMIT_MAX */
    uint32_t burst;      /* likewise */
    size_t clients;      /* places; rounded up to whole sets, a power of two of them */
    uint64_t seed[2];    /* random */
};

/* Who it is; all 16 bytes count. */
struct rate_limit_key {
    unsigned char bytes[RATE_LIMIT_KEY_BYTES];
};

struct rate_limit_verdict {
    bool allowed;       /* and paid for */
    uint32_t remaining; /* requests left, after this one */
    uint32_t retry_s;   /* until one more is there, rounded up; 0: there is one */
    uint32_t reset_s;   /* until the bucket is full, rounded up */
    bool evicted;       /* a client was forgotten whose bucket wasn't full */
};

/* NULL when memory runs out. */
struct rate_limit *rate_limit_new(const struct rate_limit_conf *conf);
void rate_limit_free(struct rate_limit *limit);

/* Other figures from now on, 1 .. RATE_LIMIT_MAX; what clients have left stays, up to the burst. */
void rate_limit_set(struct rate_limit *limit, uint32_t per_second, uint32_t burst);

/* One request of this client. */
struct rate_limit_verdict rate_limit_take(struct rate_limit *limit,
                                          const struct rate_limit_key *client, int64_t now_ms);

/* Seconds in which an empty bucket is filled, rounded up: the window of the policy. */
uint32_t rate_limit_window_s(const struct rate_limit_conf *conf);

/* Bytes of the table. */
size_t rate_limit_bytes(const struct rate_limit *limit);

#endif
