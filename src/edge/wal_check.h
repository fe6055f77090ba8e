/* wal_check.h - judge the write-ahead log before RocksDB replays it.
 *
 * RocksDB's recovery modes either refuse every incomplete record or drop
 * damage in silence. Here the two are told apart:
 *
 * torn tail      The last write never finished (power cut, full disk, kill): what follows the last
 *                whole record is a piece of one, zeroes or old disk content. No durable commit is
 *                in it. It is cut off, durably, with a warning.
 * damage inside  A whole record follows that was written when the damaged bytes were on disk
 *                already (rocks_marker.h): an acknowledged commit is gone. Refused.
 *
 * Not decidable, and taken for a torn tail: damage to the very last record.
 *
 * Threads    The one that opens the store, while it owns the folder.
 */
#ifndef EDGE_WAL_CHECK_H
#define EDGE_WAL_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* The number of the oldest log whose content isn't in the tables yet. Asked only where several
 * logs don't follow on each other: one that is done with may linger with later ones gone. */
typedef enum err wal_live_fn(const char *folder, uint64_t *out_number, char *out_detail,
                             size_t detail_size);

/* Checks every live "*.log" of 'folder' in the order written and cuts a torn tail.
 * ERR_CORRUPT  damage inside
 * ERR_NEWER    a kind of record this version doesn't know
 * ERR_IO       can't be read or cut
 * 'out_detail' is then a sentence with file, offset and what to do. */
MUST_CHECK enum err wal_check(const char *folder, wal_live_fn *live, char *out_detail,
                              size_t detail_size);

#endif
