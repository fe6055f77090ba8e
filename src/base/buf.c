/* buf.c - growth by doubling, or at once to a size that was needed before. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/decimal.h"
#include "base/spare.h"

#define FIRST_CAP 256u
#define LARGE     1024u /* more than idle owners keep */

void buf_release(struct buf *buf) {
    spare_give(buf->spare, buf->ptr, buf->cap);
    *buf = (struct buf){.spare = buf->spare};
}

bool buf_resize(struct buf *buf, size_t cap) {
    char *ptr = spare_grow(buf->spare, buf->ptr, buf->cap, buf->len, cap);

    if (!ptr)
        return false;
    buf->ptr = ptr;
    buf->cap = cap;
    return true;
}

bool buf_grow(struct buf *buf, size_t more) {
    size_t cap = buf->cap ? buf->cap : FIRST_CAP;

    if (buf->failed || more > SIZE_MAX / 2 - buf->len) {
        buf->failed = true;
        return false;
    }
    while (cap - buf->len < more)
        cap *= 2;
    /* Pieces aren't made longer where they are, as by realloc(): what is large is copied once. */
    if (buf->spare && cap > LARGE)
        cap = spare_larger(buf->spare, cap);
    if (!buf_resize(buf, cap))
        buf->failed = true;
    return !buf->failed;
}

void buf_add_u64(struct buf *buf, uint64_t value) {
    char room[DECIMAL_BYTES];

    buf_add_slice(buf, decimal_u64(room, value));
}

void buf_add_i64(struct buf *buf, int64_t value) {
    char room[DECIMAL_BYTES];

    buf_add_slice(buf, decimal_i64(room, value));
}

void buf_printf(struct buf *buf, const char *fmt, ...) {
    va_list args;
    va_list again;

    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    if (len > 0 && buf_reserve(buf, (size_t)len + 1)) {
        (void)vsnprintf(buf->ptr + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}
