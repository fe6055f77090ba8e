/* proto_write.h - protobuf's wire format, outwards, for messages with few small fields.
 *
 * A message is written in two steps: add up its size, reserve it, put the same
 * fields. A field whose value is its default takes no bytes, as proto3 has it.
 * See protobuf.dev/programming-guides/encoding.
 *
 * Threads    Pure functions, any thread.
 * Limits     Fields 1 to 15, whose tags are one byte. The put functions don't
 *            check for room: that is what the sizes are for.
 */
#ifndef WIRE_PROTO_WRITE_H
#define WIRE_PROTO_WRITE_H

#include <endian.h>
#include <stdint.h>

#include "base/slice.h"

enum proto_wire_type {
    PROTO_VARINT = 0,
    PROTO_FIXED64 = 1,
    PROTO_LENGTH = 2,
    PROTO_GROUP = 3, /* its start; only ever read, to be skipped */
    PROTO_GROUP_END = 4,
    PROTO_FIXED32 = 5
};

static inline size_t proto_varint_size(uint64_t value) {
    size_t size = 1;

    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static inline char *proto_put_varint(char *p, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        *p++ = (char)(value | 0x80);
    *p++ = (char)value;
    return p;
}

static inline char *proto_put_tag(char *p, unsigned field, enum proto_wire_type type) {
    *p++ = (char)(field << 3 | type);
    return p;
}

/* int64, int32, enum and bool are all varints; a negative one takes ten bytes. */
static inline size_t proto_number_size(int64_t value) {
    return value ? 1 + proto_varint_size((uint64_t)value) : 0;
}

static inline char *proto_put_number(char *p, unsigned field, int64_t value) {
    if (!value)
        return p;
    return proto_put_varint(proto_put_tag(p, field, PROTO_VARINT), (uint64_t)value);
}

/* sint64: small negative numbers are small. The result goes where a number goes. */
static inline int64_t proto_zigzag(int64_t value) {
    return (int64_t)(((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

static inline size_t proto_fixed64_size(uint64_t value) {
    return value ? 1 + sizeof(value) : 0;
}

static inline char *proto_put_fixed64(char *p, unsigned field, uint64_t value) {
    uint64_t little = htole64(value);

    if (!value)
        return p;
    p = proto_put_tag(p, field, PROTO_FIXED64);
    memcpy(p, &little, sizeof(little));
    return p + sizeof(little);
}

/* The head of a message inside a message, which is there even when it is empty;
 * its 'size' bytes are put behind it. */
static inline size_t proto_message_size(size_t size) {
    return 1 + proto_varint_size(size) + size;
}

static inline char *proto_put_message(char *p, unsigned field, size_t size) {
    return proto_put_varint(proto_put_tag(p, field, PROTO_LENGTH), size);
}

/* string and bytes; an element of a repeated field is there even when it is empty:
 * that is proto_put_message() and the bytes. */
static inline size_t proto_text_size(struct slice text) {
    return text.len ? proto_message_size(text.len) : 0;
}

static inline char *proto_put_raw(char *p, struct slice text) {
    if (text.len)
        memcpy(p, text.ptr, text.len);
    return p + text.len;
}

static inline char *proto_put_text(char *p, unsigned field, struct slice text) {
    if (!text.len)
        return p;
    return proto_put_raw(proto_put_message(p, field, text.len), text);
}

#endif
