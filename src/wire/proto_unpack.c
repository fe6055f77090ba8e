/* proto_unpack.c - one allocator for protobuf-c: the request's arena. */
#include "wire/proto_unpack.h"

static void *take(void *arena, size_t bytes) {
    return arena_alloc(arena, bytes);
}

static void keep(void *arena, void *piece) {
    (void)arena;
    (void)piece; /* goes with the arena */
}

enum err proto_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes,
                      struct arena *arena, void *out_message) {
    ProtobufCAllocator allocator = {.alloc = take, .free = keep, .allocator_data = arena};
    static const uint8_t nothing[1];
    const uint8_t *data = bytes.len ? (const uint8_t *)bytes.ptr : nothing;
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, bytes.len, data);

    if (!message)
        return arena_overflowed(arena) ? ERR_NO_MEMORY : ERR_INVALID;
    memcpy(out_message, &message, sizeof(message));
    return ERR_OK;
}
