/* bytes.h - numbers in stored records: fixed big endian (memcmp order) and varints.
 *
 * Threads    Plain functions.
 * Limits     A reader never passes its end: it sets 'failed', gives zeros, and
 *            is checked once, after the last field.
 */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include <endian.h>
#include <stdint.h>

#include "base/buf.h"

#define BYTES_VARINT_MAX 10 /* of a 64-bit number, seven bits a byte */

struct bytes_reader {
    const char *at;
    const char *end;
    bool failed;
};

static inline void bytes_add_be32(struct buf *out, uint32_t value) {
    uint32_t wire = htobe32(value);

    buf_add(out, &wire, sizeof(wire));
}

static inline void bytes_add_be64(struct buf *out, uint64_t value) {
    uint64_t wire = htobe64(value);

    buf_add(out, &wire, sizeof(wire));
}

static inline void bytes_add_varint(struct buf *out, uint64_t value) {
    char bytes[BYTES_VARINT_MAX];
    size_t len = 0;

    while (value >= 0x80) {
        bytes[len++] = (char)(value | 0x80);
        value >>= 7;
    }
    bytes[len++] = (char)value;
    buf_add(out, bytes, len);
}

/* Small numbers of either sign stay short: 0, -1, 1, -2 become 0, 1, 2, 3. */
static inline void bytes_add_zigzag(struct buf *out, int64_t value) {
    bytes_add_varint(out, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

static inline struct bytes_reader bytes_reader(struct slice s) {
    return (struct bytes_reader){s.ptr, s.len ? s.ptr + s.len : s.ptr, false}; /* NULL + 0 is UB */
}

static inline size_t bytes_left(const struct bytes_reader *in) {
    return (size_t)(in->end - in->at);
}

/* The next 'len' bytes, borrowed; {NULL, 0} past the end. */
static inline struct slice bytes_take(struct bytes_reader *in, uint64_t len) {
    if (len > bytes_left(in)) {
        in->failed = true;
        return (struct slice){NULL, 0};
    }
    struct slice out = {in->at, (size_t)len};
    in->at += len;
    return out;
}

static inline uint8_t bytes_u8(struct bytes_reader *in) {
    struct slice s = bytes_take(in, 1);

    return s.ptr ? (uint8_t)*s.ptr : 0;
}

static inline uint32_t bytes_be32(struct bytes_reader *in) {
    struct slice s = bytes_take(in, sizeof(uint32_t));
    uint32_t wire = 0;

    if (s.ptr)
        memcpy(&wire, s.ptr, sizeof(wire));
    return be32toh(wire);
}

static inline uint64_t bytes_be64(struct bytes_reader *in) {
    struct slice s = bytes_take(in, sizeof(uint64_t));
    uint64_t wire = 0;

    if (s.ptr)
        memcpy(&wire, s.ptr, sizeof(wire));
    return be64toh(wire);
}

static inline uint64_t bytes_varint(struct bytes_reader *in) {
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = bytes_u8(in);

        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return in->failed ? 0 : value;
    }
    in->failed = true;
    return 0;
}

static inline int64_t bytes_zigzag(struct bytes_reader *in) {
    uint64_t value = bytes_varint(in);

    return (int64_t)((value >> 1) ^ (0 - (value & 1)));
}

/* Everything was there and nothing is left over. */
static inline bool bytes_done(const struct bytes_reader *in) {
    return !in->failed && in->at == in->end;
}

#endif
