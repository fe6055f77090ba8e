/* siphash.h - SipHash-2-4 (Aumasson, Bernstein 2012) for tables that clients can fill.
 *
 * With a random seed nobody outside can choose keys that collide, so that a
 * table's lookups stay constant under hash flooding.
 *
 * Threads    Pure, any thread.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdint.h>

#include "base/slice.h"

uint64_t siphash(const uint64_t seed[2], struct slice bytes);

#endif
