/* analytics_commit.c - what is pending, on its way to the store.
 *
 *     open ──begin──► under way: read by the store's thread, and to answer ──end──► empty
 *       ▲                                                                            │
 *       └──────────────────────────── begin of the other one ────────────────────────┘
 */
#include <stdlib.h>

#include "core/analytics_internal.h"

/* ---- on the store's thread: a closed generation, nothing else ---- */

struct filling {
    struct generation *generation;
    struct tally_store *store;
};

void analytics_put_source(const struct analytics *a, struct tally_store *store, struct buf *key,
                          struct buf *record) {
    buf_clear(record);
    buf_add_char(record, ANALYTICS_VERSION);
    bytes_add_be64(record, a->store_id);
    bytes_add_be32(record, a->lanes_count);
    buf_add_char(record, (char)a->made);
    store->ops->put(store, analytics_key(key, KEY_META, 0), buf_slice(record));
}

static void fill_mark(struct filling *f) {
    f->store->ops->put(f->store, analytics_key(&f->generation->key, KEY_META, META_MARK),
                       buf_slice(&f->generation->mark));
}

static void fill_lane(struct filling *f, uint32_t number) {
    const struct analytics_lane *lane = &f->generation->lanes[number];
    struct buf *record = &f->generation->record;

    buf_clear(record);
    bytes_add_be64(record, lane->at.epoch);
    bytes_add_be64(record, lane->at.seq);
    bytes_add_zigzag(record, lane->latest_ms);
    bytes_add_zigzag(record, lane->since_ms);
    if (lane->missed) /* older versions have no such byte, and take none */
        buf_add_char(record, 1);
    f->store->ops->put(f->store, analytics_key(&f->generation->key, KEY_LANE, number),
                       buf_slice(record));
}

static void fill_partition(struct filling *f, const struct analytics_partition *partition) {
    struct buf *record = &f->generation->record;

    buf_clear(record);
    bytes_add_varint(record, partition->of);
    buf_add_char(record, (char)partition->state);
    bytes_add_varint(record, partition->moves);
    buf_add_str(record, partition->peer);
    f->store->ops->put(f->store, analytics_key(&f->generation->key, KEY_PART, partition->number),
                       buf_slice(record));
}

static void fill_new(struct filling *f, const struct pending_counter *counter) {
    struct generation *generation = f->generation;
    struct buf *record = &generation->record;

    buf_clear(record);
    bytes_add_zigzag(record, counter->now.sum);
    bytes_add_zigzag(record, counter->lane);
    bytes_add_varint(record, counter->now.increments);
    buf_add(record, generation->pending.names.ptr + counter->name_at, counter->name_len);
    f->store->ops->put(f->store, analytics_key(&generation->key, KEY_COUNTER, counter->number),
                       buf_slice(record));
}

/* The generation's group, which is empty then. */
static void fill_group(struct filling *f, struct slice key) {
    struct generation *generation = f->generation;

    buf_clear(&generation->record);
    tally_group_encode(&generation->group, &generation->record);
    generation->group.has = 0;
    f->store->ops->merge(f->store, key, buf_slice(&generation->record));
}

static void fill_forgetting(struct filling *f) {
    struct generation *generation = f->generation;

    for (unsigned i = 0; i < BUCKET_WIDTHS; i++) {
        enum bucket_width width = (enum bucket_width)i;
        int64_t oldest = time_bucket_oldest(width, generation->forget_ms);

        if (oldest <= 0)
            continue;
        struct slice from = analytics_cell_key(&generation->key, (struct tally_cell){width, 0, 0});
        struct slice to =
            analytics_cell_key(&generation->record, (struct tally_cell){width, oldest, 0});
        f->store->ops->del_range(f->store, from, to);
    }
}

/* ---- in the order of their keys: those of a group are side by side, and a key next to the last
 * one is found at once, where any other costs a search through all that was written before ---- */

