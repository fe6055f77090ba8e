/* rocks_options.c - RocksDB's settings, each with its reason. */
#include "edge/rocks_options.h"

#include <assert.h>

#define BACKGROUND_JOBS         2 /* one flush and one compaction: the loops want the cores */
#define WRITE_BUFFERS           3 /* one fills, one is flushed, one spare for a slow disk */
#define OPEN_FILES              512
#define INFO_LOG_BYTES          (1u << 20)
#define INFO_LOGS               4
#define INFO_LOG_HEADERS        5
#define BLOOM_BITS              10
#define LOOK_OPENS              1   /* tables at a time, by threads made for it at every look */
#define BUFFER_BYTES_PER_BUCKET 256 /* of a hashed memtable; 1/32 of it are pointers then */
#define DEFAULT_CACHE_BYTES     ((size_t)64 << 20)
#define DEFAULT_BUFFER_BYTES    ((size_t)32 << 20)

static void set_durability(rocksdb_options_t *options) {
    /* wal_check.c has judged and cut the log before RocksDB sees it, so what is left must be
     * whole. The other modes skip damage in silence. */
    rocksdb_options_set_wal_recovery_mode(options, rocksdb_absolute_consistency_recovery);
    rocksdb_options_set_paranoid_checks(options, 1);
    /* A recycled file ends in old records, which would make a torn tail undecidable. */
    rocksdb_options_set_recycle_log_file_num(options, 0);
    rocksdb_options_set_manual_wal_flush(options, 0);
    rocksdb_options_set_wal_compression(options, rocksdb_no_compression);
    rocksdb_options_set_use_fsync(options, 0); /* fdatasync writes the length too */
    /* A commit spans families, so none of them may reach its tables alone. */
    rocksdb_options_set_atomic_flush(options, 1);
}

static void set_threads(rocksdb_options_t *options) {
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    /* One writer: nothing to hand over between threads and nobody to spin for. */
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
    rocksdb_options_set_enable_write_thread_adaptive_yield(options, 0);
    rocksdb_options_set_enable_pipelined_write(options, 0);
    rocksdb_options_set_unordered_write(options, 0);
    /* Each of these would keep a timer running in an idle service. */
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
}

static void set_sizes(rocksdb_options_t *options, size_t buffer_bytes) {
    rocksdb_options_set_write_buffer_size(options, buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(options, WRITE_BUFFERS);
    /* All families together: bounds memory, the log and so the time to recover. */
    rocksdb_options_set_db_write_buffer_size(options, 2 * buffer_bytes);
    rocksdb_options_set_max_total_wal_size(options, 2 * buffer_bytes);
    rocksdb_options_set_max_open_files(options, OPEN_FILES);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1); /* opens faster */
    /* Only what it says at open. Debian builds RocksDB with its assertions on, and its log
     * asserts when it writes on after a failed write: a full disk would abort the process.
     * What goes wrong reaches us as a status anyway. */
    rocksdb_options_set_info_log_level(options, INFO_LOG_HEADERS);
    rocksdb_options_set_max_log_file_size(options, INFO_LOG_BYTES);
    rocksdb_options_set_keep_log_file_num(options, INFO_LOGS);
    /* Which compression libraries RocksDB was built with must not decide whether a folder
     * written on one machine opens on another. */
    rocksdb_options_set_compression(options, rocksdb_no_compression);
}

static void set_looking(rocksdb_options_t *options) {
    /* The owner may delete what it holds open. */
    rocksdb_options_set_max_open_files(options, -1);
    /* Else sixteen threads begin and end for each family at every look. */
    rocksdb_options_set_max_file_opening_threads(options, LOOK_OPENS);
    /* The owner may be in the middle of a record. */
    rocksdb_options_set_wal_recovery_mode(options, rocksdb_point_in_time_recovery);
}

