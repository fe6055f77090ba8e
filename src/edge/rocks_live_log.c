/* rocks_live_log.c - asks RocksDB's manifest, by the only way the C interface has. */
#include "edge/rocks_live_log.h"

#include <stdio.h>

#include <rocksdb/c.h>

#include "core/kv.h"
#include "edge/rocks_options.h"

/* The first is RocksDB's own, which always exists. */
const char *const rocks_space_names[] = {"default", "counter", "window", "key", "outbox"};
_Static_assert(sizeof(rocks_space_names) / sizeof(rocks_space_names[0]) == KV_SPACES,
               "a name for each space");

enum err rocks_live_log(const char *folder, uint64_t *out_number, char *out_detail,
                        size_t detail_size) {
    rocksdb_options_t *options = rocks_options_track_logs(rocksdb_options_create());
    const rocksdb_options_t *each[KV_SPACES];
    rocksdb_column_family_handle_t *spaces[KV_SPACES];
    char *message = NULL;

    for (size_t i = 0; i < KV_SPACES; i++)
        each[i] = options;
    /* The log isn't judged yet, so what is damaged must not stop us here. This mode stops reading
     * there; the one that skips damage never ends on garbage that looks like a recycled record
     * (RocksDB 7.8, log_reader.cc, kOldRecord). */
    rocksdb_options_set_wal_recovery_mode(options, rocksdb_point_in_time_recovery);
    rocksdb_t *db = rocksdb_open_for_read_only_column_families(
        options, folder, KV_SPACES, rocks_space_names, each, spaces, 0, &message);
    rocksdb_options_destroy(options);
    if (message) {
        snprintf(out_detail, detail_size,
                 "the data folder %s can't be opened (%s): restore the folder from a backup, or "
                 "start with another --data",
                 folder, message);
        rocksdb_free(message);
        return ERR_CORRUPT;
    }
    int known = rocksdb_property_int(db, "rocksdb.min-log-number-to-keep", out_number);
    for (size_t i = 0; i < KV_SPACES; i++)
        rocksdb_column_family_handle_destroy(spaces[i]);
    rocksdb_close(db);
    if (known == 0)
        return ERR_OK;
    snprintf(out_detail, detail_size, "the data folder %s doesn't say which logs it needs", folder);
    return ERR_CORRUPT;
}
