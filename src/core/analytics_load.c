/* analytics_load.c - what is stored, and how.
 *
 *     'M'                              version, store id, lanes
 *     'L' lane                         epoch, seq, latest event time
 *     'C' counter                      value, external, increments, id
 *     'B' width bucket counter         a tally, which grows by additions
 */
#include <stdlib.h>

#include "core/analytics_internal.h"

#define KEY_META    'M'
#define KEY_LANE    'L'
#define KEY_COUNTER 'C'
#define KEY_BUCKET  'B'

/* ---- keys ---- */

static struct slice numbered_key(struct buf *out, char space, uint32_t number) {
    buf_clear(out);
    buf_add_char(out, space);
    bytes_add_be32(out, number);
    return buf_slice(out);
}

void analytics_cell_key(struct tally_cell cell, struct buf *out) {
    buf_clear(out);
    buf_add_char(out, KEY_BUCKET);
    buf_add_char(out, (char)cell.width);
    bytes_add_be32(out, (uint32_t)cell.bucket);
    bytes_add_be32(out, cell.counter);
}

/* ---- staging ---- */

static void stage_source(struct analytics *a) {
    struct buf *record = &a->record;

    buf_clear(record);
    buf_add_char(record, ANALYTICS_VERSION);
    bytes_add_be64(record, a->store_id);
    bytes_add_be32(record, a->lanes_count);
    a->store->ops->put(a->store, numbered_key(&a->scratch, KEY_META, 0), buf_slice(record));
}

static void stage_lane(struct analytics *a, uint32_t number) {
    const struct analytics_lane *lane = &a->lanes[number];
    struct buf *record = &a->record;

    buf_clear(record);
    bytes_add_be64(record, lane->at.epoch);
    bytes_add_be64(record, lane->at.seq);
    bytes_add_zigzag(record, lane->latest_ms);
    a->store->ops->put(a->store, numbered_key(&a->scratch, KEY_LANE, number), buf_slice(record));
}

static void stage_counter(struct analytics *a, uint32_t number) {
    struct tracked *counter = &a->counters[number];
    struct buf *record = &a->record;

    buf_clear(record);
    bytes_add_zigzag(record, counter->value);
    bytes_add_zigzag(record, counter->external);
    bytes_add_varint(record, counter->increments);
    buf_add_slice(record, bytes_table_key(&a->ids, number));
    a->store->ops->put(a->store, numbered_key(&a->scratch, KEY_COUNTER, number), buf_slice(record));
    counter->dirty = false;
}

void analytics_stage(struct analytics *a) {
    if (a->source_dirty)
        stage_source(a);
    a->source_dirty = false;
    for (uint32_t i = 0; i < a->lanes_count; i++) {
        if (a->lanes[i].dirty)
            stage_lane(a, i);
        a->lanes[i].dirty = false;
    }
    for (uint32_t i = 0; i < a->changed_count; i++)
        stage_counter(a, a->changed[i]);
    a->changed_count = 0;
    for (uint32_t i = 0; i < a->delta.count; i++) {
        analytics_cell_key(tally_delta_cell(&a->delta.rows[i]), &a->scratch);
        a->store->ops->add(a->store, buf_slice(&a->scratch), a->delta.rows[i].tally);
    }
    tally_delta_clear(&a->delta);
}

/* ---- loading ---- */

struct load {
    struct analytics *analytics;
    enum err err;
};

static bool take_counter(void *ctx, struct slice key, struct slice value) {
    struct load *load = ctx;
    struct analytics *a = load->analytics;
    struct bytes_reader k = bytes_reader(slice_skip(key, 1));
    struct bytes_reader in = bytes_reader(value);
    struct tracked read = {.value = bytes_zigzag(&in), .external = bytes_zigzag(&in)};
    uint32_t number;

    read.increments = bytes_varint(&in);
    load->err = ERR_CORRUPT;
    if (in.failed || in.at == in.end || bytes_be32(&k) != a->ids.count)
        return false;
    load->err = analytics_add_counter(a, slice_of(in.at, bytes_left(&in)), &number);
    if (load->err != ERR_OK)
        return false;
    a->counters[number].value = read.value;
    a->counters[number].external = read.external;
    a->counters[number].increments = read.increments;
    analytics_rank_value(a, number);
    return true;
}

static bool take_lane(void *ctx, struct slice key, struct slice value) {
    struct load *load = ctx;
    struct analytics *a = load->analytics;
    struct bytes_reader k = bytes_reader(slice_skip(key, 1));
    struct bytes_reader in = bytes_reader(value);
    struct analytics_lane lane = {.at.epoch = bytes_be64(&in)};
    uint32_t number = bytes_be32(&k);

    lane.at.seq = bytes_be64(&in);
    lane.latest_ms = bytes_zigzag(&in);
    load->err = bytes_done(&in) && number < a->lanes_count ? ERR_OK : ERR_CORRUPT;
    if (load->err != ERR_OK)
        return false;
    a->lanes[number] = lane;
    if (lane.latest_ms > a->latest_ms)
        a->latest_ms = lane.latest_ms;
    return true;
}

static enum err load_space(struct analytics *a, char space,
                           bool (*take)(void *ctx, struct slice key, struct slice value)) {
    struct load load = {.analytics = a};
    char from = space;
    char to = (char)(space + 1);
    enum err err = a->store->ops->scan(a->store, slice_of(&from, 1), slice_of(&to, 1), take, &load);

    return err == ERR_OK ? load.err : err;
}

static enum err load_source(struct analytics *a) {
    struct slice key = numbered_key(&a->scratch, KEY_META, 0);

    buf_clear(&a->record);
    enum err err = a->store->ops->get(a->store, key, &a->record);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    if (err != ERR_OK)
        return err;
    struct bytes_reader in = bytes_reader(buf_slice(&a->record));
    uint8_t version = bytes_u8(&in);
    if (version > ANALYTICS_VERSION)
        return ERR_NEWER;
    a->store_id = bytes_be64(&in);
    a->lanes_count = bytes_be32(&in);
    if (!bytes_done(&in) || a->lanes_count == 0)
        return ERR_CORRUPT;
    a->lanes = calloc(a->lanes_count, sizeof(*a->lanes));
    return a->lanes ? ERR_OK : ERR_NO_MEMORY;
}

enum err analytics_load(struct analytics *a) {
    enum err err = load_source(a);

    if (err == ERR_OK)
        err = load_space(a, KEY_LANE, take_lane);
    if (err == ERR_OK)
        err = load_space(a, KEY_COUNTER, take_counter);
    return err;
}
