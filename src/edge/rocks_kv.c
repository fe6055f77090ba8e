/* rocks_kv.c - the embedded store's operations over RocksDB's C interface.
 *
 * Every record of the write-ahead log carries a note of what was already on
 * disk when it was written (rocks_marker.h): that is how recovery tells a torn
 * tail from damage.
 */
#include "edge/rocks_kv.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "edge/data_folder.h"
#include "edge/rocks_checkpoint.h"
#include "edge/rocks_live_log.h"
#include "edge/rocks_marker.h"
#include "edge/rocks_options.h"
#include "edge/wal_check.h"

#define ERROR_BYTES  512
#define DETAIL_BYTES 1024

struct rocks_kv {
    struct kv kv;
    struct kv_scanner scanner;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *spaces[KV_SPACES];
    rocksdb_writebatch_t *batch;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write_durable;
    rocksdb_writeoptions_t *write_fast;
    /* Iterators see the state they were made in, so each lives until the next commit. Keeping
     * them between commits makes a scan of n records cost one of them; dropping them at the
     * commit means that none pins old memory or files. (Tailing iterators would follow by
     * themselves but refuse range deletions.) */
    rocksdb_iterator_t *iterators[KV_SPACES];
    struct data_folder folder;
    uint64_t synced_seq; /* RocksDB's number of the last write known to be on disk */
    uint64_t marked_seq; /* what the batch being staged says of it */
    bool staged;
    bool dirty; /* something was committed that isn't */
    bool failed;
    char error[ERROR_BYTES];
};

static _Thread_local char open_detail[DETAIL_BYTES]; /* looks may be opened side by side */

static struct rocks_kv *of(struct kv *kv) {
    return CONTAINER_OF(kv, struct rocks_kv, kv);
}

static enum err error_of(const char *message) {
    return strncmp(message, "Corruption", 10) == 0 ? ERR_CORRUPT : ERR_IO;
}

/* Takes RocksDB's message over. */
static enum err fail(struct rocks_kv *rocks, char *message) {
    enum err err = error_of(message);

    snprintf(rocks->error, sizeof(rocks->error), "%s", message);
    rocksdb_free(message);
    return err;
}

static enum err rocks_get(struct kv *kv, enum kv_space space, struct slice key, struct buf *out) {
    struct rocks_kv *rocks = of(kv);
    char *message = NULL;
    /* Pinned: the value is copied once, from the block cache into the caller's buffer. */
    rocksdb_pinnableslice_t *found = rocksdb_get_pinned_cf(
        rocks->db, rocks->read, rocks->spaces[space], key.ptr, key.len, &message);

    if (message)
        return fail(rocks, message);
    if (!found)
        return ERR_NOT_FOUND;
    size_t len;
    const char *value = rocksdb_pinnableslice_value(found, &len);
    buf_add(out, value, len);
    rocksdb_pinnableslice_destroy(found);
    return buf_failed(out) ? ERR_NO_MEMORY : ERR_OK;
}

static enum err rocks_seek(struct kv *kv, enum kv_space space, struct slice from,
                           struct buf *out_key, struct buf *out_value) {
    struct rocks_kv *rocks = of(kv);

    if (!rocks->iterators[space])
        rocks->iterators[space] =
            rocksdb_create_iterator_cf(rocks->db, rocks->read, rocks->spaces[space]);
    rocksdb_iterator_t *it = rocks->iterators[space];
    rocksdb_iter_seek(it, from.ptr, from.len);
    if (!rocksdb_iter_valid(it)) {
        char *message = NULL;

        rocksdb_iter_get_error(it, &message);
        return message ? fail(rocks, message) : ERR_NOT_FOUND;
    }
    size_t len;
    const char *bytes = rocksdb_iter_key(it, &len);
    buf_clear(out_key);
    buf_add(out_key, bytes, len);
    bytes = rocksdb_iter_value(it, &len);
    buf_clear(out_value);
    buf_add(out_value, bytes, len);
    return buf_failed(out_key) || buf_failed(out_value) ? ERR_NO_MEMORY : ERR_OK;
}

static void mark(struct rocks_kv *rocks) {
    char marker[ROCKS_MARKER_BYTES];

    rocks_marker_write(marker, rocks->synced_seq);
    rocksdb_writebatch_put_log_data(rocks->batch, marker, sizeof(marker));
    rocks->marked_seq = rocks->synced_seq;
}

