/* slice.h - text and bytes inside the product: a pointer and a length.
 *
 * Ownership  A slice borrows; whoever made the bytes says how long they live.
 *            Not NUL-terminated. {NULL, 0} means absent where that is a case
 *            of its own; an empty slice with a pointer means present and empty.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *ptr;
    size_t len;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

/* For printf's "%.*s". */
#define SLICE_ARGS(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *ptr, size_t len) {
    return (struct slice){ptr, len};
}

static inline struct slice slice_str(const char *str) {
    return (struct slice){str, str ? strlen(str) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case ignored, as HTTP field names want it (RFC 9110 5.1). Cases differ by one bit, so the
 * first character tells most of them apart without a call. */
static inline bool slice_eq_nocase(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || (((a.ptr[0] ^ b.ptr[0]) & ~0x20) == 0 &&
                                             strncasecmp(a.ptr, b.ptr, a.len) == 0));
}

static inline bool slice_starts(struct slice s, struct slice prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* What is left after the first 'n' bytes; 'n' at most s.len. */
static inline struct slice slice_skip(struct slice s, size_t n) {
    return (struct slice){s.ptr + n, s.len - n};
}

#endif
