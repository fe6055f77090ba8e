/* redis_text.h - reading what the scripts write: decimal numbers and marks between them.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_REDIS_TEXT_H
#define EDGE_REDIS_TEXT_H

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

#endif