/* Before every write staged: the first one is led by the marker. */
static struct rocks_kv *stage(struct kv *kv) {
    struct rocks_kv *rocks = of(kv);

    if (!rocks->staged)
        mark(rocks);
    rocks->staged = true;
    return rocks;
}

static void rocks_put(struct kv *kv, enum kv_space space, struct slice key, struct slice value) {
    struct rocks_kv *rocks = stage(kv);

    rocksdb_writebatch_put_cf(rocks->batch, rocks->spaces[space], key.ptr, key.len, value.ptr,
                              value.len);
}

static void rocks_del(struct kv *kv, enum kv_space space, struct slice key) {
    struct rocks_kv *rocks = stage(kv);

    rocksdb_writebatch_delete_cf(rocks->batch, rocks->spaces[space], key.ptr, key.len);
}

static void rocks_del_range(struct kv *kv, enum kv_space space, struct slice from,
                            struct slice to) {
    struct rocks_kv *rocks = stage(kv);

    assert(space != KV_COUNTER);
    rocksdb_writebatch_delete_range_cf(rocks->batch, rocks->spaces[space], from.ptr, from.len,
                                       to.ptr, to.len);
}

static void drop_iterators(struct rocks_kv *rocks) {
    for (size_t i = 0; i < KV_SPACES; i++) {
        if (rocks->iterators[i])
            rocksdb_iter_destroy(rocks->iterators[i]);
        rocks->iterators[i] = NULL;
    }
}

/* After a failed write or fsync nobody knows what is on disk, and a second fsync may report
 * success over lost pages (Rebello et al., ATC'20): the store is finished. */
static enum err finish(struct rocks_kv *rocks, char *message) {
    (void)fail(rocks, message);
    rocks->failed = true;
    return ERR_IO;
}

static void all_synced(struct rocks_kv *rocks) {
    rocks->synced_seq = rocksdb_get_latest_sequence_number(rocks->db);
    rocks->dirty = false;
}

static enum err rocks_sync(struct kv *kv) {
    struct rocks_kv *rocks = of(kv);
    char *message = NULL;

    if (rocks->failed)
        return ERR_IO;
    if (!rocks->dirty)
        return ERR_OK;
    rocksdb_flush_wal(rocks->db, 1, &message);
    if (message)
        return finish(rocks, message);
    all_synced(rocks);
    return ERR_OK;
}

static void drop_staged(struct rocks_kv *rocks) {
    rocksdb_writebatch_clear(rocks->batch);
    rocks->staged = false;
}

static enum err write_batch(struct rocks_kv *rocks, bool durable) {
    char *message = NULL;

    if (rocks->marked_seq != rocks->synced_seq)
        mark(rocks); /* a sync came between */
    drop_iterators(rocks);
    rocksdb_write(rocks->db, durable ? rocks->write_durable : rocks->write_fast, rocks->batch,
                  &message);
    drop_staged(rocks);
    if (message)
        return finish(rocks, message);
    if (durable)
        all_synced(rocks);
    else
        rocks->dirty = true;
    return ERR_OK;
}

static enum err rocks_commit(struct kv *kv, bool durable) {
    struct rocks_kv *rocks = of(kv);

    if (rocks->failed) {
        drop_staged(rocks);
        return ERR_IO;
    }
    if (!rocks->staged)
        return durable ? rocks_sync(kv) : ERR_OK;
    return write_batch(rocks, durable);
}

/* ---- beside the owner ---- */

static enum err scan_end(rocksdb_iterator_t *it) {
    char *message = NULL;

    rocksdb_iter_get_error(it, &message);
    if (!message)
        return ERR_OK;
    enum err err = error_of(message);
    rocksdb_free(message);
    return err;
}

/* An iterator of its own: the owner's aren't to be shared, and it holds no old files for longer
 * than this takes. */
static enum err rocks_scan(const struct kv_scanner *scanner, enum kv_space space, struct slice from,
                           bool (*take)(void *ctx, struct slice key, struct slice value),
                           void *ctx) {
    const struct rocks_kv *rocks = CONTAINER_OF(scanner, struct rocks_kv, scanner);
    rocksdb_iterator_t *it =
        rocksdb_create_iterator_cf(rocks->db, rocks->read, rocks->spaces[space]);
    bool more = true;

    assert(space != KV_COUNTER);
    rocksdb_iter_seek(it, from.ptr, from.len);
    while (more && rocksdb_iter_valid(it)) {
        size_t key_len;
        size_t value_len;
        const char *key = rocksdb_iter_key(it, &key_len);
        const char *value = rocksdb_iter_value(it, &value_len);

        more = take(ctx, slice_of(key, key_len), slice_of(value, value_len));
        if (more)
            rocksdb_iter_next(it);
    }
    enum err err = scan_end(it);
    rocksdb_iter_destroy(it);
    return err;
}

