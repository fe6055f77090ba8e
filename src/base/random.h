/* random.h - numbers that nobody can guess: identities and hash seeds.
 *
 * Threads    Any.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

/* From the kernel's generator (getrandom(2)); waits for it once after boot. */
uint64_t random_u64(void);

/* One after the other from a seed, 2^64 of them before one comes again; guessable: for span ids and
 * jitter. splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t random_next(uint64_t *seed) {
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
