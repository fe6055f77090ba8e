/* wal_read.h - RocksDB's log format, read from memory.
 *
 * 32 KiB blocks of fragments: masked CRC-32C (4), length (2), type (1),
 * payload. A record is one full fragment or first, middle ..., last; none
 * crosses a block, and a rest of less than a header is padding. A record's
 * payload starts with RocksDB's sequence number (8) and count (4); the next
 * record's number is the sum of both. All little-endian. As of RocksDB 7.8,
 * db/log_format.h and db/write_batch.cc.
 *
 * Threads    One owner.
 * Ownership  The bytes are borrowed; they outlive the reader.
 */
#ifndef EDGE_WAL_READ_H
#define EDGE_WAL_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct wal_reader {
    struct slice bytes;
    size_t at; /* the next fragment, or the record that wal_next() couldn't read */
    struct buf payload;
};

struct wal_record {
    uint64_t seq;
    uint64_t next_seq;
    uint64_t synced_seq; /* everything up to it was on disk before; UINT64_MAX without a marker */
};

enum wal_read {
    WAL_RECORD,
    WAL_END,     /* exactly at the end */
    WAL_BAD,     /* incomplete or damaged; 'at' is where it starts */
    WAL_FOREIGN, /* whole, but of a kind this store never writes */
};

void wal_reader_init(struct wal_reader *reader, struct slice bytes);
void wal_reader_release(struct wal_reader *reader);

/* The record at reader->at, and then behind it. */
enum wal_read wal_next(struct wal_reader *reader, struct wal_record *out);

/* Whether a whole first fragment of a record numbered 'min_seq' or later starts at byte 'at'.
 * The record itself may be cut off behind it. */
bool wal_starts_at(struct slice bytes, size_t at, uint64_t min_seq, struct wal_record *out);

#endif
