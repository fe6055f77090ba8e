/* rocks_tally.c - tallies that grow by merge operands: counting reads nothing. */
#include "edge/rocks_tally.h"

#include <stdio.h>
#include <stdlib.h>

#include <rocksdb/c.h>

#include "edge/rocks_options.h"

#define ERROR_BYTES      512
#define BACKGROUND_JOBS  2
#define OPEN_FILES       256
#define BLOOM_BITS       10
#define INFO_LOG_HEADERS 5

struct rocks_tally {
    struct tally_store store;
    rocksdb_t *db;
    rocksdb_writebatch_t *batch;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    bool failed;
    char error[ERROR_BYTES];
};

static char open_detail[2 * ERROR_BYTES];

static struct rocks_tally *of(struct tally_store *store) {
    return CONTAINER_OF(store, struct rocks_tally, store);
}

static enum err fail(struct rocks_tally *rocks, char *message) {
    enum err err = strncmp(message, "Corruption", 10) == 0 ? ERR_CORRUPT : ERR_IO;

    snprintf(rocks->error, sizeof(rocks->error), "%s", message);
    rocksdb_free(message);
    return err;
}

/* ---- the merge ---- */

static bool add_operand(struct tally *sum, const char *bytes, size_t len) {
    struct tally more;

    if (tally_decode(slice_of(bytes, len), &more) != ERR_OK)
        return false;
    tally_add(sum, more);
    return true;
}

static char *merge(const struct tally *first, const char *const *operands, const size_t *lengths,
                   int count, unsigned char *success, size_t *out_len) {
    struct tally sum = *first;
    char *out = malloc(TALLY_BYTES);

    *success = out != NULL;
    for (int i = 0; i < count; i++)
        if (!add_operand(&sum, operands[i], lengths[i]))
            *success = 0;
    if (out)
        tally_encode(sum, out);
    *out_len = TALLY_BYTES;
    return out;
}

/* RocksDB's own list of parameters: NOLINTNEXTLINE(readability-function-size) */
static char *full_merge(void *state, const char *key, size_t key_len, const char *existing,
                        size_t existing_len, const char *const *operands, const size_t *lengths,
                        int count, unsigned char *success, size_t *out_len) {
    struct tally first = {0};

    (void)state, (void)key, (void)key_len;
    if (existing && !add_operand(&first, existing, existing_len))
        count = 0;
    char *out = merge(&first, operands, lengths, count, success, out_len);
    if (existing && existing_len != TALLY_BYTES)
        *success = 0;
    return out;
}

/* RocksDB's own list of parameters: NOLINTNEXTLINE(readability-function-size) */
static char *partial_merge(void *state, const char *key, size_t key_len,
                           const char *const *operands, const size_t *lengths, int count,
                           unsigned char *success, size_t *out_len) {
    (void)state, (void)key, (void)key_len;
    return merge(&(struct tally){0}, operands, lengths, count, success, out_len);
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
        rocksdb_get_pinned(rocks->db, rocks->read, key.ptr, key.len, &message);

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

static enum err rocks_scan(struct tally_store *store, struct slice from, struct slice to,
                           bool (*take)(void *ctx, struct slice key, struct slice value),
                           void *ctx) {
    struct rocks_tally *rocks = of(store);
    rocksdb_readoptions_t *bounded = rocksdb_readoptions_create();
    char *message = NULL;

    rocksdb_readoptions_set_iterate_upper_bound(bounded, to.ptr, to.len);
    rocksdb_readoptions_set_fill_cache(bounded, 0);
    rocksdb_iterator_t *it = rocksdb_create_iterator(rocks->db, bounded);
    rocksdb_iter_seek(it, from.ptr, from.len);
    while (rocksdb_iter_valid(it) && take(ctx, current_key(it), current_value(it)))
        rocksdb_iter_next(it);
    rocksdb_iter_get_error(it, &message);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(bounded);
    return message ? fail(rocks, message) : ERR_OK;
}

static void rocks_put(struct tally_store *store, struct slice key, struct slice value) {
    rocksdb_writebatch_put(of(store)->batch, key.ptr, key.len, value.ptr, value.len);
}

static void rocks_add(struct tally_store *store, struct slice key, struct tally more) {
    char operand[TALLY_BYTES];

    tally_encode(more, operand);
    rocksdb_writebatch_merge(of(store)->batch, key.ptr, key.len, operand, sizeof(operand));
}

static void rocks_del_range(struct tally_store *store, struct slice from, struct slice to) {
    rocksdb_writebatch_delete_range(of(store)->batch, from.ptr, from.len, to.ptr, to.len);
}

/* A second try after a failed write or fsync may report success over lost pages: never. */
static enum err rocks_commit(struct tally_store *store) {
    struct rocks_tally *rocks = of(store);
    char *message = NULL;

    if (rocks->failed)
        return ERR_IO;
    rocksdb_write(rocks->db, rocks->write, rocks->batch, &message);
    rocksdb_writebatch_clear(rocks->batch);
    rocks->failed = message != NULL;
    return message ? fail(rocks, message) : ERR_OK;
}

static const struct tally_store_ops ops = {
    .get = rocks_get,
    .scan = rocks_scan,
    .put = rocks_put,
    .add = rocks_add,
    .del_range = rocks_del_range,
    .commit = rocks_commit,
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
    rocks->batch = rocksdb_writebatch_create();
    rocks->read = rocksdb_readoptions_create();
    rocks->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write, 1);
    *out = rocks;
    return ERR_OK;
}

void rocks_tally_close(struct rocks_tally *rocks) {
    if (!rocks)
        return;
    rocksdb_writebatch_destroy(rocks->batch);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_writeoptions_destroy(rocks->write);
    rocksdb_close(rocks->db);
    free(rocks);
}

struct tally_store *rocks_tally_view(struct rocks_tally *rocks) {
    return &rocks->store;
}

const char *rocks_tally_error(const struct rocks_tally *rocks) {
    return rocks->error;
}
