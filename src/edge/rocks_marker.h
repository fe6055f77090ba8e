/* rocks_marker.h - the note in every record of the write-ahead log.
 *
 * It says up to which of RocksDB's sequence numbers everything was on disk
 * before this record was written. Commits that weren't synced one by one may
 * be torn by a power cut in any order; a record whose note covers the damage
 * in front of it proves that the damage isn't such a tear. RocksDB carries the
 * note as "log data": in the log only, never in the tables.
 *
 *     'H' 'G' 'P' version  little-endian 64-bit sequence number
 *
 * It is the first entry of a record, so that the start of a torn one still
 * tells. Where a sync came between staging and commit, a second one ends the record.
 */
#ifndef EDGE_ROCKS_MARKER_H
#define EDGE_ROCKS_MARKER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ROCKS_MARKER_BYTES 12
#define ROCKS_MARKER_MAGIC "HGP\1"

static inline void rocks_marker_write(char out[ROCKS_MARKER_BYTES], uint64_t synced_seq) {
    memcpy(out, ROCKS_MARKER_MAGIC, 4);
    for (unsigned i = 0; i < 8; i++)
        out[4 + i] = (char)(synced_seq >> (8 * i));
}

/* RocksDB's kTypeLogData and the length lead the marker. */
#define ROCKS_MARKER_ENTRY_BYTES (ROCKS_MARKER_BYTES + 2)

static inline bool rocks_marker_read(const char *entry, uint64_t *out_synced_seq) {
    static const char lead[] = {0x3, ROCKS_MARKER_BYTES, 'H', 'G', 'P', '\1'};

    if (memcmp(entry, lead, sizeof(lead)) != 0)
        return false;
    *out_synced_seq = 0;
    for (unsigned i = 0; i < 8; i++)
        *out_synced_seq |= (uint64_t)(unsigned char)entry[sizeof(lead) + i] << (8 * i);
    return true;
}

#endif
