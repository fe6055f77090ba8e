/* proto_scan.c - tags, varints, lengths, and skipping groups. */
#include "wire/proto_scan.h"

#define TYPE_BITS 3
#define TYPE_MASK 7u

/* Up to 'bytes_max' bytes, of which the last may hold no more than 'last_max'. */
static bool read_bytes_up_to(struct proto_scan *scan, unsigned bytes_max, uint8_t last_max,
                             uint64_t *out) {
    uint64_t value = 0;
    size_t left = (size_t)(scan->end - scan->at);

    for (unsigned i = 0; i < bytes_max && i < left; i++) {
        uint8_t byte = scan->at[i];

        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte >= 0x80)
            continue;
        if (i + 1 == bytes_max && byte > last_max)
            return false;
        scan->at += i + 1;
        *out = value;
        return true;
    }
    return false;
}

static bool read_varint(struct proto_scan *scan, uint64_t *out) {
    return read_bytes_up_to(scan, 10, 1, out);
}

static bool read_u32(struct proto_scan *scan, uint64_t *out) {
    return read_bytes_up_to(scan, 5, 0x0F, out);
}

static bool read_fixed(struct proto_scan *scan, size_t bytes, uint64_t *out) {
    uint64_t little = 0;

    if ((size_t)(scan->end - scan->at) < bytes)
        return false;
    memcpy(&little, scan->at, bytes); /* the low bytes come first */
    scan->at += bytes;
    *out = le64toh(little);
    return true;
}

static bool read_bytes(struct proto_scan *scan, struct slice *out) {
    uint64_t len;

    if (!read_u32(scan, &len) || len > (size_t)(scan->end - scan->at))
        return false;
    *out = slice_of((const char *)scan->at, (size_t)len);
    scan->at += len;
    return true;
}

static bool read_tag(struct proto_scan *scan, struct proto_field *out) {
    uint64_t tag;

    if (!read_u32(scan, &tag))
        return false;
    out->number = (uint32_t)(tag >> TYPE_BITS);
    out->type = (enum proto_wire_type)(tag & TYPE_MASK);
    return out->number != 0;
}

static bool read_value(struct proto_scan *scan, struct proto_field *out) {
    switch (out->type) {
    case PROTO_VARINT:
        return read_varint(scan, &out->value);
    case PROTO_FIXED64:
        return read_fixed(scan, 8, &out->value);
    case PROTO_LENGTH:
        return read_bytes(scan, &out->bytes);
    case PROTO_FIXED32:
        return read_fixed(scan, 4, &out->value);
    default:
        return false; /* 6 and 7 don't exist; groups aren't values */
    }
}

/* Out of line: its stack frame is not for every field. */
static __attribute__((noinline)) bool skip_group(struct proto_scan *scan, uint32_t number) {
    uint32_t open[PROTO_GROUPS_MAX] = {number};
    struct proto_field field;

    for (unsigned depth = 1; depth > 0;) {
        if (!read_tag(scan, &field))
            return false;
        if (field.type == PROTO_GROUP_END) {
            if (open[--depth] != field.number)
                return false;
        } else if (field.type == PROTO_GROUP) {
            if (depth == PROTO_GROUPS_MAX)
                return false;
            open[depth++] = field.number;
        } else if (!read_value(scan, &field)) {
            return false;
        }
    }
    return true;
}

bool proto_scan_any(struct proto_scan *scan, struct proto_field *out) {
    if (scan->at == scan->end)
        return false;
    if (read_tag(scan, out) &&
        (out->type == PROTO_GROUP ? skip_group(scan, out->number) : read_value(scan, out)))
        return true;
    scan->bad = true;
    scan->at = scan->end;
    return false;
}
