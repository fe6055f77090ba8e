/* redis_text.h - reading what the scripts write: decimal numbers and marks between them, and
 * integers in MessagePack.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_REDIS_TEXT_H
#define EDGE_REDIS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

static inline bool redis_take_char(struct slice *text, char c) {
    if (!text->len || text->ptr[0] != c)
        return false;
    *text = slice_skip(*text, 1);
    return true;
}

/* The decimal number in front. False, and nothing taken, when there is none or it leaves int64. */
static inline bool redis_take_i64(struct slice *text, int64_t *out) {
    size_t first = text->len && text->ptr[0] == '-';
    size_t at = first;
    int64_t value = 0;

    for (; at < text->len && text->ptr[at] >= '0' && text->ptr[at] <= '9'; at++) {
        int digit = text->ptr[at] - '0';

        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, first ? -digit : digit, &value))
            return false;
    }
    if (at == first)
        return false;
    *text = slice_skip(*text, at);
    *out = value;
    return true;
}

/* A big-endian number of 'bytes' bytes, at most 8. */
static inline bool redis_take_wire(struct slice *text, size_t bytes, uint64_t *out) {
    uint64_t value = 0;

    if (text->len < bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)text->ptr[i];
    *text = slice_skip(*text, bytes);
    *out = value;
    return true;
}

/* The MessagePack integer in front (its spec, "Int format family"). False when there is none or it
 * leaves int64. */
static inline bool redis_take_packed(struct slice *text, int64_t *out) {
    uint64_t first;
    uint64_t value;

    if (!redis_take_wire(text, 1, &first))
        return false;
    if (first < 0x80 || first >= 0xe0) {
        *out = first < 0x80 ? (int64_t)first : (int64_t)first - 0x100;
        return true;
    }
    if (first < 0xcc || first > 0xd3 || !redis_take_wire(text, (size_t)1 << (first & 3), &value) ||
        (first == 0xcf && value > INT64_MAX))
        return false;
    /* 0xd0 to 0xd3 are signed: of 1, 2, 4 and 8 bytes. */
    unsigned unused = first >= 0xd0 ? 64 - (8u << (first & 3)) : 0;
    *out = (int64_t)(value << unused) >> unused;
    return true;
}

/* How many elements the MessagePack array in front has. */
static inline bool redis_take_packed_array(struct slice *text, uint64_t *out) {
    uint64_t first;

    if (!redis_take_wire(text, 1, &first))
        return false;
    if (first >= 0x90 && first < 0xa0) {
        *out = first & 0xf;
        return true;
    }
    return (first == 0xdc || first == 0xdd) && redis_take_wire(text, first == 0xdc ? 2 : 4, out);
}

#endif