static void sort(struct generation *generation, uint32_t count) {
    radix_sort(generation->order, generation->order + generation->pending.cap, count);
}

/* New ones apart, as they have names. */
static void fill_counters(struct filling *f) {
    struct generation *generation = f->generation;
    const struct tally_pending *pending = &generation->pending;
    uint32_t group = 0;

    for (uint32_t i = 0; i < pending->counters_count; i++)
        generation->order[i] = (struct radix_item){pending->counters[i].number, i};
    sort(generation, pending->counters_count);
    for (uint32_t i = 0; i < pending->counters_count; i++) {
        const struct pending_counter *counter = &pending->counters[generation->order[i].index];

        if (generation->group.has && tally_group_of(counter->number) != group)
            fill_group(f, analytics_key(&generation->key, KEY_VALUES, group));
        group = tally_group_of(counter->number);
        if (counter->name_len)
            fill_new(f, counter);
        else
            tally_group_set(&generation->group, counter->number % TALLY_GROUP, counter->now);
    }
    if (generation->group.has)
        fill_group(f, analytics_key(&generation->key, KEY_VALUES, group));
}

/* The rows that count in buckets of this width, by bucket, then by counter; how many. */
static uint32_t order_rows(struct generation *generation, enum bucket_width width) {
    const struct pending_row *rows = generation->pending.rows;
    struct radix_item *order = generation->order;
    uint32_t count = 0;

    for (uint32_t i = 0; i < generation->pending.rows_count; i++)
        if (pending_row_has(&rows[i], width))
            order[count++] = (struct radix_item){rows[i].counter, i};
    sort(generation, count);
    for (uint32_t i = 0; i < count; i++)
        order[i].key = (uint32_t)pending_row_bucket(&rows[order[i].index], width);
    sort(generation, count);
    return count;
}

static void fill_buckets(struct filling *f, enum bucket_width width) {
    struct generation *generation = f->generation;
    uint32_t count = order_rows(generation, width);
    struct tally_cell cell = {.width = width};

    for (uint32_t i = 0; i < count; i++) {
        const struct radix_item *item = &generation->order[i];
        const struct pending_row *row = &generation->pending.rows[item->index];

        if (generation->group.has && (item->key != cell.bucket ||
                                      tally_group_of(row->counter) != tally_group_of(cell.counter)))
            fill_group(f, analytics_cell_key(&generation->key, cell));
        cell.bucket = item->key;
        cell.counter = row->counter;
        tally_group_add(&generation->group, row->counter % TALLY_GROUP, row->tally);
    }
    if (generation->group.has)
        fill_group(f, analytics_cell_key(&generation->key, cell));
}

static enum err fill(struct tally_batch *batch, struct tally_store *store) {
    struct analytics *a = CONTAINER_OF(batch, struct analytics, batch);
    struct generation *generation = &a->generations[1 - a->open]; /* stays so until the end */
    struct filling f = {generation, store};

    if (generation->source_dirty)
        analytics_put_source(a, store, &generation->key, &generation->record);
    if (generation->values_known)
        store->ops->put(store, analytics_key(&generation->key, KEY_KNOWN, 0), SLICE(""));
    if (generation->mark.len)
        fill_mark(&f);
    for (uint32_t i = 0; i < a->lanes_count; i++)
        if (generation->lanes[i].at.epoch)
            fill_lane(&f, i);
    for (uint32_t i = 0; generation->partitions.dirty && i < generation->partitions.count; i++)
        fill_partition(&f, &generation->partitions.all[i]);
    fill_counters(&f);
    for (unsigned width = 0; width < BUCKET_WIDTHS; width++)
        fill_buckets(&f, (enum bucket_width)width);
    if (generation->forget_ms)
        fill_forgetting(&f);
    return buf_failed(&generation->key) || buf_failed(&generation->mark) ||
                   buf_failed(&generation->record)
               ? ERR_NO_MEMORY
               : ERR_OK;
}

