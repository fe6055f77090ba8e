/* hex.c - a digit a step, as printf would take ten times as long. */
#include "base/hex.h"

struct slice hex_u64(char room[HEX_U64_BYTES], uint64_t value) {
    static const char digits[] = "0123456789abcdef";

    for (int i = HEX_U64_BYTES - 1; i >= 0; i--) {
        room[i] = digits[value & 15];
        value >>= 4;
    }
    return slice_of(room, HEX_U64_BYTES);
}
