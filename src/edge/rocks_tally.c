/* rocks_tally.c - groups of tallies that grow by merge operands: counting reads nothing.
 *
 * One thread fills and writes the batches. While it has one, the owner reads by a snapshot that
 * was taken before.
 */
#include "edge/rocks_tally.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "base/log.h"
#include "core/tally_group.h"
#include "edge/rocks_checkpoint.h"
#include "edge/rocks_options.h"

#define DETAIL_BYTES     1024
#define BACKGROUND_JOBS  2
#define OPEN_FILES       256
#define BLOOM_BITS       10
#define INFO_LOG_HEADERS 5

struct rocks_tally {
    struct tally_store store;
    rocksdb_t *db;
    rocksdb_writeoptions_t *write;

    struct { /* the owner's */
        rocksdb_readoptions_t *read;
        const rocksdb_snapshot_t *before; /* the batch that is under way, NULL */
    } own;

    struct { /* the writer's; the owner's where no batch is under way */
        rocksdb_writebatch_t *staged;
        bool failed;
    } writer;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct tally_batch *batch; /* under the lock: to be written */
    bool stopping;
    enum err result;
};

static char open_detail[DETAIL_BYTES];

static struct rocks_tally *of(struct tally_store *store) {
    return CONTAINER_OF(store, struct rocks_tally, store);
}

static enum err fail(char *message) {
    enum err err = strncmp(message, "Corruption", 10) == 0 ? ERR_CORRUPT : ERR_IO;

    log_line(LOG_ERROR, "analytics: its store", LOG_STR("rocksdb", message));
    rocksdb_free(message);
    return err;
}

/* ---- the merge ---- */

struct operands {
    const char *first; /* what was there; NULL: nothing */
    size_t first_len;
    const char *const *others;
    const size_t *lengths;
    int count;
};

static struct slice operand(const struct operands *operands, int i) {
    return i < 0 ? slice_of(operands->first, operands->first_len)
                 : slice_of(operands->others[i], operands->lengths[i]);
}

/* '*out' is malloc()ed. */
static enum err merge_alone(const struct operands *operands, struct buf *out) {
    struct tally sum = {0};
    char record[TALLY_BYTES];

    for (int i = operands->first ? -1 : 0; i < operands->count; i++) {
        struct tally more;
        enum err err = tally_decode(operand(operands, i), &more);

        if (err != ERR_OK)
            return err;
        tally_add(&sum, more);
    }
    tally_encode(sum, record);
    buf_add(out, record, sizeof(record));
    return ERR_OK;
}

static enum err merge_groups(const struct operands *operands, struct buf *out) {
    struct tally_group group;

    group.has = group.sets = 0;
    for (int i = operands->first ? -1 : 0; i < operands->count; i++) {
        enum err err = tally_group_fold(&group, operand(operands, i));

        if (err != ERR_OK)
            return err;
    }
    tally_group_encode(&group, out);
    return ERR_OK;
}

static char *merge(struct slice key, const struct operands *operands, unsigned char *success,
                   size_t *out_len) {
    struct buf out = {0};
    enum err err = key.len && key.ptr[0] == TALLY_ALONE ? merge_alone(operands, &out)
                                                        : merge_groups(operands, &out);

    *success = err == ERR_OK && !buf_failed(&out);
    *out_len = out.len;
    return out.ptr;
}

/* RocksDB's own list of parameters: NOLINTNEXTLINE(readability-function-size) */
static char *full_merge(void *state, const char *key, size_t key_len, const char *existing,
                        size_t existing_len, const char *const *operands, const size_t *lengths,
                        int count, unsigned char *success, size_t *out_len) {
    struct operands all = {existing, existing_len, operands, lengths, count};

    (void)state;
    return merge(slice_of(key, key_len), &all, success, out_len);
}

/* RocksDB's own list of parameters: NOLINTNEXTLINE(readability-function-size) */
static char *partial_merge(void *state, const char *key, size_t key_len,
                           const char *const *operands, const size_t *lengths, int count,
                           unsigned char *success, size_t *out_len) {
    struct operands all = {NULL, 0, operands, lengths, count};

    (void)state;
    return merge(slice_of(key, key_len), &all, success, out_len);
}

static void free_value(void *state, const char *value, size_t len) {
    (void)state, (void)len;
    free((void *)(uintptr_t)value);
}

static void no_state(void *state) {
    (void)state;
}

