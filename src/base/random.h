/* random.h - numbers that nobody can guess: identities and hash seeds.
 *
 * Threads    Any.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

/* From the kernel's generator (getrandom(2)); waits for it once after boot. */
uint64_t random_u64(void);

#endif
