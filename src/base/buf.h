/* buf.h - a growable run of bytes, recycled by its owner.
 *
 * Threads    One owner at a time.
 * Limits     Appending past memory sets 'failed' and appends nothing more:
 *            check buf_failed() once, after the last append.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/slice.h"

struct spare;

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
    bool failed;
    struct spare *spare; /* where its memory comes from, and goes; NULL: malloc and free */
};

/* A zeroed struct buf is a valid empty one. */
void buf_release(struct buf *buf);

/* Room for just 'cap' bytes, which are more than it has, and where it has a spare as
 * spare_room() says. false: memory runs out, nothing has changed. */
MUST_CHECK bool buf_resize(struct buf *buf, size_t cap);

/* buf_reserve()'s, when there is no room. */
bool buf_grow(struct buf *buf, size_t more);

/* Makes room for 'more' bytes behind what is there; false (and failed) when
 * memory runs out. */
static inline bool buf_reserve(struct buf *buf, size_t more) {
    return LIKELY(!buf->failed && buf->cap - buf->len >= more) || buf_grow(buf, more);
}

static inline void buf_add(struct buf *buf, const void *bytes, size_t len) {
    if (len == 0 || !buf_reserve(buf, len))
        return;
    memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
}

static inline void buf_add_slice(struct buf *buf, struct slice s) {
    buf_add(buf, s.ptr, s.len);
}

static inline void buf_add_str(struct buf *buf, const char *str) {
    buf_add(buf, str, strlen(str));
}

static inline void buf_add_char(struct buf *buf, char c) {
    buf_add(buf, &c, 1);
}

/* Decimal, as JSON and Redis want it. */
void buf_add_i64(struct buf *buf, int64_t value);
void buf_add_u64(struct buf *buf, uint64_t value);

void buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Empty again; the memory stays. */
static inline void buf_clear(struct buf *buf) {
    buf->len = 0;
    buf->failed = false;
}

static inline bool buf_failed(const struct buf *buf) {
    return buf->failed;
}

static inline struct slice buf_slice(const struct buf *buf) {
    return slice_of(buf->ptr, buf->len);
}

#endif
