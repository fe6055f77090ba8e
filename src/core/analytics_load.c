/* analytics_load.c - what is stored, read back. */
#include <stdlib.h>

#include "core/analytics_internal.h"

/* ---- keys ---- */

struct slice analytics_key(struct buf *out, char space, uint32_t number) {
    buf_clear(out);
    buf_add_char(out, space);
    bytes_add_be32(out, number);
    return buf_slice(out);
}

struct slice analytics_cell_key(struct buf *out, struct tally_cell cell) {
    buf_clear(out);
    buf_add_char(out, KEY_BUCKET);
    buf_add_char(out, (char)cell.width);
    bytes_add_be32(out, (uint32_t)cell.bucket);
    bytes_add_be32(out, tally_group_of(cell.counter));
    return buf_slice(out);
}

enum err analytics_cell_of(const struct analytics *a, struct slice key, struct tally_cell *out) {
    struct bytes_reader in = bytes_reader(slice_skip(key, 1));

    out->width = (enum bucket_width)bytes_u8(&in);
    out->bucket = bytes_be32(&in);
    uint32_t group = bytes_be32(&in);
    if (!bytes_done(&in) || out->width >= BUCKET_WIDTHS || group > UINT32_MAX / TALLY_GROUP ||
        group * TALLY_GROUP >= a->ids.count)
        return ERR_CORRUPT;
    out->counter = group * TALLY_GROUP;
    return ERR_OK;
}

/* ---- loading ---- */

struct load {
    struct analytics *analytics;
    uint8_t version;
    enum err err;
};

static bool take_counter(void *ctx, struct slice key, struct slice value) {
    struct load *load = ctx;
    struct analytics *a = load->analytics;
    struct bytes_reader k = bytes_reader(slice_skip(key, 1));
    struct bytes_reader in = bytes_reader(value);
    struct tally now = {.sum = bytes_zigzag(&in)};
    uint32_t number;

    int64_t lane = bytes_zigzag(&in);
    if (a->made < WITH_LANES || lane < 0 || lane > a->lanes_count)
        lane = 0; /* version 1 had another figure there */
    now.increments = bytes_varint(&in);
    load->err = ERR_CORRUPT;
    if (in.failed || in.at == in.end || bytes_be32(&k) != a->ids.count)
        return false;
    load->err = analytics_add_counter(a, slice_of(in.at, bytes_left(&in)), (uint32_t)lane, &number);
    if (load->err == ERR_OK)
        analytics_rank(a, number, RANGE_ALL, now);
    return load->err == ERR_OK;
}

static bool take_value(void *ctx, struct slice key, struct slice value) {
    struct load *load = ctx;
    struct analytics *a = load->analytics;
    struct bytes_reader k = bytes_reader(slice_skip(key, 1));
    struct bytes_reader in = bytes_reader(value);
    struct tally now = {.sum = bytes_zigzag(&in)};
    uint32_t number = bytes_be32(&k);

    now.increments = bytes_varint(&in);
    load->err = bytes_done(&in) && number < a->ids.count ? ERR_OK : ERR_CORRUPT;
    if (load->err == ERR_OK)
        analytics_rank(a, number, RANGE_ALL, now);
    return load->err == ERR_OK;
}

static bool take_values(void *ctx, struct slice key, struct slice value) {
    struct load *load = ctx;
    struct analytics *a = load->analytics;
    struct bytes_reader k = bytes_reader(slice_skip(key, 1));
    uint32_t group = bytes_be32(&k);
    struct tally_group values = {0};

    load->err = bytes_done(&k) ? tally_group_fold(&values, value) : ERR_CORRUPT;
    for (; values.has && load->err == ERR_OK; tally_group_drop_first(&values)) {
        uint32_t at = tally_group_first(&values);
        uint64_t number = (uint64_t)group * TALLY_GROUP + at;

        if (number >= a->ids.count)
            load->err = ERR_CORRUPT;
        else
            analytics_rank(a, (uint32_t)number, RANGE_ALL, values.tallies[at]);
    }
    return load->err == ERR_OK;
}

