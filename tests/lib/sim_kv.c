/* sim_kv.c - sorted arrays, and the batches since the last sync as a log. */
#include "sim_kv.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: sim_kv: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct record {
    char *bytes; /* key, then value */
    size_t key_len;
    size_t value_len;
};

struct table {
    struct record *records;
    size_t count;
    size_t cap;
};

struct state {
    struct table spaces[KV_SPACES];
};

enum write_kind { WRITE_PUT, WRITE_DEL, WRITE_DEL_RANGE };

struct write {
    enum write_kind kind;
    enum kv_space space;
    size_t first_len;
    size_t second_len;
}; /* followed by both strings */

struct sim_kv {
    struct kv kv;
    struct kv_scanner scanner;
    struct state durable;
    struct state now;
    struct buf staged;
    struct buf *log; /* commits since the last sync */
    size_t log_count;
    size_t log_cap;
    bool fail_commit;
    bool fail_applied;
    unsigned fail_read; /* reads until one fails, counting it; 0: none */
    bool finished;      /* ERR_IO was returned by a commit */
    struct sim_kv_stats stats;
};

static struct slice record_key(const struct record *record) {
    return slice_of(record->bytes, record->key_len);
}

static struct slice record_value(const struct record *record) {
    return slice_of(record->bytes + record->key_len, record->value_len);
}

