/* rocks_live_log.h - which logs RocksDB would replay.
 *
 * Threads    The one that opens the store, while it owns the folder.
 */
#ifndef EDGE_ROCKS_LIVE_LOG_H
#define EDGE_ROCKS_LIVE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* The families of the store, in the order of enum kv_space. */
extern const char *const rocks_space_names[];

/* A wal_live_fn. Opens the store for reading only, so it costs a replay of the log. */
MUST_CHECK enum err rocks_live_log(const char *folder, uint64_t *out_number, char *out_detail,
                                   size_t detail_size);

#endif