static const struct kv_ops ops = {
    .get = rocks_get,
    .seek = rocks_seek,
    .put = rocks_put,
    .del = rocks_del,
    .del_range = rocks_del_range,
    .commit = rocks_commit,
    .sync = rocks_sync,
};

/* What RocksDB says when it can't open, in our terms. Its messages are the only thing the C
 * interface gives. */
static enum err explain_open(const struct data_folder *folder, const char *message) {
    enum err err = ERR_CORRUPT;
    const char *advice = "restore the folder from a backup, or start with another --data; the "
                         "files are evidence, keep them";

    if (strstr(message, "While lock file") || strstr(message, "lock hold by")) {
        err = ERR_LOCKED;
        advice = "stop the other process or use another --data";
    } else if (strstr(message, "Column families not opened")) {
        err = ERR_NEWER;
        advice = "start the version that wrote it";
    } else if (strstr(message, "No space left") || strstr(message, "File too large")) {
        err = ERR_IO;
        advice = "free space on its file system and start again";
    } else if (strncmp(message, "IO error", 8) == 0 && !strstr(message, "No such file")) {
        err = ERR_IO;
        advice = "check the disk and the folder's permissions";
    }
    snprintf(open_detail, sizeof(open_detail), "the data folder %s can't be opened (%s): %s",
             folder->path, message, advice);
    return err;
}

static enum err open_db(struct rocks_kv *rocks, const struct rocks_kv_conf *conf) {
    struct rocks_options options;
    char *message = NULL;

    rocks_options_init(&options, conf, rocks->folder.creating ? ROCKS_MAKE : ROCKS_OWN);
    rocks->db =
        rocksdb_open_column_families(options.db, rocks->folder.path, KV_SPACES, rocks_space_names,
                                     options.spaces, rocks->spaces, &message);
    rocks_options_release(&options);
    if (!message)
        return ERR_OK;
    enum err err = explain_open(&rocks->folder, message);
    rocksdb_free(message);
    return err;
}

static void init_writer(struct rocks_kv *rocks) {
    rocks->kv.ops = &ops;
    rocks->scanner.scan = rocks_scan;
    rocks->batch = rocksdb_writebatch_create();
    rocks->read = rocksdb_readoptions_create();
    /* The order of keys over a hashed memtable too. */
    rocksdb_readoptions_set_total_order_seek(rocks->read, 1);
    rocks->write_fast = rocksdb_writeoptions_create();
    rocks->write_durable = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write_durable, 1);
}

static enum err open_all(struct rocks_kv *rocks, const char *folder,
                         const struct rocks_kv_conf *conf) {
    enum err err = data_folder_open(&rocks->folder, folder, open_detail, sizeof(open_detail));

    if (err == ERR_OK)
        err = wal_check(rocks->folder.path, rocks_live_log, open_detail, sizeof(open_detail));
    if (err == ERR_OK)
        err = open_db(rocks, conf);
    if (err == ERR_OK)
        err = data_folder_ready(&rocks->folder, open_detail, sizeof(open_detail));
    if (err == ERR_OK)
        all_synced(rocks); /* recovery has written the whole log into synced tables */
    return err;
}

static struct rocks_kv *make(const char **out_detail) {
    struct rocks_kv *rocks = calloc(1, sizeof(*rocks));

    *out_detail = open_detail;
    if (!rocks) {
        snprintf(open_detail, sizeof(open_detail), "out of memory");
        return NULL;
    }
    data_folder_init(&rocks->folder);
    init_writer(rocks);
    return rocks;
}

/* Gives it to the caller, or closes it. */
static enum err hand_over(struct rocks_kv *rocks, enum err err, struct rocks_kv **out) {
    if (err == ERR_OK)
        *out = rocks;
    else
        rocks_kv_close(rocks);
    return err;
}

