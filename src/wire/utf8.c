/* utf8.c - UTF-8 as RFC 3629 section 4 has it, eight ASCII bytes at a time. */
#include <stdint.h>
#include <string.h>

#include "wire/uri.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static size_t skip_ascii(const uint8_t *at, size_t len) {
    size_t n = 0;

    for (uint64_t word; len - n >= sizeof(word); n += sizeof(word)) {
        memcpy(&word, at + n, sizeof(word));
        if (word & HIGH_BITS)
            break;
    }
    while (n < len && at[n] < 0x80)
        n++;
    return n;
}

/* How long the sequence behind this first byte is, and the range of its second
 * byte: that is where overlong forms, surrogates and what lies past U+10FFFF
 * show. 0 when no sequence starts so. */
static size_t sequence(uint8_t first, uint8_t *out_low, uint8_t *out_high) {
    *out_low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    *out_high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF)
        return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

bool utf8_valid(struct slice s) {
    const uint8_t *at = (const uint8_t *)s.ptr;
    size_t len = s.len;

    if (len == 0) /* an empty slice may point nowhere, and NULL + 0 is undefined in C */
        return true;
    for (;;) {
        size_t ascii = skip_ascii(at, len);

        at += ascii;
        len -= ascii;
        if (len == 0)
            return true;
        uint8_t low, high;
        size_t n = sequence(at[0], &low, &high);
        if (n == 0 || n > len || at[1] < low || at[1] > high)
            return false;
        for (size_t i = 2; i < n; i++)
            if ((at[i] & 0xC0) != 0x80)
                return false;
        at += n;
        len -= n;
    }
}
