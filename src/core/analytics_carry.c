/* analytics_carry.c - a partition's state: read out in pages, taken in, taken away.
 *
 *     lanes ─► counters ─► rows of buckets, by key        a page ends where 'next' begins
 *
 *     'L' lane, epoch, seq, latest event time, since
 *     'C' number, lane, value, increments, length, id
 *     'B' width, bucket, number, sum, increments
 *
 * What is taken in or away is counted like events, in the partition's hidden counters.
 */
#include <stdlib.h>

#include "core/analytics_internal.h"
#include "core/analytics_partition.h"

#define LOOKED_MAX 65536 /* in one page: questions wait for it */
#define TAKEN_MAX  2048
#define PAGE_BYTES ((size_t)256 << 10) /* and the record, or the group, that reaches it */

#define RECORD_LANE    'L'
#define RECORD_COUNTER 'C'
#define RECORD_ROW     'B'

struct walk {
    struct analytics *analytics;
    const struct analytics_partition *partition;
    void (*counter)(struct walk *walk, uint32_t number);
    void (*row)(struct walk *walk, struct tally_cell cell, struct tally tally);
    struct buf *page;
    struct buf *next;
    uint32_t looked;
    uint32_t taken;
    enum err err;
};

static bool is_of(const struct walk *walk, uint32_t counter) {
    uint32_t lane = walk->analytics->counters[counter].lane;

    return lane && (lane - 1) % walk->partition->of == walk->partition->number;
}

static bool is_full(const struct walk *walk) {
    return walk->looked >= LOOKED_MAX || walk->taken >= TAKEN_MAX ||
           (walk->page && walk->page->len >= PAGE_BYTES);
}

static void walk_counters(struct walk *walk, uint32_t from) {
    const struct analytics *a = walk->analytics;
    uint32_t at = from;

    for (; at < a->ids.count && !is_full(walk); at++, walk->looked++) {
        if (!is_of(walk, at))
            continue;
        walk->counter(walk, at);
        walk->taken++;
    }
    if (at < a->ids.count)
        analytics_key(walk->next, RECORD_COUNTER, at);
    else
        analytics_cell_key(walk->next, (struct tally_cell){0});
}

static void walk_row(struct walk *walk, struct tally_cell cell, struct tally tally) {
    if (cell.counter >= walk->analytics->ids.count)
        walk->err = ERR_CORRUPT;
    walk->looked++;
    if (walk->err != ERR_OK || !is_of(walk, cell.counter) || tally_empty(tally))
        return;
    walk->row(walk, cell, tally);
    walk->taken++;
}

/* All of it or nothing. */
static bool walk_group(void *ctx, struct slice key, struct slice value) {
    struct walk *walk = ctx;
    struct tally_group group = {0};
    struct tally_cell cell;

    if (is_full(walk) || walk->taken > TAKEN_MAX - TALLY_GROUP) {
        buf_add_slice(walk->next, key);
        return false;
    }
    walk->err = analytics_cell_of(walk->analytics, key, &cell);
    if (walk->err == ERR_OK)
        walk->err = tally_group_fold(&group, value);
    for (uint32_t first = cell.counter; group.has && walk->err == ERR_OK;
         tally_group_drop_first(&group)) {
        uint32_t at = tally_group_first(&group);

        cell.counter = first + at;
        walk_row(walk, cell, group.tallies[at]);
    }
    return walk->err == ERR_OK;
}

static enum err walk_rows(struct walk *walk, struct slice from) {
    struct tally_store *store = walk->analytics->store;
    char end = KEY_BUCKET + 1;
    enum err err = store->ops->scan(store, from, slice_of(&end, 1), walk_group, walk);

    return err == ERR_OK ? walk->err : err;
}

static enum err walk_on(struct walk *walk, struct slice from) {
    enum err err = ERR_OK;

    buf_clear(walk->next);
    if (from.len == 0) {
        analytics_key(walk->next, RECORD_COUNTER, 0);
    } else if (from.ptr[0] == RECORD_COUNTER && from.len == 1 + sizeof(uint32_t)) {
        struct bytes_reader in = bytes_reader(slice_skip(from, 1));

        walk_counters(walk, bytes_be32(&in));
    } else if (from.ptr[0] == KEY_BUCKET) {
        err = walk_rows(walk, from);
    } else {
        err = ERR_INVALID;
    }
    return err == ERR_OK && buf_failed(walk->next) ? ERR_NO_MEMORY : err;
}

/* ---- out ---- */