static bool take_lane(void *ctx, struct slice key, struct slice value) {
    struct load *load = ctx;
    struct analytics *a = load->analytics;
    struct bytes_reader k = bytes_reader(slice_skip(key, 1));
    struct bytes_reader in = bytes_reader(value);
    struct analytics_lane lane = {.at.epoch = bytes_be64(&in)};
    uint32_t number = bytes_be32(&k);

    lane.at.seq = bytes_be64(&in);
    lane.stored = lane.at;
    lane.latest_ms = bytes_zigzag(&in);
    if (load->version >= VERSION_SINCE)
        lane.since_ms = bytes_zigzag(&in);
    else if (!a->values_known) /* it began with a store that had been there */
        lane.since_ms = lane.latest_ms;
    bool more = load->version >= VERSION_SINCE && bytes_left(&in);
    lane.missed = more && bytes_u8(&in) == 1;
    bool good = bytes_done(&in) && lane.missed == more;
    load->err = good && number < a->lanes_count ? ERR_OK : ERR_CORRUPT;
    if (load->err != ERR_OK)
        return false;
    a->stats.missed += lane.missed;
    lane.partition = a->lanes[number].partition;
    a->lanes[number] = lane;
    if (lane.latest_ms > a->latest_ms)
        a->latest_ms = lane.latest_ms;
    return true;
}

static bool take_partition(void *ctx, struct slice key, struct slice value) {
    struct load *load = ctx;
    struct partitions *partitions = &load->analytics->partitions;
    struct bytes_reader k = bytes_reader(slice_skip(key, 1));
    struct bytes_reader in = bytes_reader(value);
    struct analytics_partition partition = {.number = bytes_be32(&k),
                                            .of = (uint32_t)bytes_varint(&in)};

    partition.state = (enum partition_state)bytes_u8(&in);
    partition.moves = bytes_varint(&in);
    size_t peer = bytes_left(&in);
    bool good = !in.failed && partition.of && partition.state <= PARTITION_READY &&
                peer < sizeof(partition.peer) && partitions->count < ANALYTICS_PARTITIONS_MAX;
    load->err = good ? ERR_OK : ERR_CORRUPT;
    if (!good)
        return false;
    memcpy(partition.peer, in.at, peer);
    partitions->all[partitions->count++] = partition;
    return true;
}

static enum err load_space(struct analytics *a, uint8_t version, char space,
                           bool (*take)(void *ctx, struct slice key, struct slice value)) {
    struct load load = {.analytics = a, .version = version};
    char from = space;
    char to = (char)(space + 1);
    enum err err = a->store->ops->scan(a->store, slice_of(&from, 1), slice_of(&to, 1), take, &load);

    return err == ERR_OK ? load.err : err;
}

static enum err load_source(struct analytics *a, uint8_t *out_version) {
    struct slice key = analytics_key(&a->scratch, KEY_META, 0);

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
    *out_version = version;
    analytics_open_generation(a)->source_dirty = version < ANALYTICS_VERSION;
    a->store_id = bytes_be64(&in);
    uint32_t lanes = bytes_be32(&in);
    a->made = version < WITH_LANES ? version : bytes_u8(&in);
    if (!bytes_done(&in) || lanes == 0)
        return ERR_CORRUPT;
    return analytics_make_lanes(a, lanes) ? ERR_OK : ERR_NO_MEMORY;
}

static enum err load_known(struct analytics *a) {
    enum err err =
        a->store->ops->get(a->store, analytics_key(&a->scratch, KEY_KNOWN, 0), &a->record);

    a->values_known = err == ERR_OK;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err load_mark(struct analytics *a) {
    enum err err =
        a->store->ops->get(a->store, analytics_key(&a->scratch, KEY_META, META_MARK), &a->mark);

    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err analytics_load(struct analytics *a) {
    uint8_t version = ANALYTICS_VERSION;
    enum err err = load_source(a, &version);

    if (err == ERR_OK)
        err = load_known(a);
    if (err == ERR_OK)
        err = load_mark(a);
    if (err == ERR_OK)
        err = load_space(a, version, KEY_PART, take_partition);
    analytics_mark_lanes(a);
    a->veiled = UINT32_MAX;
    if (err == ERR_OK)
        err = load_space(a, version, KEY_LANE, take_lane);
    if (err == ERR_OK)
        err = load_space(a, version, KEY_COUNTER, take_counter);
    if (err == ERR_OK)
        err = load_space(a, version, KEY_VALUE, take_value);
    if (err == ERR_OK)
        err = load_space(a, version, KEY_VALUES, take_values);
    if (err == ERR_OK)
        err = analytics_regroup(a);
    if (err == ERR_OK)
        analytics_find_since(a);
    return err;
}
