/* analytics_regroup.c - tallies that were stored alone, a record for each counter of a bucket, into
 * groups: some at a time, those and what they become in one batch, so that a crash leaves each in
 * one place.
 */
#include "core/analytics_internal.h"

#define CHUNK_ROWS 65536

struct regroup {
    struct tally_batch batch;
    struct analytics *analytics;
    struct buf from; /* the first row of the chunk; of the next one, between chunks */
    struct buf to;   /* behind the last one */
    struct buf key;
    struct buf record;
    struct buf groups; /* key, length of the record in four bytes, record */
    struct tally_group group;
    struct tally_cell cell; /* the last one in 'group' */
    uint32_t rows;
    enum err err;
};

static bool failed(const struct regroup *regroup) {
    return buf_failed(&regroup->from) || buf_failed(&regroup->to) || buf_failed(&regroup->key) ||
           buf_failed(&regroup->record) || buf_failed(&regroup->groups);
}

static void close_group(struct regroup *regroup) {
    if (!regroup->group.has)
        return;
    buf_clear(&regroup->record);
    tally_group_encode(&regroup->group, &regroup->record);
    buf_add_slice(&regroup->groups, analytics_cell_key(&regroup->key, regroup->cell));
    bytes_add_be32(&regroup->groups, (uint32_t)regroup->record.len);
    buf_add_slice(&regroup->groups, buf_slice(&regroup->record));
    regroup->group.has = 0;
}

static bool is_same_group(struct tally_cell a, struct tally_cell b) {
    return a.width == b.width && a.bucket == b.bucket &&
           tally_group_of(a.counter) == tally_group_of(b.counter);
}

static bool take_alone(void *ctx, struct slice key, struct slice value) {
    struct regroup *regroup = ctx;
    struct bytes_reader in = bytes_reader(slice_skip(key, 1));
    struct tally_cell cell = {.width = (enum bucket_width)bytes_u8(&in), .bucket = bytes_be32(&in)};
    struct tally tally = {0};

    cell.counter = bytes_be32(&in);
    regroup->err = tally_decode(value, &tally);
    if (!bytes_done(&in) || cell.width >= BUCKET_WIDTHS ||
        cell.counter >= regroup->analytics->ids.count)
        regroup->err = ERR_CORRUPT;
    if (regroup->err != ERR_OK)
        return false;
    if (!is_same_group(cell, regroup->cell))
        close_group(regroup);
    regroup->cell = cell;
    tally_group_add(&regroup->group, cell.counter % TALLY_GROUP, tally);
    buf_clear(&regroup->to);
    buf_add_slice(&regroup->to, key);
    buf_add_char(&regroup->to, '\0');
    return ++regroup->rows < CHUNK_ROWS;
}

/* On the store's thread. */
static enum err fill(struct tally_batch *batch, struct tally_store *store) {
    struct regroup *regroup = CONTAINER_OF(batch, struct regroup, batch);
    struct bytes_reader in = bytes_reader(buf_slice(&regroup->groups));

    /* First of all the version: what doesn't know groups must not go on without them. */
    analytics_put_source(regroup->analytics, store, &regroup->key, &regroup->record);
    while (bytes_left(&in)) {
        struct slice key = bytes_take(&in, ANALYTICS_CELL_KEY_BYTES);
        struct slice record = bytes_take(&in, bytes_be32(&in));

        store->ops->merge(store, key, record);
    }
    store->ops->del_range(store, buf_slice(&regroup->from), buf_slice(&regroup->to));
    return failed(regroup) ? ERR_NO_MEMORY : ERR_OK;
}

static void ended(struct tally_batch *batch) {
    (void)batch;
}

/* '*out_more': there were rows, behind which there may be others. */
static enum err regroup_some(struct regroup *regroup, bool *out_more) {
    struct tally_store *store = regroup->analytics->store;
    char end = TALLY_ALONE + 1;

    regroup->rows = 0;
    buf_clear(&regroup->groups);
    enum err err =
        store->ops->scan(store, buf_slice(&regroup->from), slice_of(&end, 1), take_alone, regroup);
    if (err == ERR_OK)
        err = regroup->err;
    close_group(regroup);
    if (err == ERR_OK && failed(regroup))
        err = ERR_NO_MEMORY;
    *out_more = regroup->rows > 0;
    if (err != ERR_OK || !*out_more)
        return err;
    store->ops->begin(store, &regroup->batch);
    err = store->ops->end(store, true);
    buf_clear(&regroup->from);
    buf_add_slice(&regroup->from, buf_slice(&regroup->to));
    return err;
}

enum err analytics_regroup(struct analytics *a) {
    struct regroup regroup = {.batch = {fill, ended}, .analytics = a};
    enum err err = ERR_OK;
    bool more = true;

    buf_add_char(&regroup.from, TALLY_ALONE);
    while (err == ERR_OK && more)
        err = regroup_some(&regroup, &more);
    buf_release(&regroup.from);
    buf_release(&regroup.to);
    buf_release(&regroup.key);
    buf_release(&regroup.record);
    buf_release(&regroup.groups);
    return err;
}