const char *analytics_cant_leave(const struct analytics *a, uint32_t number, uint32_t of) {
    if (a->full)
        return "it counts more counters than analytics.counters_max: those beyond are in groups, "
               "which can't be divided";
    for (uint32_t i = number; i < a->lanes_count; i += of)
        if (a->lanes[i].missed)
            return "events of one of its lanes are missing";
    for (uint32_t i = 0; i < a->ids.count; i++)
        if (!a->counters[i].lane)
            return "a version that didn't note the counters' lanes has made its folder";
    return NULL;
}

static void write_lanes(struct walk *walk) {
    const struct analytics *a = walk->analytics;

    for (uint32_t i = walk->partition->number; i < a->lanes_count; i += walk->partition->of) {
        if (!a->lanes[i].at.epoch)
            continue;
        buf_add_char(walk->page, RECORD_LANE);
        bytes_add_varint(walk->page, i);
        bytes_add_varint(walk->page, a->lanes[i].at.epoch);
        bytes_add_varint(walk->page, a->lanes[i].at.seq);
        bytes_add_zigzag(walk->page, a->lanes[i].latest_ms);
        bytes_add_zigzag(walk->page, a->lanes[i].since_ms);
    }
}

static void write_counter(struct walk *walk, uint32_t number) {
    const struct analytics *a = walk->analytics;
    struct tally all = analytics_tally(a, number, RANGE_ALL);
    struct slice id = bytes_table_key(&a->ids, number);

    buf_add_char(walk->page, RECORD_COUNTER);
    bytes_add_varint(walk->page, number);
    bytes_add_varint(walk->page, a->counters[number].lane);
    bytes_add_zigzag(walk->page, all.sum);
    bytes_add_varint(walk->page, all.increments);
    bytes_add_varint(walk->page, id.len);
    buf_add_slice(walk->page, id);
}

static void write_row(struct walk *walk, struct tally_cell cell, struct tally tally) {
    buf_add_char(walk->page, RECORD_ROW);
    buf_add_char(walk->page, (char)cell.width);
    bytes_add_varint(walk->page, (uint64_t)cell.bucket);
    bytes_add_varint(walk->page, cell.counter);
    bytes_add_zigzag(walk->page, tally.sum);
    bytes_add_varint(walk->page, tally.increments);
}

enum err analytics_export(struct analytics *a, const struct analytics_partition *partition,
                          struct slice from, struct buf *out_page, struct buf *out_next) {
    struct walk walk = {.analytics = a,
                        .partition = partition,
                        .counter = write_counter,
                        .row = write_row,
                        .page = out_page,
                        .next = out_next};

    buf_clear(out_page);
    if (from.len == 0)
        write_lanes(&walk);
    enum err err = walk_on(&walk, from);
    return err == ERR_OK && buf_failed(out_page) ? ERR_NO_MEMORY : err;
}

/* ---- in ---- */

static bool has_room(struct analytics *a) {
    const struct tally_pending *pending = &analytics_open_generation(a)->pending;

    return pending->cap - pending->counters_count >= TAKEN_MAX &&
           pending->cap - pending->rows_count >= TAKEN_MAX;
}

/* Pending, with what it has. */
static struct pending_counter *touch(struct analytics *a, uint32_t number) {
    struct pending_counter *counter = tally_pending_touch(
        &analytics_open_generation(a)->pending, number, &a->counters[number].hint[a->open]);

    counter->now = analytics_tally(a, number, RANGE_ALL);
    return counter;
}

static void set_all(struct analytics *a, uint32_t number, struct tally all) {
    analytics_rank(a, number, RANGE_ALL, all);
    touch(a, number);
}

static void add_row(struct analytics *a, struct tally_cell cell, struct tally more) {
    tally_pending_add(&analytics_open_generation(a)->pending, touch(a, cell.counter), cell,
                      cell.width, more);
    for (unsigned i = 0; i < RANGE_WINDOWS; i++) {
        enum time_range range = (enum time_range)i;
        struct tally tally = analytics_tally(a, cell.counter, range);

        if (time_range_width(range) != cell.width || !bucket_span_has(a->spans[range], cell.bucket))
            continue;
        tally_add(&tally, more);
        analytics_rank(a, cell.counter, range, tally);
    }
}

static bool is_number(uint64_t number) {
    return number < UINT32_MAX / 2;
}

static bool map(struct analytics_import *import, uint64_t number, uint32_t here) {
    if (!is_number(number))
        return false;
    if (number >= import->cap) {
        uint32_t cap = (uint32_t)number + (uint32_t)number / 2 + 1024;
        uint32_t *numbers = realloc(import->numbers, cap * sizeof(*numbers));

        if (!numbers)
            return false;
        for (uint32_t i = import->cap; i < cap; i++)
            numbers[i] = NO_COUNTER;
        import->numbers = numbers;
        import->cap = cap;
    }
    import->numbers[number] = here;
    return true;
}

