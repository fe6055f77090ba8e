/* meta_record.c - version, fields, 32 bits of XXH3 over both. */
#include "core/meta_record.h"

#include "core/hash.h"

#define CHECK_BYTES 4

void meta_record_begin(struct buf *out) {
    buf_clear(out);
    buf_add_char(out, META_RECORD_VERSION);
}

void meta_record_end(struct buf *out) {
    bytes_add_be32(out, (uint32_t)hash64(buf_slice(out)));
}

enum err meta_record_open(struct slice record, struct bytes_reader *out, unsigned *out_version) {
    struct bytes_reader in = bytes_reader(record);

    /* The version first: a later one may check itself in another way. */
    *out_version = bytes_u8(&in);
    if (*out_version > META_RECORD_VERSION)
        return ERR_NEWER;
    if (*out_version != META_RECORD_VERSION || record.len < 1 + CHECK_BYTES)
        return ERR_CORRUPT;
    struct slice body = slice_of(record.ptr, record.len - CHECK_BYTES);
    struct bytes_reader check = bytes_reader(slice_skip(record, body.len));
    if (bytes_be32(&check) != (uint32_t)hash64(body))
        return ERR_CORRUPT;
    in.end = record.ptr + body.len;
    *out = in;
    return ERR_OK;
}