static void set_table(rocksdb_options_t *options, rocksdb_cache_t *cache, bool bloom) {
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1); /* bounded memory */
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    if (bloom) /* the table options take the policy over */
        rocksdb_block_based_options_set_filter_policy(
            table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

/* These spaces are written at random and read by whole keys, and a commit adds a version of each
 * counter it touches: in a skip list every one of them is a walk through cold memory. A hash table
 * by whole key ("prefix" = key) made an increment 3x cheaper (bench/store.c: 7.9 -> 2.5 us). Its
 * price is a sort at each flush, in the background, and of all that is in memory at each scan,
 * which only tools do. They look beside the owner, with memtables of their own, which are skip
 * lists: what they read in thousands of parts would be sorted for each of them. */
static void set_hashed_memtable(rocksdb_options_t *options, size_t buffer_bytes,
                                enum rocks_use use) {
    rocksdb_options_set_prefix_extractor(options, rocksdb_slicetransform_create_noop());
    if (use != ROCKS_LOOK)
        rocksdb_options_set_hash_link_list_rep(options, buffer_bytes / BUFFER_BYTES_PER_BUCKET);
}

/* A counter's record is overwritten where it is in memory: a hot counter is there once, not once
 * for each commit, and a flush, which sorts, has so much less to sort. With 100,000 counters an
 * increment is 1.9x cheaper (bench/store.c: 2.2 -> 1.2 us). What RocksDB wants for it holds in
 * this space alone: one writer, nobody who reads beside it (kv_scanner) or an older state
 * (iterators live until the next commit, rocks_kv.c), and no deletes by range, which would hide
 * what is overwritten behind them, as it keeps its old sequence number. Records are of one length;
 * a longer one is added. */
static void set_overwritten(rocksdb_options_t *options) {
    rocksdb_options_set_inplace_update_support(options, 1);
    rocksdb_options_set_inplace_update_num_locks(options, 1); /* nobody to wait for */
}

/* Takes 'options' over. What the C interface has no function for. */
static rocksdb_options_t *with(rocksdb_options_t *options, const char *setting) {
    rocksdb_options_t *changed = rocksdb_options_create();
    char *message = NULL;

    rocksdb_get_options_from_string(options, setting, changed, &message);
    assert(!message);
    rocksdb_options_destroy(options);
    return changed;
}

rocksdb_options_t *rocks_options_track_logs(rocksdb_options_t *options) {
    return with(options, "track_and_verify_wals_in_manifest=true");
}

/* A commit writes a few keys of each lane it touches, each right beside the one that the commit
 * before wrote there. RocksDB remembers where the last key with the same first bytes went and looks
 * from there, not from the top of the skip list; so these must tell apart what grows on its own:
 *     meta      "lane", number
 *     outbox    lane
 *     windows   lane, producer, number / 256: the newest, and apart the oldest, which are deleted
 * In messages of 16 an increment is 18,300 instructions instead of 26,000 (bench/store.c). */
#define HINT         "memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix."
#define HINT_META    HINT "8"
#define HINT_OUTBOX  HINT "4"
#define HINT_WINDOWS HINT "27"

void rocks_options_init(struct rocks_options *options, const struct rocks_kv_conf *conf,
                        enum rocks_use use) {
    size_t cache_bytes = conf->block_cache_bytes ? conf->block_cache_bytes : DEFAULT_CACHE_BYTES;
    size_t buffer_bytes =
        conf->write_buffer_bytes ? conf->write_buffer_bytes : DEFAULT_BUFFER_BYTES;
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(cache_bytes);

    options->db = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options->db, use == ROCKS_MAKE);
    rocksdb_options_set_create_missing_column_families(options->db, use == ROCKS_MAKE);
    set_durability(options->db);
    set_threads(options->db);
    set_sizes(options->db, buffer_bytes);
    if (use == ROCKS_LOOK)
        set_looking(options->db);

    options->db = rocks_options_track_logs(options->db);

    options->meta = with(rocksdb_options_create_copy(options->db), HINT_META);
    set_table(options->meta, cache, false);
    options->outbox = with(rocksdb_options_create_copy(options->db), HINT_OUTBOX);
    set_table(options->outbox, cache, false);
    options->windows = with(rocksdb_options_create_copy(options->db), HINT_WINDOWS);
    set_table(options->windows, cache, true);
    options->hashed = rocksdb_options_create_copy(options->db);
    set_table(options->hashed, cache, true);
    set_hashed_memtable(options->hashed, buffer_bytes, use);
    options->counters = rocksdb_options_create_copy(options->hashed);
    set_overwritten(options->counters);
    /* A new counter, part or idempotency key is looked up before it is there: the filter
     * answers without reading the disk. */
    options->spaces[KV_META] = options->meta;
    options->spaces[KV_COUNTER] = options->counters;
    options->spaces[KV_WINDOW] = options->windows;
    options->spaces[KV_KEY] = options->hashed;
    options->spaces[KV_OUTBOX] = options->outbox;
    rocksdb_cache_destroy(cache);
}

void rocks_options_release(struct rocks_options *options) {
    rocksdb_options_destroy(options->counters);
    rocksdb_options_destroy(options->hashed);
    rocksdb_options_destroy(options->windows);
    rocksdb_options_destroy(options->outbox);
    rocksdb_options_destroy(options->meta);
    rocksdb_options_destroy(options->db);
}