static enum err admit(struct analytics *a, struct slice id, uint32_t lane, uint32_t *out) {
    const char *zero = id.len ? memchr(id.ptr, '\0', id.len) : NULL;

    if (!zero || zero == id.ptr)
        return ERR_CORRUPT;
    struct slice resource = slice_of(id.ptr, (size_t)(zero - id.ptr));
    *out = analytics_find(a, resource, slice_skip(id, resource.len + 1));
    if (*out != NO_COUNTER)
        return ERR_OK;
    if (a->full || a->held >= a->conf.counters_max)
        return ERR_RANGE;
    enum err err = analytics_add_counter(a, id, lane, out);
    if (err != ERR_OK)
        return err;
    return tally_pending_name(&analytics_open_generation(a)->pending, touch(a, *out), id, lane);
}

static enum err take_counter(struct analytics *a, struct analytics_import *import,
                             struct bytes_reader *in) {
    uint64_t number = bytes_varint(in);
    uint64_t lane = bytes_varint(in);
    struct tally all = {.sum = bytes_zigzag(in)};
    uint32_t here;

    all.increments = bytes_varint(in);
    struct slice id = bytes_take(in, bytes_varint(in));
    if (in->failed || lane == 0 || lane > a->lanes_count ||
        !analytics_elsewhere(a, (uint32_t)lane - 1))
        return ERR_CORRUPT;
    enum err err = admit(a, id, (uint32_t)lane, &here);
    if (err != ERR_OK)
        return err;
    if (!map(import, number, here))
        return ERR_NO_MEMORY;
    set_all(a, here, all);
    return ERR_OK;
}

static enum err take_row(struct analytics *a, const struct analytics_import *import,
                         struct bytes_reader *in) {
    struct tally_cell cell = {.width = (enum bucket_width)bytes_u8(in),
                              .bucket = (int64_t)bytes_varint(in)};
    uint64_t number = bytes_varint(in);
    struct tally tally = {.sum = bytes_zigzag(in)};

    tally.increments = bytes_varint(in);
    if (in->failed || cell.width >= BUCKET_WIDTHS || number >= import->cap ||
        import->numbers[number] == NO_COUNTER)
        return ERR_CORRUPT;
    cell.counter = import->numbers[number];
    add_row(a, cell, tally);
    return ERR_OK;
}

static enum err take_lane(struct analytics *a, struct bytes_reader *in) {
    uint64_t number = bytes_varint(in);
    struct event_position at = {.epoch = bytes_varint(in)};

    at.seq = bytes_varint(in);
    int64_t latest_ms = bytes_zigzag(in);
    int64_t since_ms = bytes_zigzag(in);
    if (in->failed || number >= a->lanes_count || !analytics_elsewhere(a, (uint32_t)number))
        return ERR_CORRUPT;
    a->lanes[number].at = at;
    a->lanes[number].latest_ms = latest_ms;
    a->lanes[number].since_ms = since_ms;
    if (latest_ms > a->latest_ms)
        a->latest_ms = latest_ms;
    analytics_open_generation(a)->lanes_dirty = true;
    return ERR_OK;
}

enum err analytics_import_page(struct analytics *a, struct analytics_import *import,
                               struct slice page) {
    struct bytes_reader in = bytes_reader(page);
    enum err err = has_room(a) ? ERR_OK : ERR_BUSY;

    for (uint32_t taken = 0; err == ERR_OK && bytes_left(&in); taken++) {
        uint8_t kind = bytes_u8(&in);

        if (kind == RECORD_LANE)
            err = take_lane(a, &in);
        else if (taken >= TAKEN_MAX)
            err = ERR_CORRUPT;
        else if (kind == RECORD_COUNTER)
            err = take_counter(a, import, &in);
        else
            err = kind == RECORD_ROW ? take_row(a, import, &in) : ERR_CORRUPT;
    }
    return err;
}

void analytics_import_release(struct analytics_import *import) {
    free(import->numbers);
    *import = (struct analytics_import){0};
}

/* ---- away ---- */

static void wipe_counter(struct walk *walk, uint32_t number) {
    if (!tally_empty(analytics_tally(walk->analytics, number, RANGE_ALL)))
        set_all(walk->analytics, number, (struct tally){0});
}

static void wipe_row(struct walk *walk, struct tally_cell cell, struct tally tally) {
    struct tally less = {0};

    tally_subtract(&less, tally);
    add_row(walk->analytics, cell, less);
}

enum err analytics_wipe(struct analytics *a, const struct analytics_partition *partition,
                        struct slice from, struct buf *out_next) {
    struct walk walk = {.analytics = a,
                        .partition = partition,
                        .counter = wipe_counter,
                        .row = wipe_row,
                        .next = out_next};

    return has_room(a) ? walk_on(&walk, from) : ERR_BUSY;
}
