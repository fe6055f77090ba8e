/* proto_unpack.h - protobuf's wire format, inwards: protobuf-c over an arena.
 *
 * The messages' C is made by tools/proto_c: every string is bytes there, so that
 * a NUL can't cut it short.
 *
 * Threads    Pure functions, any thread.
 * Ownership  A message lives in the arena, with all it holds.
 * Limits     The arena's cap: a short message of many tiny fields asks for much
 *            more memory than it has bytes (about 40 for each field). Messages
 *            that can hold themselves aren't used: protobuf-c has no depth limit.
 */
#ifndef WIRE_PROTO_UNPACK_H
#define WIRE_PROTO_UNPACK_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"
#include "wire/uri.h"

/* ERR_INVALID    not a message of this type
 * ERR_NO_MEMORY  past the arena's cap */
MUST_CHECK enum err proto_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes,
                                 struct arena *arena, void *out_message);

static inline struct slice proto_slice(ProtobufCBinaryData data) {
    return slice_of((const char *)data.data, data.len);
}

/* proto3 wants strings to be UTF-8, and protobuf-c doesn't look. */
static inline bool proto_is_text(struct slice s) {
    return s.len == 0 || utf8_valid(s);
}

#endif
