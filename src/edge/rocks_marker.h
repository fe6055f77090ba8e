/* rocks_marker.h - the note at the end of every record of the write-ahead log.
 *
 * It says up to which of RocksDB's sequence numbers everything was on disk
 * before this record was written. Two commits that weren't synced one by one
 * may be torn by a power cut in either order; a record whose note covers the
 * damage proves that the damage isn't such a tear. RocksDB carries the note as
 * "log data": in the log only, never in the tables.
 *
 *     'H' 'G' 'P' version  little-endian 64-bit sequence number
 */
#ifndef EDGE_ROCKS_MARKER_H
#define EDGE_ROCKS_MARKER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

#define ROCKS_MARKER_BYTES 12
#define ROCKS_MARKER_MAGIC "HGP\1"

static inline void rocks_marker_write(char out[ROCKS_MARKER_BYTES], uint64_t synced_seq) {
    memcpy(out, ROCKS_MARKER_MAGIC, 4);
    for (unsigned i = 0; i < 8; i++)
        out[4 + i] = (char)(synced_seq >> (8 * i));
}

/* 'record': the payload of a log record. False: it doesn't end in a marker, so it wasn't
 * written by us. */
static inline bool rocks_marker_read(struct slice record, uint64_t *out_synced_seq) {
    /* RocksDB's kTypeLogData and the length, in front of the marker. */
    static const char lead[] = {0x3, ROCKS_MARKER_BYTES, 'H', 'G', 'P', '\1'};

    if (record.len < ROCKS_MARKER_BYTES + 2)
        return false;
    const char *at = record.ptr + record.len - ROCKS_MARKER_BYTES - 2;
    if (memcmp(at, lead, sizeof(lead)) != 0)
        return false;
    *out_synced_seq = 0;
    for (unsigned i = 0; i < 8; i++)
        *out_synced_seq |= (uint64_t)(unsigned char)at[6 + i] << (8 * i);
    return true;
}

#endif
