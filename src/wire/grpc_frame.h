/* grpc_frame.h - gRPC's five-byte message prefix, read and written.
 *
 *     1 byte compressed flag ─ 4 bytes length, big endian ─ length bytes of message
 *     (grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message")
 *
 * A reader takes a stream in pieces of any size and holds no bytes of it.
 *
 * Threads    One owner at a time.
 * Limits     None of its own: after GRPC_FRAME_HEAD the caller compares 'length' with its limit
 *            before it makes room.
 */
#ifndef WIRE_GRPC_FRAME_H
#define WIRE_GRPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define GRPC_PREFIX_BYTES 5

/* A zeroed one is at the beginning of a stream. */
struct grpc_frame_reader {
    unsigned char prefix[GRPC_PREFIX_BYTES];
    unsigned prefix_len;
    bool compressed;
    uint32_t length; /* of the message, as announced */
    uint32_t left;   /* of it, not yet handed over */
};

enum grpc_frame_event {
    GRPC_FRAME_MORE, /* the input is used up */
    GRPC_FRAME_HEAD, /* a message begins: 'compressed' and 'length' are valid */
    GRPC_FRAME_PART, /* '*out_part' is the next piece of it, not empty */
    GRPC_FRAME_END,  /* it is complete */
    GRPC_FRAME_BAD   /* the flag is neither 0 nor 1; the stream can't be read further */
};

/* Takes from the front of '*in'. Call until GRPC_FRAME_MORE or GRPC_FRAME_BAD; '*out_part' is set
 * only with GRPC_FRAME_PART and points into the input. */
enum grpc_frame_event grpc_frame_next(struct grpc_frame_reader *reader, struct slice *in,
                                      struct slice *out_part);

/* Nothing of a further message has come. */
static inline bool grpc_frame_between(const struct grpc_frame_reader *reader) {
    return reader->prefix_len == 0;
}

void grpc_frame_prefix(unsigned char out[GRPC_PREFIX_BYTES], bool compressed, uint32_t length);

#endif
