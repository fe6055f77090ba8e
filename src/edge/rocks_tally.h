/* rocks_tally.h - the store of analytics: core/tally_store.h over RocksDB in a folder of its own.
 *
 * What it holds can be had again from the events as long as they are kept; its positions say from
 * where. A batch is one synced WriteBatch.
 *
 * Threads    One owner thread, after rocks_tally_open(); one of its own that writes.
 * Limits     Memory running out inside RocksDB ends the process.
 */
#ifndef EDGE_ROCKS_TALLY_H
#define EDGE_ROCKS_TALLY_H

#include <stddef.h>

#include "base/attr.h"
#include "core/tally_store.h"

struct rocks_tally;

struct rocks_tally_conf {
    size_t block_cache_bytes;
    size_t write_buffer_bytes;
};

#define ROCKS_TALLY_NAME_BYTES 40

/* Opens or makes the folder; what is above it must be there. ERR_LOCKED, ERR_CORRUPT, ERR_IO,
 * ERR_NO_MEMORY; '*out_detail' is then a sentence in a static buffer. */
MUST_CHECK enum err rocks_tally_open(const char *folder, const struct rocks_tally_conf *conf,
                                     struct rocks_tally **out, const char **out_detail);

/* What no other folder has been called since it was made; copies of it are. ERR_IO. */
MUST_CHECK enum err rocks_tally_name(const char *folder, char out[ROCKS_TALLY_NAME_BYTES]);

/* It is called so from now on. Not open. ERR_IO. */
MUST_CHECK enum err rocks_tally_rename(const char *folder, const char *name);

/* Neither is open: each has what the other one had, or nothing has changed. ERR_IO: this file
 * system can't do that. */
MUST_CHECK enum err rocks_tally_exchange(const char *folder, const char *other);

/* Not open; one that isn't there is fine. ERR_IO: logged. */
MUST_CHECK enum err rocks_tally_remove(const char *folder);

/* Waits for the batch that is under way. NULL is fine. */
void rocks_tally_close(struct rocks_tally *rocks);

/* A copy of what is stored, as it is now (rocks_checkpoint.h). ERR_IO: logged. Any thread. */
MUST_CHECK enum err rocks_tally_backup(const struct rocks_tally *rocks, const char *folder);

/* Lives as long as 'rocks'. */
struct tally_store *rocks_tally_view(struct rocks_tally *rocks);

#endif
