/* hex.h - 64 bits as the 16 hexadecimal digits that identities are written in.
 *
 * Threads    Pure, any thread.
 * Ownership  The result lies in 'room'.
 */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdint.h>

#include "base/slice.h"

#define HEX_U64_BYTES 16

/* In lower case, with zeros in front. */
struct slice hex_u64(char room[HEX_U64_BYTES], uint64_t value);

#endif
