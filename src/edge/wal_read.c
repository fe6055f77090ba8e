/* wal_read.c - see wal_read.h. Everything read is untrusted: it may be any disk content. */
#include "edge/wal_read.h"

#include <string.h>

#include "edge/crc32c.h"
#include "edge/rocks_marker.h"

#define BLOCK_BYTES     32768u
#define HEADER_BYTES    7u
#define LOG_NUMBER_SIZE 4u  /* recyclable fragments have one behind the header */
#define RECORD_HEADER   12u /* sequence number and count */
#define HEAD_BYTES      (RECORD_HEADER + ROCKS_MARKER_ENTRY_BYTES)
#define CRC_MASK        0xa282ead8u
#define MAX_SEQ         ((uint64_t)1 << 56) /* RocksDB keeps eight bits for the kind of write */

enum { TYPE_FULL = 1, TYPE_FIRST, TYPE_MIDDLE, TYPE_LAST, TYPE_RECYCLED_FULL, TYPE_MAX = 9 };

struct fragment {
    unsigned type;
    struct slice payload;
    size_t end;
};

static uint64_t little_endian(const char *at, unsigned bytes) {
    uint64_t value = 0;

    for (unsigned i = bytes; i-- > 0;)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

static size_t block_left(size_t at) {
    return BLOCK_BYTES - at % BLOCK_BYTES;
}

static bool crc_matches(const char *header, size_t payload_len) {
    uint32_t crc = crc32c(header + 6, payload_len + 1);
    uint32_t masked = (crc >> 15 | crc << 17) + CRC_MASK;

    return masked == (uint32_t)little_endian(header, 4);
}

/* A whole fragment exactly at 'at'. */
static bool read_fragment(struct slice bytes, size_t at, struct fragment *out) {
    if (bytes.len - at < HEADER_BYTES || block_left(at) < HEADER_BYTES)
        return false;
    const char *header = bytes.ptr + at;
    unsigned type = (unsigned char)header[6];
    size_t len = (size_t)little_endian(header + 4, 2);
    if (type >= TYPE_RECYCLED_FULL && type < TYPE_MAX)
        len += LOG_NUMBER_SIZE;
    if (type == 0 || type > TYPE_MAX || HEADER_BYTES + len > block_left(at) ||
        HEADER_BYTES + len > bytes.len - at || !crc_matches(header, len))
        return false;
    *out = (struct fragment){type, slice_of(header + HEADER_BYTES, len), at + HEADER_BYTES + len};
    return true;
}

/* 'payload' may be only the start of a record: 'whole' says whether its end is one. */
static bool read_record(struct slice payload, bool whole, struct wal_record *out) {
    uint64_t last;

    if (payload.len < RECORD_HEADER)
        return false;
    out->seq = little_endian(payload.ptr, 8);
    out->next_seq = out->seq + little_endian(payload.ptr + 8, 4);
    out->synced_seq = UINT64_MAX;
    if (out->seq >= MAX_SEQ)
        return false;
    if (payload.len < RECORD_HEADER + ROCKS_MARKER_ENTRY_BYTES ||
        !rocks_marker_read(payload.ptr + RECORD_HEADER, &out->synced_seq))
        return true;
    /* Bytes of a client that look like a marker can only raise what the record vouches for. */
    if (whole && rocks_marker_read(payload.ptr + payload.len - ROCKS_MARKER_ENTRY_BYTES, &last) &&
        last > out->synced_seq)
        out->synced_seq = last;
    return true;
}

void wal_reader_init(struct wal_reader *reader, struct slice bytes) {
    *reader = (struct wal_reader){.bytes = bytes};
}

void wal_reader_release(struct wal_reader *reader) {
    buf_release(&reader->payload);
}

/* Steps over padding at the end of a block; what is left may be less than the padding. */
static size_t skip_padding(struct slice bytes, size_t at) {
    size_t left = block_left(at);

    return left < HEADER_BYTES && left <= bytes.len - at ? at + left : at;
}

/* Collects the fragments of one record. */
static enum wal_read collect(struct wal_reader *reader, size_t *at) {
    struct fragment fragment;
    bool first = true;

    buf_clear(&reader->payload);
    for (;; first = false) {
        *at = skip_padding(reader->bytes, *at);
        if (!read_fragment(reader->bytes, *at, &fragment))
            return WAL_BAD;
        if (fragment.type > TYPE_LAST)
            return WAL_FOREIGN;
        if (first != (fragment.type == TYPE_FULL || fragment.type == TYPE_FIRST))
            return WAL_BAD;
        buf_add_slice(&reader->payload, fragment.payload);
        *at = fragment.end;
        if (fragment.type == TYPE_FULL || fragment.type == TYPE_LAST)
            return WAL_RECORD;
    }
}

enum wal_read wal_next(struct wal_reader *reader, struct wal_record *out) {
    size_t at = reader->at;

    if (skip_padding(reader->bytes, at) == reader->bytes.len)
        return WAL_END;
    enum wal_read got = collect(reader, &at);
    if (got != WAL_RECORD)
        return got;
    if (!read_record(buf_slice(&reader->payload), true, out))
        return WAL_BAD;
    reader->at = at;
    return WAL_RECORD;
}

/* The cheap tests before the checksum: this runs for every byte behind the damage, and bytes made
 * to look like headers would cost a checksum of 32 KiB each. */
static bool may_start(struct slice bytes, size_t at, uint64_t min_seq) {
    char type = bytes.ptr[at + 6];

    if (type != TYPE_FULL && type != TYPE_FIRST)
        return false;
    if (little_endian(bytes.ptr + at + 4, 2) < 8)
        return true; /* the number goes on in the next block */
    if (bytes.len - at < HEADER_BYTES + 8)
        return false;
    uint64_t seq = little_endian(bytes.ptr + at + HEADER_BYTES, 8);
    return seq >= min_seq && seq < MAX_SEQ;
}

/* The start of a record whose first fragment may be too short for it: one that begins just before
 * a block's end has the rest of its marker in the next block, which a power cut may have lost.
 * Then nobody knows what it vouches for: false. */
static bool read_head(struct slice bytes, const struct fragment *first, char room[HEAD_BYTES],
                      struct slice *out) {
    struct fragment next;
    size_t len = first->payload.len;

    if (len >= HEAD_BYTES) {
        *out = first->payload;
        return true;
    }
    if (!read_fragment(bytes, first->end, &next) ||
        (next.type != TYPE_MIDDLE && next.type != TYPE_LAST))
        return false;
    size_t more = next.payload.len < HEAD_BYTES - len ? next.payload.len : HEAD_BYTES - len;
    memcpy(room, first->payload.ptr, len);
    memcpy(room + len, next.payload.ptr, more);
    *out = slice_of(room, len + more);
    return true;
}

bool wal_starts_at(struct slice bytes, size_t at, uint64_t min_seq, struct wal_record *out) {
    struct fragment fragment;
    struct slice head;
    char room[HEAD_BYTES];

    if (bytes.len - at < HEADER_BYTES || !may_start(bytes, at, min_seq) ||
        !read_fragment(bytes, at, &fragment))
        return false;
    head = fragment.payload;
    if (fragment.type == TYPE_FIRST && !read_head(bytes, &fragment, room, &head))
        return false;
    return read_record(head, fragment.type == TYPE_FULL, out) && out->seq >= min_seq;
}
