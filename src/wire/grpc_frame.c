/* grpc_frame.c */
#include "wire/grpc_frame.h"

static enum grpc_frame_event read_prefix(struct grpc_frame_reader *reader, struct slice *in) {
    while (reader->prefix_len < GRPC_PREFIX_BYTES) {
        if (in->len == 0)
            return GRPC_FRAME_MORE;
        reader->prefix[reader->prefix_len++] = (unsigned char)in->ptr[0];
        *in = slice_skip(*in, 1);
        if (reader->prefix[0] > 1)
            return GRPC_FRAME_BAD;
    }
    const unsigned char *p = reader->prefix;

    reader->compressed = p[0] == 1;
    reader->length =
        (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | (uint32_t)p[4];
    reader->left = reader->length;
    reader->prefix_len++; /* one past: the head has been reported */
    return GRPC_FRAME_HEAD;
}

enum grpc_frame_event grpc_frame_next(struct grpc_frame_reader *reader, struct slice *in,
                                      struct slice *out_part) {
    if (reader->prefix_len <= GRPC_PREFIX_BYTES)
        return read_prefix(reader, in);
    if (reader->left == 0) {
        reader->prefix_len = 0;
        return GRPC_FRAME_END;
    }
    if (in->len == 0)
        return GRPC_FRAME_MORE;
    size_t n = in->len < reader->left ? in->len : reader->left;

    *out_part = slice_of(in->ptr, n);
    *in = slice_skip(*in, n);
    reader->left -= (uint32_t)n;
    return GRPC_FRAME_PART;
}

void grpc_frame_prefix(unsigned char out[GRPC_PREFIX_BYTES], bool compressed, uint32_t length) {
    out[0] = compressed;
    out[1] = (unsigned char)(length >> 24);
    out[2] = (unsigned char)(length >> 16);
    out[3] = (unsigned char)(length >> 8);
    out[4] = (unsigned char)length;
}