static int compare(struct slice a, struct slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* The first record at or behind 'key'. */
static size_t lower_bound(const struct table *table, struct slice key) {
    size_t low = 0;
    size_t high = table->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(record_key(&table->records[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct table *table, size_t at, struct slice key) {
    return at < table->count && compare(record_key(&table->records[at]), key) == 0;
}

static void remove_run(struct table *table, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        free(table->records[i].bytes);
    if (to > from)
        memmove(table->records + from, table->records + to,
                (table->count - to) * sizeof(*table->records));
    table->count -= to - from;
}

static struct record make_record(struct slice key, struct slice value) {
    struct record record = {malloc(key.len + value.len + 1), key.len, value.len};

    CHECK(record.bytes);
    if (key.len)
        memcpy(record.bytes, key.ptr, key.len);
    if (value.len)
        memcpy(record.bytes + key.len, value.ptr, value.len);
    return record;
}

static void insert_at(struct table *table, size_t at, struct record record) {
    if (table->count == table->cap) {
        table->cap = table->cap ? table->cap * 2 : 64;
        table->records = realloc(table->records, table->cap * sizeof(*table->records));
        CHECK(table->records);
    }
    memmove(table->records + at + 1, table->records + at,
            (table->count - at) * sizeof(*table->records));
    table->records[at] = record;
    table->count++;
}

static void table_put(struct table *table, struct slice key, struct slice value) {
    size_t at = lower_bound(table, key);
    struct record record = make_record(key, value);

    if (is_at(table, at, key)) {
        free(table->records[at].bytes);
        table->records[at] = record;
    } else {
        insert_at(table, at, record);
    }
}

static void table_del(struct table *table, struct slice key) {
    size_t at = lower_bound(table, key);

    if (is_at(table, at, key))
        remove_run(table, at, at + 1);
}

static void table_del_range(struct table *table, struct slice from, struct slice to) {
    size_t first = lower_bound(table, from);
    size_t last = lower_bound(table, to);

    if (last > first)
        remove_run(table, first, last);
}

static void state_clear(struct state *state) {
    for (int i = 0; i < KV_SPACES; i++) {
        remove_run(&state->spaces[i], 0, state->spaces[i].count);
        free(state->spaces[i].records);
        state->spaces[i] = (struct table){0};
    }
}

static void state_copy(struct state *to, const struct state *from) {
    state_clear(to);
    for (int i = 0; i < KV_SPACES; i++) {
        const struct table *table = &from->spaces[i];

        for (size_t j = 0; j < table->count; j++)
            insert_at(
                &to->spaces[i], j,
                make_record(record_key(&table->records[j]), record_value(&table->records[j])));
    }
}

static void state_apply(struct state *state, const struct buf *batch) {
    size_t at = 0;

    while (at < batch->len) {
        struct write write;

        memcpy(&write, batch->ptr + at, sizeof(write));
        at += sizeof(write);
        struct slice first = slice_of(batch->ptr + at, write.first_len);
        struct slice second = slice_of(batch->ptr + at + write.first_len, write.second_len);
        at += write.first_len + write.second_len;
        struct table *table = &state->spaces[write.space];
        if (write.kind == WRITE_PUT)
            table_put(table, first, second);
        else if (write.kind == WRITE_DEL)
            table_del(table, first);
        else
            table_del_range(table, first, second);
    }
}

static void stage(struct kv *kv, enum write_kind kind, enum kv_space space, struct slice first,
                  struct slice second) {
    struct sim_kv *sim = CONTAINER_OF(kv, struct sim_kv, kv);
    struct write write;

    CHECK(!sim->finished);
    memset(&write, 0, sizeof(write));
    write.kind = kind;
    write.space = space;
    write.first_len = first.len;
    write.second_len = second.len;
    buf_add(&sim->staged, &write, sizeof(write));
    buf_add_slice(&sim->staged, first);
    buf_add_slice(&sim->staged, second);
    CHECK(!buf_failed(&sim->staged));
}

static void sim_put(struct kv *kv, enum kv_space space, struct slice key, struct slice value) {
    stage(kv, WRITE_PUT, space, key, value);
}

static void sim_del(struct kv *kv, enum kv_space space, struct slice key) {
    stage(kv, WRITE_DEL, space, key, (struct slice){NULL, 0});
}

static void sim_del_range(struct kv *kv, enum kv_space space, struct slice from, struct slice to) {
    stage(kv, WRITE_DEL_RANGE, space, from, to);
}

static bool read_fails(struct sim_kv *sim) {
    CHECK(!sim->finished);
    return sim->fail_read && --sim->fail_read == 0;
}

static enum err sim_get(struct kv *kv, enum kv_space space, struct slice key, struct buf *out) {
    struct sim_kv *sim = CONTAINER_OF(kv, struct sim_kv, kv);
    const struct table *table = &sim->now.spaces[space];
    size_t at = lower_bound(table, key);

    if (read_fails(sim))
        return ERR_IO;
    if (!is_at(table, at, key))
        return ERR_NOT_FOUND;
    buf_add_slice(out, record_value(&table->records[at]));
    return ERR_OK;
}

static enum err sim_seek(struct kv *kv, enum kv_space space, struct slice from, struct buf *out_key,
                         struct buf *out_value) {
    struct sim_kv *sim = CONTAINER_OF(kv, struct sim_kv, kv);
    const struct table *table = &sim->now.spaces[space];
    size_t at = lower_bound(table, from);

    if (read_fails(sim))
        return ERR_IO;
    if (at == table->count)
        return ERR_NOT_FOUND;
    buf_clear(out_key);
    buf_clear(out_value);
    buf_add_slice(out_key, record_key(&table->records[at]));
    buf_add_slice(out_value, record_value(&table->records[at]));
    return ERR_OK;
}

static void log_clear(struct sim_kv *sim) {
    for (size_t i = 0; i < sim->log_count; i++)
        buf_release(&sim->log[i]);
    sim->log_count = 0;
}

/* The first 'count' commits of the log are on disk. */
static void make_durable(struct sim_kv *sim, size_t count) {
    for (size_t i = 0; i < count; i++)
        state_apply(&sim->durable, &sim->log[i]);
    log_clear(sim);
}

static void log_staged(struct sim_kv *sim) {
    if (sim->staged.len == 0)
        return;
    if (sim->log_count == sim->log_cap) {
        sim->log_cap = sim->log_cap ? sim->log_cap * 2 : 64;
        sim->log = realloc(sim->log, sim->log_cap * sizeof(*sim->log));
        CHECK(sim->log);
    }
    state_apply(&sim->now, &sim->staged);
    sim->log[sim->log_count++] = sim->staged;
    sim->staged = (struct buf){0};
    sim->stats.commits++;
}

static enum err sim_sync(struct kv *kv) {
    struct sim_kv *sim = CONTAINER_OF(kv, struct sim_kv, kv);

    CHECK(!sim->finished);
    sim->stats.syncs++;
    make_durable(sim, sim->log_count);
    return ERR_OK;
}

static enum err sim_commit(struct kv *kv, bool durable) {
    struct sim_kv *sim = CONTAINER_OF(kv, struct sim_kv, kv);

    CHECK(!sim->finished);
    if (sim->fail_commit) {
        if (sim->fail_applied)
            log_staged(sim);
        sim->finished = true;
        return ERR_IO;
    }
    log_staged(sim);
    return durable ? sim_sync(kv) : ERR_OK;
}

static enum err sim_scan(const struct kv_scanner *scanner, enum kv_space space, struct slice from,
                         bool (*take)(void *ctx, struct slice key, struct slice value), void *ctx) {
    const struct sim_kv *sim = CONTAINER_OF(scanner, struct sim_kv, scanner);
    const struct table *table = &sim->now.spaces[space];
    size_t at = lower_bound(table, from);

    while (at < table->count &&
           take(ctx, record_key(&table->records[at]), record_value(&table->records[at])))
        at++;
    return ERR_OK;
}

static const struct kv_ops sim_ops = {
    .get = sim_get,
    .seek = sim_seek,
    .put = sim_put,
    .del = sim_del,
    .del_range = sim_del_range,
    .commit = sim_commit,
    .sync = sim_sync,
};

struct sim_kv *sim_kv_new(void) {
    struct sim_kv *sim = calloc(1, sizeof(*sim));

    CHECK(sim);
    sim->kv.ops = &sim_ops;
    sim->scanner.scan = sim_scan;
    return sim;
}

void sim_kv_free(struct sim_kv *sim) {
    if (!sim)
        return;
    log_clear(sim);
    free(sim->log);
    buf_release(&sim->staged);
    state_clear(&sim->durable);
    state_clear(&sim->now);
    free(sim);
}

const struct kv_scanner *sim_kv_scanner(const struct sim_kv *sim) {
    return &sim->scanner;
}

struct kv *sim_kv_base(struct sim_kv *sim) {
    return &sim->kv;
}

void sim_kv_kill(struct sim_kv *sim) {
    buf_release(&sim->staged);
    sim->finished = false;
    sim->fail_commit = false;
    sim->fail_read = 0;
}

void sim_kv_crash(struct sim_kv *sim, size_t keep_commits) {
    sim_kv_kill(sim);
    make_durable(sim, keep_commits < sim->log_count ? keep_commits : sim->log_count);
    state_copy(&sim->now, &sim->durable);
}

size_t sim_kv_volatile_commits(const struct sim_kv *sim) {
    return sim->log_count;
}

void sim_kv_fail_commit(struct sim_kv *sim, bool applied) {
    sim->fail_commit = true;
    sim->fail_applied = applied;
}

void sim_kv_fail_read(struct sim_kv *sim, unsigned reads) {
    sim->fail_read = reads + 1;
}

void sim_kv_tamper(struct sim_kv *sim, enum kv_space space, struct slice key, struct slice value) {
    CHECK(sim->staged.len == 0);
    make_durable(sim, sim->log_count);
    if (value.ptr) {
        table_put(&sim->durable.spaces[space], key, value);
        table_put(&sim->now.spaces[space], key, value);
    } else {
        table_del(&sim->durable.spaces[space], key);
        table_del(&sim->now.spaces[space], key);
    }
}

void sim_kv_each(const struct sim_kv *sim, enum kv_space space,
                 void (*fn)(void *ctx, struct slice key, struct slice value), void *ctx) {
    const struct table *table = &sim->now.spaces[space];

    for (size_t i = 0; i < table->count; i++)
        fn(ctx, record_key(&table->records[i]), record_value(&table->records[i]));
}

size_t sim_kv_count(const struct sim_kv *sim, enum kv_space space) {
    return sim->now.spaces[space].count;
}

void sim_kv_stats(const struct sim_kv *sim, struct sim_kv_stats *out) {
    *out = sim->stats;
}