static const char *merge_name(void *state) {
    (void)state;
    return "highgopress.tally"; /* RocksDB writes it into the folder: it can't change */
}

/* ---- operations ---- */

static enum err rocks_get(struct tally_store *store, struct slice key, struct buf *out) {
    struct rocks_tally *rocks = of(store);
    char *message = NULL;
    rocksdb_pinnableslice_t *found =
        rocksdb_get_pinned(rocks->db, rocks->own.read, key.ptr, key.len, &message);

    if (message)
        return fail(message);
    if (!found)
        return ERR_NOT_FOUND;
    size_t len;
    const char *value = rocksdb_pinnableslice_value(found, &len);
    buf_add(out, value, len);
    rocksdb_pinnableslice_destroy(found);
    return buf_failed(out) ? ERR_NO_MEMORY : ERR_OK;
}

static struct slice current_key(const rocksdb_iterator_t *it) {
    size_t len;
    const char *bytes = rocksdb_iter_key(it, &len);

    return slice_of(bytes, len);
}

static struct slice current_value(const rocksdb_iterator_t *it) {
    size_t len;
    const char *bytes = rocksdb_iter_value(it, &len);

    return slice_of(bytes, len);
}

struct tally_cursor {
    rocksdb_readoptions_t *bounded;
    rocksdb_iterator_t *it; /* has what was there, also when 'before' is released */
    struct buf to;          /* RocksDB looks at it until the end */
};

static void rocks_close_cursor(struct tally_cursor *cursor) {
    rocksdb_iter_destroy(cursor->it);
    rocksdb_readoptions_destroy(cursor->bounded);
    buf_release(&cursor->to);
    free(cursor);
}

static struct tally_cursor *rocks_cursor(struct tally_store *store, struct slice from,
                                         struct slice to) {
    struct rocks_tally *rocks = of(store);
    struct tally_cursor *cursor = calloc(1, sizeof(*cursor));

    if (cursor)
        buf_add_slice(&cursor->to, to);
    if (!cursor || buf_failed(&cursor->to)) {
        free(cursor);
        return NULL;
    }
    cursor->bounded = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(cursor->bounded, cursor->to.ptr, cursor->to.len);
    rocksdb_readoptions_set_fill_cache(cursor->bounded, 0);
    rocksdb_readoptions_set_snapshot(cursor->bounded, rocks->own.before);
    cursor->it = rocksdb_create_iterator(rocks->db, cursor->bounded);
    rocksdb_iter_seek(cursor->it, from.ptr, from.len);
    return cursor;
}

static enum err rocks_walk(struct tally_cursor *cursor,
                           bool (*take)(void *ctx, struct slice key, struct slice value), void *ctx,
                           bool *out_more) {
    char *message = NULL;
    bool more = true;

    while (more && rocksdb_iter_valid(cursor->it)) {
        more = take(ctx, current_key(cursor->it), current_value(cursor->it));
        rocksdb_iter_next(cursor->it);
    }
    *out_more = rocksdb_iter_valid(cursor->it);
    rocksdb_iter_get_error(cursor->it, &message);
    return message ? fail(message) : ERR_OK;
}

static enum err rocks_scan(struct tally_store *store, struct slice from, struct slice to,
                           bool (*take)(void *ctx, struct slice key, struct slice value),
                           void *ctx) {
    struct tally_cursor *cursor = rocks_cursor(store, from, to);
    bool more;

    if (!cursor)
        return ERR_NO_MEMORY;
    enum err err = rocks_walk(cursor, take, ctx, &more);
    rocks_close_cursor(cursor);
    return err;
}

static void rocks_put(struct tally_store *store, struct slice key, struct slice value) {
    rocksdb_writebatch_put(of(store)->writer.staged, key.ptr, key.len, value.ptr, value.len);
}

static void rocks_merge(struct tally_store *store, struct slice key, struct slice group) {
    rocksdb_writebatch_merge(of(store)->writer.staged, key.ptr, key.len, group.ptr, group.len);
}

static void rocks_del_range(struct tally_store *store, struct slice from, struct slice to) {
    rocksdb_writebatch_delete_range(of(store)->writer.staged, from.ptr, from.len, to.ptr, to.len);
}

/* ---- batches ---- */

/* A second try after a failed write or fsync may report success over lost pages: never. */
static enum err write_batch(struct rocks_tally *rocks, struct tally_batch *batch) {
    char *message = NULL;

