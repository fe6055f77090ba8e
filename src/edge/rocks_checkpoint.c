/* rocks_checkpoint.c - RocksDB does it. */
#include "edge/rocks_checkpoint.h"

#include "base/log.h"

/* What is in memory only becomes a file first: then a checkpoint has all that was committed, also
 * what wasn't synced. */
#define FLUSH_ALWAYS 0

static enum err fail(const char *folder, char *message) {
    log_line(LOG_ERROR, "a checkpoint can't be made", LOG_STR("folder", folder),
             LOG_STR("rocksdb", message));
    rocksdb_free(message);
    return ERR_IO;
}

enum err rocks_checkpoint(rocksdb_t *db, const char *folder) {
    char *message = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(db, &message);

    if (message)
        return fail(folder, message);
    rocksdb_checkpoint_create(checkpoint, folder, FLUSH_ALWAYS, &message);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return message ? fail(folder, message) : ERR_OK;
}
