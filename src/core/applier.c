/* applier.c - the store's life: open or lay out, commit, tidy, close. */
#include "core/applier.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/siphash.h"
#include "core/applier_internal.h"
#include "core/rules.h"

static _Thread_local char detail[256];

/* ---- open ---- */

/* The sentence for a record that doesn't read; other errors are the store's own. */
static enum err explain(enum err err, const char *what, uint32_t number, unsigned version,
                        size_t bytes) {
    if (err == ERR_NEWER)
        snprintf(detail, sizeof(detail),
                 "%s %" PRIu32 " was written in format %u; this program reads up to format %d",
                 what, number, version, META_RECORD_VERSION);
    else if (err == ERR_CORRUPT)
        snprintf(detail, sizeof(detail),
                 "%s %" PRIu32 " is damaged: its %zu bytes don't match their check or their form",
                 what, number, bytes);
    else
        snprintf(detail, sizeof(detail), "the store could not be read or written: %s",
                 err_text(err));
    return err;
}

/* A store without a layout must be empty: laying it out anew would orphan what is there. */
static enum err check_empty(struct applier *a) {
    for (int space = 0; space < KV_SPACES; space++) {
        struct buf from = {0};

        buf_clear(&a->key);
        buf_clear(&a->entry);
        enum err err = kv_seek(a->kv, (enum kv_space)space, buf_slice(&from), &a->key, &a->entry);
        if (err == ERR_OK) {
            snprintf(detail, sizeof(detail),
                     "the store holds data in key space %d but its layout record is missing",
                     space);
            return ERR_CORRUPT;
        }
        if (err != ERR_NOT_FOUND)
            return explain(err, "", 0, 0, 0);
    }
    return ERR_OK;
}

/* Scratch for records of fixed size, so that staging one never fails; what grows with a message
 * makes its room before. */
#define SCRATCH_BYTES 256

static enum err make_scratch(struct applier *a) {
    struct buf *all[] = {&a->ids,      &a->entry,      &a->key,      &a->cache.record,
                         &a->keys.key, &a->keys.value, &a->trim.from};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (!buf_reserve(all[i], SCRATCH_BYTES))
            return explain(ERR_NO_MEMORY, "", 0, 0, 0);
    }
    return ERR_OK;
}

static void stage_lane(struct applier *a, uint32_t number) {
    a->lanes.at[number].clock_ms = a->clock_ms;
    lane_key(number, &a->key);
    lane_encode(&a->lanes.at[number], &a->entry);
    kv_put(a->kv, KV_META, buf_slice(&a->key), buf_slice(&a->entry));
}

static void stage_keys(struct applier *a) {
    key_records_encode(&a->keys, &a->entry);
    kv_put(a->kv, KV_META, key_records_meta_key(), buf_slice(&a->entry));
    a->keys.dirty = false;
}

/* Everything whose size depends on the number of lanes. */
static enum err make_lanes(struct applier *a) {
    uint32_t lanes = a->layout.lanes;

    a->lanes.at = calloc(lanes, sizeof(*a->lanes.at));
    a->lanes.count = lanes;
    a->parts = calloc(lanes, sizeof(*a->parts));
    a->part_of_lane = malloc(lanes * sizeof(*a->part_of_lane));
    if (!a->lanes.at || !a->parts || !a->part_of_lane)
        return ERR_NO_MEMORY;
    memset(a->part_of_lane, 0xff, lanes * sizeof(*a->part_of_lane));
    windows_init(&a->windows, lanes);
    if (!buf_reserve(&a->windows.key, SCRATCH_BYTES))
        return ERR_NO_MEMORY;
    a->trim.kv = a->kv;
    a->trim.lanes = &a->lanes;
    a->trim.consumers = &a->consumers;
    a->trim.max_bytes = a->conf.outbox_max_bytes;
    a->trim.max_age_ms = a->conf.outbox_max_age_ms;
    return ERR_OK;
}

static enum err create(struct applier *a) {
    int64_t words[2] = {a->clock_ms, 0};
    enum err err = check_empty(a);