    if (rocks->writer.failed)
        return ERR_IO;
    enum err err = batch->fill(batch, &rocks->store);
    if (err == ERR_OK) {
        rocksdb_write(rocks->db, rocks->write, rocks->writer.staged, &message);
        err = message ? fail(message) : ERR_OK;
    }
    rocksdb_writebatch_destroy(rocks->writer.staged); /* a large one isn't kept */
    rocks->writer.staged = rocksdb_writebatch_create();
    rocks->writer.failed = err != ERR_OK;
    return err;
}

static void *write_batches(void *arg) {
    struct rocks_tally *rocks = arg;

    pthread_mutex_lock(&rocks->lock);
    for (;;) {
        struct tally_batch *batch = rocks->batch;

        if (!batch && rocks->stopping)
            break;
        if (!batch) {
            pthread_cond_wait(&rocks->changed, &rocks->lock);
            continue;
        }
        pthread_mutex_unlock(&rocks->lock);
        enum err err = write_batch(rocks, batch);
        pthread_mutex_lock(&rocks->lock);
        rocks->result = err;
        rocks->batch = NULL;
        batch->ended(batch); /* under the lock: it has returned when end() does */
        pthread_cond_broadcast(&rocks->changed);
    }
    pthread_mutex_unlock(&rocks->lock);
    return NULL;
}

static void look_back(struct rocks_tally *rocks, const rocksdb_snapshot_t *snapshot) {
    rocksdb_readoptions_set_snapshot(rocks->own.read, snapshot);
    if (rocks->own.before)
        rocksdb_release_snapshot(rocks->db, rocks->own.before);
    rocks->own.before = snapshot;
}

static void rocks_begin(struct tally_store *store, struct tally_batch *batch) {
    struct rocks_tally *rocks = of(store);

    look_back(rocks, rocksdb_create_snapshot(rocks->db));
    pthread_mutex_lock(&rocks->lock);
    rocks->batch = batch;
    pthread_cond_broadcast(&rocks->changed);
    pthread_mutex_unlock(&rocks->lock);
}

static enum err rocks_end(struct tally_store *store, bool wait) {
    struct rocks_tally *rocks = of(store);

    if (!rocks->own.before)
        return ERR_OK;
    pthread_mutex_lock(&rocks->lock);
    while (wait && rocks->batch)
        pthread_cond_wait(&rocks->changed, &rocks->lock);
    enum err err = rocks->batch ? ERR_BUSY : rocks->result;
    pthread_mutex_unlock(&rocks->lock);
    if (err != ERR_BUSY)
        look_back(rocks, NULL);
    return err;
}

static const struct tally_store_ops ops = {
    .get = rocks_get,
    .cursor = rocks_cursor,
    .walk = rocks_walk,
    .close = rocks_close_cursor,
    .scan = rocks_scan,
    .begin = rocks_begin,
    .end = rocks_end,
    .put = rocks_put,
    .merge = rocks_merge,
    .del_range = rocks_del_range,
};

/* ---- open and close ---- */

static void set_table(rocksdb_options_t *options, size_t cache_bytes) {
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(cache_bytes);

    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1); /* bounded memory */
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache);
}

static rocksdb_options_t *make_options(const struct rocks_tally_conf *conf) {
    rocksdb_options_t *options = rocksdb_options_create();

    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_write_buffer_size(options, conf->write_buffer_bytes);
    rocksdb_options_set_max_total_wal_size(options, 2 * conf->write_buffer_bytes);
    rocksdb_options_set_max_open_files(options, OPEN_FILES);
    /* Folding operands as they are written looks each key up first: a third of all that counting
     * costs. They fold when the memtable is flushed, and when they are read. */
    rocksdb_options_set_max_successive_merges(options, 0);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    /* As in rocks_options.c: no timers in an idle service, no assertion after a failed write. */
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_info_log_level(options, INFO_LOG_HEADERS);
    /* The options take it over. */
    rocksdb_options_set_merge_operator(
        options, rocksdb_mergeoperator_create(NULL, no_state, full_merge, partial_merge, free_value,
                                              merge_name));
    set_table(options, conf->block_cache_bytes);
    return rocks_options_track_logs(options);
}

static enum err explain_open(const char *folder, char *message) {
    bool locked = strstr(message, "While lock file") || strstr(message, "lock hold by");
    enum err err =
        locked ? ERR_LOCKED : (strncmp(message, "IO error", 8) == 0 ? ERR_IO : ERR_CORRUPT);

