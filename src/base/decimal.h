/* decimal.h - whole numbers as JSON, HTTP and Redis write them.
 *
 * Threads    Pure, any thread.
 * Ownership  The result lies in 'room', at its end.
 */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include <stdint.h>

#include "base/slice.h"

#define DECIMAL_BYTES 20 /* INT64_MIN has 19 digits and a sign, UINT64_MAX 20 digits */

struct slice decimal_u64(char room[DECIMAL_BYTES], uint64_t value);
struct slice decimal_i64(char room[DECIMAL_BYTES], int64_t value);

#endif