    if (err != ERR_OK)
        return err;
    uint32_t new_lanes = a->conf.new_lanes ? a->conf.new_lanes : 1;

    a->layout.lanes = a->conf.lanes ? a->conf.lanes : new_lanes;
    a->layout.store_id = siphash(a->conf.hash_seed, slice_of((const char *)words, sizeof(words)));
    a->layout.created_ms = a->clock_ms;
    err = make_lanes(a);
    if (err == ERR_OK)
        err = consumers_open(&a->consumers, a->kv, a->layout.lanes);
    if (err != ERR_OK)
        return explain(err, "", 0, 0, 0);
    layout_encode(&a->layout, &a->entry);
    kv_put(a->kv, KV_META, layout_key(), buf_slice(&a->entry));
    key_records_create(&a->keys, a->clock_ms);
    stage_keys(a);
    for (uint32_t i = 0; i < a->layout.lanes; i++) {
        lane_init(&a->lanes.at[i]);
        stage_lane(a, i);
    }
    err = kv_commit(a->kv, true);
    return err == ERR_OK ? ERR_OK : explain(err, "", 0, 0, 0);
}

/* Reads one of ours from KV_META into a->entry. Missing is as bad as damaged. */
static enum err read_meta(struct applier *a, struct slice key) {
    buf_clear(&a->entry);
    enum err err = kv_get(a->kv, KV_META, key, &a->entry);

    return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
}

static enum err read_lane(struct applier *a, uint32_t number) {
    unsigned version = 0;

    lane_key(number, &a->key);
    enum err err = read_meta(a, buf_slice(&a->key));
    if (err == ERR_OK)
        err = lane_decode(buf_slice(&a->entry), &a->lanes.at[number], &version);
    if (err != ERR_OK)
        return explain(err, "the record of lane", number, version, a->entry.len);
    /* The wall clock may have gone back since. */
    if (a->lanes.at[number].clock_ms > a->clock_ms)
        a->clock_ms = a->lanes.at[number].clock_ms;
    return ERR_OK;
}

static enum err read_keys(struct applier *a) {
    unsigned version = 0;
    enum err err = read_meta(a, key_records_meta_key());

    if (err == ERR_OK)
        err = key_records_decode(&a->keys, buf_slice(&a->entry), a->clock_ms, &version);
    return err == ERR_OK ? ERR_OK
                         : explain(err, "the record of key generations", 0, version, a->entry.len);
}

static enum err explain_one_of(enum err err, const char *what) {
    if (err != ERR_NEWER && err != ERR_CORRUPT)
        return err == ERR_OK ? ERR_OK : explain(err, "", 0, 0, 0);
    snprintf(detail, sizeof(detail), "a record %s is %s", what,
             err == ERR_NEWER ? "of a newer format" : "damaged");
    return err;
}

static enum err read_windows_and_outbox(struct applier *a) {
    uint32_t lane = 0;
    enum err err = explain_one_of(windows_open(&a->windows, a->kv), "in the dedup windows");

    if (err == ERR_OK)
        err = explain_one_of(consumers_open(&a->consumers, a->kv, a->layout.lanes),
                             "of the outbox's consumers");
    if (err != ERR_OK)
        return err;
    err = outbox_trim_open(&a->trim, &lane);
    if (err == ERR_NEWER || err == ERR_CORRUPT) {
        snprintf(detail, sizeof(detail),
                 "lane %" PRIu32 " accounts for %" PRIu64
                 " bytes of outbox, but its oldest entry is missing or doesn't read",
                 lane, a->lanes.at[lane].outbox_bytes);
        return err;
    }
    return err == ERR_OK ? ERR_OK : explain(err, "", 0, 0, 0);
}

static enum err load_store(struct applier *a) {
    unsigned version = 0;
    enum err err = layout_decode(buf_slice(&a->entry), &a->layout, &version);

