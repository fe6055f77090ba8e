/* rocks_options.h - how RocksDB is tuned: small synced batches of one writer on few cores.
 *
 * Threads    Any; nothing is shared.
 * Ownership  rocks_options_release() after the store is open: RocksDB keeps its own copies.
 */
#ifndef EDGE_ROCKS_OPTIONS_H
#define EDGE_ROCKS_OPTIONS_H

#include <rocksdb/c.h>

#include "core/kv.h"
#include "edge/rocks_kv.h"

struct rocks_options {
    rocksdb_options_t *db;
    const rocksdb_options_t *spaces[KV_SPACES];
    /* What 'spaces' points at. */
    rocksdb_options_t *meta;
    rocksdb_options_t *outbox;
    rocksdb_options_t *windows;
    rocksdb_options_t *hashed;
    rocksdb_options_t *counters;
};

enum rocks_use {
    ROCKS_OWN,  /* a missing store is an error */
    ROCKS_MAKE, /* the store is being made */
    ROCKS_LOOK  /* beside its owner: read in order, again and again */
};

void rocks_options_init(struct rocks_options *options, const struct rocks_kv_conf *conf,
                        enum rocks_use use);
void rocks_options_release(struct rocks_options *options);

/* Takes 'options' over and gives them back so that a log that was synced and isn't there any
 * more is noticed at open. For every way of opening: without it, RocksDB 7.8 asserts when it opens
 * a store for reading that was written with it. */
rocksdb_options_t *rocks_options_track_logs(rocksdb_options_t *options);

#endif
