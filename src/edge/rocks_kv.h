/* rocks_kv.h - the embedded store: core/kv.h over RocksDB in one data folder.
 *
 * The folder has one owner process. The write-ahead log is the truth: a commit
 * is one synced or unsynced WriteBatch. A torn tail of the log is cut at open;
 * damage inside it is refused with an explanation, never silently skipped.
 *
 * Damage to the very last record of the log can't be told from a torn write
 * and counts as one.
 *
 * Threads    One owner thread, after rocks_kv_open(); the scanner on any.
 * Limits     Memory running out inside RocksDB ends the process.
 */
#ifndef EDGE_ROCKS_KV_H
#define EDGE_ROCKS_KV_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/kv.h"

struct rocks_kv;

struct rocks_kv_conf {
    size_t block_cache_bytes;
    size_t write_buffer_bytes;
};

/* Opens or makes the folder (0750, parents included).
 * ERR_LOCKED   another process owns it
 * ERR_CORRUPT  damaged
 * ERR_NEWER    written by a newer version of the store's format
 * ERR_INVALID  holds somebody else's files; left untouched
 * ERR_IO       can't be made, read or written
 * '*out_detail' is then a sentence that names the folder and says what to do; it lives in a
 * static buffer. */
MUST_CHECK enum err rocks_kv_open(const char *folder, const struct rocks_kv_conf *conf,
                                  struct rocks_kv **out, const char **out_detail);

/* Reads the store beside the process that owns it, or while nobody does, and writes nothing there,
 * but for a folder that is gone again when this returns, where none can be made in $TMPDIR (/tmp).
 * It shows one moment, in which every commit is whole: all that the owner had written by then, be
 * it synced or not. Commits fail with ERR_IO.
 * ERR_NOT_FOUND  there is no store of ours
 * ERR_BUSY       the owner was moving files just then: again
 * ERR_NEWER, ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY; '*out_detail' as above. */
MUST_CHECK enum err rocks_kv_look(const char *folder, struct rocks_kv **out,
                                  const char **out_detail);

/* What rocks_kv_look() gave shows a later moment from now on. ERR_BUSY and others as there; it may
 * be tried again, and be read meanwhile. */
MUST_CHECK enum err rocks_kv_look_again(struct rocks_kv *rocks, const char **out_detail);

/* Flushes nothing by itself: durability is what was committed. NULL is fine. */
void rocks_kv_close(struct rocks_kv *rocks);

/* A copy of the store as it is now, which opens like any other (rocks_checkpoint.h). ERR_IO:
 * logged. Any thread. */
MUST_CHECK enum err rocks_kv_backup(const struct rocks_kv *rocks, const char *folder);

/* The core's view; lives as long as 'rocks'. */
struct kv *rocks_kv_view(struct rocks_kv *rocks);

/* Reads beside the owner; lives as long as 'rocks', no scan may be under way when that closes. */
const struct kv_scanner *rocks_kv_scanner(const struct rocks_kv *rocks);

/* What the last failed call said, for the log; static until the next call. */
const char *rocks_kv_error(const struct rocks_kv *rocks);

#endif