    if (err != ERR_OK)
        return explain(err, "the layout record", 1, version, a->entry.len);
    if (a->conf.lanes && a->conf.lanes != a->layout.lanes) {
        snprintf(detail, sizeof(detail),
                 "lanes: the store was made with %" PRIu32 ", the configuration asks for %" PRIu32,
                 a->layout.lanes, a->conf.lanes);
        return ERR_LAYOUT;
    }
    err = make_lanes(a);
    if (err != ERR_OK)
        return explain(err, "", 0, 0, 0);
    for (uint32_t i = 0; i < a->layout.lanes && err == ERR_OK; i++)
        err = read_lane(a, i);
    if (err == ERR_OK)
        err = read_keys(a);
    return err == ERR_OK ? read_windows_and_outbox(a) : err;
}

static enum err open_store(struct applier *a) {
    if (a->conf.lanes > APPLIER_MAX_LANES) {
        snprintf(detail, sizeof(detail), "%" PRIu32 " lanes are too many; the most is %d",
                 a->conf.lanes, APPLIER_MAX_LANES);
        return ERR_INVALID;
    }
    buf_clear(&a->entry);
    enum err err = kv_get(a->kv, KV_META, layout_key(), &a->entry);
    if (err == ERR_OK)
        return load_store(a);
    return err == ERR_NOT_FOUND ? create(a) : explain(err, "", 0, 0, 0);
}

enum err applier_open(struct kv *kv, const struct applier_conf *conf, struct applier_time now,
                      struct applier **out, const char **out_detail) {
    struct applier *a = calloc(1, sizeof(*a));

    *out_detail = detail;
    if (!a)
        return explain(ERR_NO_MEMORY, "", 0, 0, 0);
    a->kv = kv;
    a->conf = *conf;
    a->clock_ms = now.wall_ms;
    /* What an earlier process left to the operating system may not be on disk: answering a
     * duplicate from it would promise too much (RELIABILITY 1, "duplicate hit + WAIT"). */
    a->unsynced = true;
    counter_cache_init(&a->cache, conf->cache_counters, conf->hash_seed);
    key_records_init(&a->keys, conf->key_ttl_ms, conf->hash_seed);
    enum err err = make_scratch(a);
    if (err == ERR_OK)
        err = open_store(a);
    if (err != ERR_OK) {
        applier_close(a);
        return err;
    }
    a->ahead_ms = a->clock_ms - now.mono_ms;
    *out = a;
    return ERR_OK;
}

void applier_close(struct applier *applier) {
    if (!applier)
        return;
    counter_cache_release(&applier->cache);
    key_records_release(&applier->keys);
    windows_release(&applier->windows);
    consumers_release(&applier->consumers);
    outbox_trim_release(&applier->trim);
    free(applier->lanes.at);
    free(applier->parts);
    free(applier->part_of_lane);
    free(applier->work);
    free(applier->events);
    buf_release(&applier->ids);
    buf_release(&applier->entry);
    buf_release(&applier->key);
    free(applier);
}

/* ---- commit ---- */

static void stage_meta(struct applier *a) {
    for (struct lane *lane = a->lanes.dirty; lane; lane = lane->next_dirty) {
        stage_lane(a, (uint32_t)(lane - a->lanes.at));
        lane->dirty = false;
    }
    a->lanes.dirty = NULL;
    if (a->keys.dirty)
        stage_keys(a);
    consumers_stage(&a->consumers, a->kv);
}

/* One atomic write (RELIABILITY 3.3). Without RULE_ONE_WRITE the counters come in a second one,
 * and a crash between the two must turn a checker red. */
static enum err write_group(struct applier *a, bool durable) {
    enum err err = ERR_OK;

    stage_meta(a);
    if (!RULE(RULE_ONE_WRITE))
        err = kv_commit(a->kv, durable);
    if (err != ERR_OK)
        return err;
    counter_cache_stage(&a->cache, a->kv);
    return kv_commit(a->kv, durable);
}

enum err applier_commit(struct applier *applier, bool durable) {
    struct applier *a = applier;
    enum err err = ERR_OK;

