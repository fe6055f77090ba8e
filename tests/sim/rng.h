/* rng.h - the one source of chance in a run: the seed decides everything.
 *
 * splitmix64 (Steele, Lea, Flood 2014).
 */
#ifndef TESTS_SIM_RNG_H
#define TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng) {
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In low .. high, both included. */
static inline int64_t rng_in(struct rng *rng, int64_t low, int64_t high) {
    return low + (int64_t)(rng_next(rng) % (uint64_t)(high - low + 1));
}

static inline bool rng_chance(struct rng *rng, unsigned percent) {
    return rng_next(rng) % 100 < percent;
}

#endif
