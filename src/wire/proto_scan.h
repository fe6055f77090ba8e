/* proto_scan.h - protobuf's wire format, inwards, one field at a time.
 *
 * For messages read by hand: nothing is allocated and nothing is copied. See
 * protobuf.dev/programming-guides/encoding.
 *
 *     struct proto_scan scan = proto_scan_of(message);
 *     while (proto_scan_next(&scan, &field))
 *         switch (field.number) ...
 *     if (scan.bad) ...
 *
 * Strict: field numbers from 1 to 2^29 - 1, tags and lengths in five bytes, varints in ten and
 * 64 bits, groups closed by their own number. Each is what Google's parsers refuse too.
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read points into the message.
 * Limits     PROTO_GROUPS_MAX groups in each other: nobody may choose our depth.
 */
#ifndef WIRE_PROTO_SCAN_H
#define WIRE_PROTO_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "wire/proto_write.h"

#define PROTO_GROUPS_MAX 32

struct proto_scan {
    const uint8_t *at;
    const uint8_t *end;
    bool bad; /* stopped before the end, as what follows is no field */
};

struct proto_field {
    uint32_t number;
    enum proto_wire_type type; /* a PROTO_GROUP is already skipped, to its end */
    uint64_t value;            /* PROTO_VARINT, PROTO_FIXED64, PROTO_FIXED32 */
    struct slice bytes;        /* PROTO_LENGTH */
};

static inline struct proto_scan proto_scan_of(struct slice message) {
    const uint8_t *at = (const uint8_t *)message.ptr;

    /* An empty slice may point nowhere, and NULL + 0 is undefined in C. */
    return (struct proto_scan){at, message.len ? at + message.len : at, false};
}

/* proto_scan_next() for any field. */
bool proto_scan_any(struct proto_scan *scan, struct proto_field *out);

/* False at the end, and where the bytes are no field (scan->bad). Nearly all are a tag of one byte
 * (fields 1 to 15) and a small number or a short text: those are read here. */
static inline bool proto_scan_next(struct proto_scan *scan, struct proto_field *out) {
    const uint8_t *at = scan->at;
    size_t left = (size_t)(scan->end - at);

    if (LIKELY(left >= 2) && at[0] >= 8 && ((at[0] | at[1]) & 0x80) == 0) {
        out->number = at[0] >> 3;
        out->type = (enum proto_wire_type)(at[0] & 7);
        if (out->type == PROTO_VARINT) {
            out->value = at[1];
            scan->at = at + 2;
            return true;
        }
        if (LIKELY(out->type == PROTO_LENGTH && at[1] <= left - 2)) {
            out->bytes = slice_of((const char *)at + 2, at[1]);
            scan->at = at + 2 + at[1];
            return true;
        }
    }
    return proto_scan_any(scan, out);
}

static inline int64_t proto_unzigzag(uint64_t value) {
    return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

#endif