    snprintf(open_detail, sizeof(open_detail),
             "the folder of analytics %s can't be opened (%s): %s", folder, message,
             locked ? "stop the other process or use another --data"
                    : "check the disk; removed, analytics begins anew with the events that the "
                      "outbox still has");
    rocksdb_free(message);
    return err;
}

static bool start_writer(struct rocks_tally *rocks) {
    (void)pthread_mutex_init(&rocks->lock, NULL);
    (void)pthread_cond_init(&rocks->changed, NULL);
    if (pthread_create(&rocks->thread, NULL, write_batches, rocks) != 0)
        return false;
    (void)pthread_setname_np(rocks->thread, "hgp-tally");
    return true;
}

static void release(struct rocks_tally *rocks) {
    rocksdb_writebatch_destroy(rocks->writer.staged);
    rocksdb_readoptions_destroy(rocks->own.read);
    rocksdb_writeoptions_destroy(rocks->write);
    rocksdb_close(rocks->db);
    (void)pthread_cond_destroy(&rocks->changed);
    (void)pthread_mutex_destroy(&rocks->lock);
    free(rocks);
}

enum err rocks_tally_open(const char *folder, const struct rocks_tally_conf *conf,
                          struct rocks_tally **out, const char **out_detail) {
    struct rocks_tally *rocks = calloc(1, sizeof(*rocks));
    char *message = NULL;

    *out_detail = err_text(ERR_NO_MEMORY);
    if (!rocks)
        return ERR_NO_MEMORY;
    *out_detail = open_detail;
    rocksdb_options_t *options = make_options(conf);
    rocks->db = rocksdb_open(options, folder, &message);
    rocksdb_options_destroy(options);
    if (message) {
        free(rocks);
        return explain_open(folder, message);
    }
    rocks->store.ops = &ops;
    rocks->own.read = rocksdb_readoptions_create();
    rocks->writer.staged = rocksdb_writebatch_create();
    rocks->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write, 1);
    if (!start_writer(rocks)) {
        release(rocks);
        *out_detail = err_text(ERR_NO_MEMORY);
        return ERR_NO_MEMORY;
    }
    *out = rocks;
    return ERR_OK;
}

void rocks_tally_close(struct rocks_tally *rocks) {
    if (!rocks)
        return;
    (void)rocks_end(&rocks->store, true);
    pthread_mutex_lock(&rocks->lock);
    rocks->stopping = true;
    pthread_cond_broadcast(&rocks->changed);
    pthread_mutex_unlock(&rocks->lock);
    (void)pthread_join(rocks->thread, NULL);
    release(rocks);
}

enum err rocks_tally_backup(const struct rocks_tally *rocks, const char *folder) {
    return rocks_checkpoint(rocks->db, folder);
}

struct tally_store *rocks_tally_view(struct rocks_tally *rocks) {
    return &rocks->store;
}

/* RocksDB writes it once, when it makes the folder; its C interface has no way to ask for it. */
static FILE *open_name(const char *folder, const char *mode) {
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/IDENTITY", folder);
    return fopen(path, mode);
}

enum err rocks_tally_name(const char *folder, char out[ROCKS_TALLY_NAME_BYTES]) {
    FILE *file = open_name(folder, "re");

    if (!file)
        return ERR_IO;
    bool ok = fgets(out, ROCKS_TALLY_NAME_BYTES, file) != NULL;
    (void)fclose(file);
    out[strcspn(out, "\n")] = '\0';
    return ok && out[0] ? ERR_OK : ERR_IO;
}

enum err rocks_tally_rename(const char *folder, const char *name) {
    FILE *file = open_name(folder, "we");

    if (!file)
        return ERR_IO;
    bool ok = fputs(name, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    return fclose(file) == 0 && ok ? ERR_OK : ERR_IO;
}

static bool sync_parent(const char *folder) {
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/..", folder);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

enum err rocks_tally_exchange(const char *folder, const char *other) {
    if (renameat2(AT_FDCWD, folder, AT_FDCWD, other, RENAME_EXCHANGE) != 0)
        return ERR_IO;
    return sync_parent(folder) ? ERR_OK : ERR_IO;
}

enum err rocks_tally_remove(const char *folder) {
    rocksdb_options_t *options;
    char *message = NULL;

    if (access(folder, F_OK) != 0)
        return ERR_OK;
    options = rocksdb_options_create();
    rocksdb_destroy_db(options, folder, &message);
    rocksdb_options_destroy(options);
    return message ? fail(message) : ERR_OK;
}