enum err rocks_kv_open(const char *folder, const struct rocks_kv_conf *conf, struct rocks_kv **out,
                       const char **out_detail) {
    struct rocks_kv *rocks = make(out_detail);

    return rocks ? hand_over(rocks, open_all(rocks, folder, conf), out) : ERR_NO_MEMORY;
}

static enum err look_failed(const struct rocks_kv *rocks, char *message) {
    enum err err = strstr(message, "No such file") ? ERR_BUSY : error_of(message);

    snprintf(open_detail, sizeof(open_detail), "the data folder %s can't be read (%s)",
             rocks->folder.path, message);
    rocksdb_free(message);
    return err;
}

/* RocksDB's "secondary instance": it follows the owner's manifest, tables and log. It wants a
 * folder for a log of its own; that is gone again before this returns, as nothing more is written
 * to it. */
static enum err look(struct rocks_kv *rocks, const char *scratch) {
    struct rocks_options options;
    char *message = NULL;

    rocks_options_init(&options, &(struct rocks_kv_conf){0}, ROCKS_LOOK);
    rocks->db = rocksdb_open_as_secondary_column_families(options.db, rocks->folder.path, scratch,
                                                          KV_SPACES, rocks_space_names,
                                                          options.spaces, rocks->spaces, &message);
    rocks_options_release(&options);
    return message ? look_failed(rocks, message) : ERR_OK;
}

static bool make_scratch(char out[PATH_MAX], const char *parent) {
    (void)snprintf(out, PATH_MAX, "%s/highgopress-look-XXXXXX", parent);
    return mkdtemp(out) != NULL;
}

/* The store's own folder is for where there is no other, as in a container that is read-only: who
 * looks may not be its owner. */
static enum err look_from(struct rocks_kv *rocks) {
    const char *tmp = getenv("TMPDIR");
    char scratch[PATH_MAX];

    if (!tmp || !tmp[0])
        tmp = "/tmp";
    if (!make_scratch(scratch, tmp) && !make_scratch(scratch, rocks->folder.path)) {
        snprintf(open_detail, sizeof(open_detail),
                 "a folder can't be made (%s), neither in %s (TMPDIR) nor in %s: to look at a "
                 "store takes one of them for a moment",
                 strerror(errno), tmp, rocks->folder.path);
        return ERR_IO;
    }
    enum err err = look(rocks, scratch);
    char log[PATH_MAX + 8];
    (void)snprintf(log, sizeof(log), "%s/LOG", scratch);
    (void)unlink(log);
    (void)rmdir(scratch);
    return err;
}

enum err rocks_kv_look(const char *folder, struct rocks_kv **out, const char **out_detail) {
    struct rocks_kv *rocks = make(out_detail);

    if (!rocks)
        return ERR_NO_MEMORY;
    enum err err = data_folder_look(&rocks->folder, folder, open_detail, sizeof(open_detail));
    return hand_over(rocks, err == ERR_OK ? look_from(rocks) : err, out);
}

enum err rocks_kv_look_again(struct rocks_kv *rocks, const char **out_detail) {
    char *message = NULL;

    drop_iterators(rocks);
    rocksdb_try_catch_up_with_primary(rocks->db, &message);
    *out_detail = open_detail;
    return message ? look_failed(rocks, message) : ERR_OK;
}

void rocks_kv_close(struct rocks_kv *rocks) {
    if (!rocks)
        return;
    drop_iterators(rocks);
    rocksdb_writebatch_destroy(rocks->batch);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_writeoptions_destroy(rocks->write_fast);
    rocksdb_writeoptions_destroy(rocks->write_durable);
    for (size_t i = 0; rocks->db && i < KV_SPACES; i++)
        rocksdb_column_family_handle_destroy(rocks->spaces[i]);
    if (rocks->db)
        rocksdb_close(rocks->db);
    data_folder_release(&rocks->folder); /* last: the lock covers all of the above */
    free(rocks);
}

enum err rocks_kv_backup(const struct rocks_kv *rocks, const char *folder) {
    enum err err = rocks_checkpoint(rocks->db, folder);

    return err == ERR_OK ? data_folder_mark(&rocks->folder, folder) : err;
}

struct kv *rocks_kv_view(struct rocks_kv *rocks) {
    return &rocks->kv;
}

const struct kv_scanner *rocks_kv_scanner(const struct rocks_kv *rocks) {
    return &rocks->scanner;
}

const char *rocks_kv_error(const struct rocks_kv *rocks) {
    return rocks->error;
}