    if (a->broken != ERR_OK)
        return a->broken;
    if (a->staged)
        err = write_group(a, durable);
    else if (durable && a->unsynced)
        err = kv_sync(a->kv);
    if (err != ERR_OK) {
        a->broken = err;
        return err;
    }
    if (durable)
        a->unsynced = false;
    else
        a->unsynced |= a->staged;
    a->staged = false;
    counter_cache_group_end(&a->cache);
    key_records_group_end(&a->keys);
    return ERR_OK;
}

enum err applier_tidy(struct applier *applier, struct applier_time now) {
    struct applier *a = applier;

    if (a->broken != ERR_OK)
        return a->broken;
    applier_set_time(a, now);
    windows_tidy(&a->windows, a->kv, &a->lanes, a->clock_ms);
    key_records_turn(&a->keys, a->kv, a->clock_ms);
    /* Event times are the wall clock's, which may just be wrong: an entry goes when both clocks
     * call it old. */
    enum err err = outbox_trim_run(&a->trim, now.wall_ms < a->clock_ms ? now.wall_ms : a->clock_ms);
    if (err != ERR_OK) {
        a->broken = err;
        return err;
    }
    a->staged |= a->keys.dirty || a->lanes.dirty;
    return ERR_OK;
}

bool applier_has_chores(const struct applier *applier) {
    return applier->trim.more;
}

/* ---- consumers ---- */

enum err applier_consumer_add(struct applier *applier, struct slice name,
                              const struct event_position **out_at) {
    struct applier *a = applier;
    struct consumer *consumer = consumers_find(&a->consumers, name);

    if (a->broken != ERR_OK)
        return a->broken;
    if (!consumer) {
        enum err err = consumers_add(&a->consumers, name, &a->lanes, &consumer);

        if (err != ERR_OK)
            return err;
        a->staged = true;
    }
    *out_at = consumer->at;
    return ERR_OK;
}

const struct event_position *applier_consumer_at(struct applier *applier, struct slice name) {
    const struct consumer *consumer = consumers_find(&applier->consumers, name);

    return consumer && applier->broken == ERR_OK ? consumer->at : NULL;
}

void applier_consumer_remove(struct applier *applier, struct slice name) {
    struct consumer *consumer = consumers_find(&applier->consumers, name);

    if (!consumer || applier->broken != ERR_OK)
        return;
    consumers_remove(&applier->consumers, applier->kv, consumer);
    applier->staged = true;
}

enum err applier_consumer_report(struct applier *applier, struct slice name, uint32_t lane,
                                 struct event_position at) {
    struct applier *a = applier;
    struct consumer *consumer = consumers_find(&a->consumers, name);

    if (a->broken != ERR_OK)
        return a->broken;
    if (!consumer)
        return ERR_NOT_FOUND;
    if (lane >= a->lanes.count || event_position_less(applier_lane_end(a, lane), at))
        return ERR_INVALID;
    consumers_report(&a->consumers, consumer, lane, at);
    a->staged = true;
    return ERR_OK;
}

struct event_position applier_lane_end(const struct applier *applier, uint32_t lane) {
    return (struct event_position){applier->lanes.at[lane].epoch, applier->lanes.at[lane].seq};
}

int64_t applier_clock_ms(const struct applier *applier) {
    return applier->clock_ms;
}

int64_t applier_ahead_ms(const struct applier *applier) {
    return applier->ahead_ms;
}

void applier_stats(const struct applier *applier, struct applier_stats *out) {
    *out = (struct applier_stats){
        .lanes = applier->layout.lanes,
        .store_id = applier->layout.store_id,
        .events_total = applier->events_total,
        .operations_total = applier->operations_total,
        .replayed_messages_total = applier->replayed_messages_total,
        .replayed_keys_total = applier->replayed_keys_total,
        .trimmed_events_total = applier->trim.trimmed_events_total,
        .refused_full_total = applier->refused_full_total,
        .consumers = applier->consumers.count,
        .outbox_bytes = applier->trim.bytes,
        .cached_counters = counter_cache_count(&applier->cache),
        .cache_misses_total = applier->cache.misses_total,
        .producers = applier->windows.producers,
    };
}
