/* decimal.c - from the last digit on, two by each division. */
#include "base/decimal.h"

/* clang-format off */
static const char pairs[] =
    "00010203040506070809" "10111213141516171819" "20212223242526272829" "30313233343536373839"
    "40414243444546474849" "50515253545556575859" "60616263646566676869" "70717273747576777879"
    "80818283848586878889" "90919293949596979899";
/* clang-format on */

struct slice decimal_u64(char room[DECIMAL_BYTES], uint64_t value) {
    char *end = room + DECIMAL_BYTES;
    char *at = end;

    while (value >= 10) {
        memcpy(at -= 2, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    /* What is left is one digit, or nothing behind a first pair without a leading 0. */
    if (value || at == end)
        *--at = (char)('0' + value);
    return slice_of(at, (size_t)(end - at));
}

struct slice decimal_i64(char room[DECIMAL_BYTES], int64_t value) {
    struct slice text = decimal_u64(room, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);

    if (value >= 0)
        return text;
    room[DECIMAL_BYTES - text.len - 1] = '-';
    return slice_of(text.ptr - 1, text.len + 1);
}