static void ended(struct tally_batch *batch) {
    struct analytics *a = CONTAINER_OF(batch, struct analytics, batch);

    if (a->conf.ended)
        a->conf.ended(a->conf.ctx);
}

/* ---- on the owner's ---- */

enum err analytics_generations_init(struct analytics *a) {
    a->batch = (struct tally_batch){fill, ended};
    for (unsigned i = 0; i < GENERATIONS; i++) {
        struct generation *generation = &a->generations[i];
        enum err err = tally_pending_init(&generation->pending, a->conf.pending_max);

        generation->order = malloc(2 * (size_t)a->conf.pending_max * sizeof(*generation->order));
        if (err != ERR_OK || !generation->order)
            return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

bool analytics_make_lanes(struct analytics *a, uint32_t count) {
    bool made = true;

    a->lanes = calloc(count, sizeof(*a->lanes));
    a->lanes_count = count;
    for (unsigned i = 0; i < GENERATIONS; i++) {
        a->generations[i].lanes = calloc(count, sizeof(*a->lanes));
        made &= a->generations[i].lanes != NULL;
    }
    return made && a->lanes;
}

void analytics_generations_release(struct analytics *a) {
    for (unsigned i = 0; i < GENERATIONS; i++) {
        struct generation *generation = &a->generations[i];

        tally_pending_release(&generation->pending);
        buf_release(&generation->key);
        buf_release(&generation->mark);
        buf_release(&generation->record);
        free(generation->lanes);
        free(generation->order);
    }
}

static bool is_dirty(const struct generation *generation) {
    return generation->source_dirty || generation->lanes_dirty || generation->values_known ||
           generation->pending.counters_count;
}

bool analytics_dirty(const struct analytics *a) {
    return is_dirty(&a->generations[a->open]) || a->partitions.dirty;
}

void analytics_mark(struct analytics *a, struct slice mark) {
    buf_clear(&a->mark);
    buf_add_slice(&a->mark, mark);
}

struct slice analytics_marked(const struct analytics *a) {
    return buf_slice(&a->mark);
}

/* Once an hour is enough. */
static int64_t forget_at(struct analytics *a) {
    int64_t hour = time_bucket_of(BUCKET_HOUR, a->end_ms);

    if (hour == a->forgotten_hour)
        return 0;
    a->forgotten_hour = hour;
    return a->end_ms;
}

bool analytics_commit_begin(struct analytics *a) {
    struct generation *generation = analytics_open_generation(a);

    if (a->committing || !analytics_dirty(a))
        return false;
    if (a->lanes_count)
        memcpy(generation->lanes, a->lanes, a->lanes_count * sizeof(*a->lanes));
    buf_clear(&generation->mark);
    buf_add_slice(&generation->mark, buf_slice(&a->mark));
    generation->partitions = a->partitions;
    a->partitions.dirty = false;
    generation->forget_ms = forget_at(a);
    a->open = 1 - a->open;
    a->committing = true;
    a->store->ops->begin(a->store, &a->batch);
    return true;
}

enum err analytics_commit_end(struct analytics *a, bool wait) {
    struct generation *generation = &a->generations[1 - a->open];

    if (!a->committing)
        return ERR_OK;
    enum err err = a->store->ops->end(a->store, wait);
    if (err == ERR_BUSY)
        return err;
    a->committing = false;
    for (uint32_t i = 0; err == ERR_OK && i < a->lanes_count; i++)
        a->lanes[i].stored = generation->lanes[i].at;
    tally_pending_clear(&generation->pending);
    generation->source_dirty = generation->lanes_dirty = generation->values_known = false;
    return err;
}

enum err analytics_commit(struct analytics *a) {
    enum err err = analytics_commit_end(a, true);

    if (err == ERR_OK && analytics_commit_begin(a))
        err = analytics_commit_end(a, true);
    return err;
}
