/* rocks_checkpoint.h - a database as it is at one moment, beside its folder; for the files that
 * hold one.
 *
 * Tables are linked, not copied, so it takes no room and hardly time; the log, which goes on being
 * written, is copied.
 *
 * Threads    Any, while the database is in use.
 */
#ifndef EDGE_ROCKS_CHECKPOINT_H
#define EDGE_ROCKS_CHECKPOINT_H

#include <rocksdb/c.h>

#include "base/attr.h"
#include "base/err.h"

/* Makes 'folder', on the database's file system; durable when it returns. ERR_IO: logged. */
MUST_CHECK enum err rocks_checkpoint(rocksdb_t *db, const char *folder);

#endif
