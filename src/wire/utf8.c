/* utf8.c - the UTF-8 grammar of RFC 3629 section 4, byte by byte. */
#include <stdint.h>

#include "wire/uri.h"

#define HIGH_BITS 0x8080808080808080u

/* What may follow a lead byte: how many bytes, and the range of the first of
 * them, which is where overlong forms (E0, F0), surrogates (ED) and what lies
 * past U+10FFFF (F4) are refused. */
struct tail {
    size_t len; /* 0: not a lead byte */
    unsigned char low;
    unsigned char high;
};

static struct tail tail_of(unsigned char lead) {
    if (lead >= 0xC2 && lead <= 0xDF)
        return (struct tail){1, 0x80, 0xBF};
    if (lead == 0xE0)
        return (struct tail){2, 0xA0, 0xBF};
    if (lead == 0xED)
        return (struct tail){2, 0x80, 0x9F};
    if (lead >= 0xE1 && lead <= 0xEF)
        return (struct tail){2, 0x80, 0xBF};
    if (lead == 0xF0)
        return (struct tail){3, 0x90, 0xBF};
    if (lead == 0xF4)
        return (struct tail){3, 0x80, 0x8F};
    if (lead >= 0xF1 && lead <= 0xF3)
        return (struct tail){3, 0x80, 0xBF};
    return (struct tail){0, 0, 0};
}

/* The length of the sequence at 'p', 0 when it is none. 'left' is at least 1. */
static size_t sequence_len(const unsigned char *p, size_t left) {
    if (p[0] < 0x80)
        return 1;
    struct tail tail = tail_of(p[0]);

    if (tail.len == 0 || left <= tail.len || p[1] < tail.low || p[1] > tail.high)
        return 0;
    for (size_t i = 2; i <= tail.len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return tail.len + 1;
}

bool utf8_valid(struct slice s) {
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t left = s.len;

    while (left) {
        uint64_t word;
        size_t len;

        if (left >= sizeof(word)) {
            memcpy(&word, p, sizeof(word));
            if (!(word & HIGH_BITS)) {
                p += sizeof(word);
                left -= sizeof(word);
                continue;
            }
        }
        len = sequence_len(p, left);
        if (len == 0)
            return false;
        p += len;
        left -= len;
    }
    return true;
}
