/* counter_cache.c - two generations of one table each, turned at the end of a group. */
#include "core/counter_cache.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "core/bytes.h"

#define RECORD_VERSION 1

void counter_cache_init(struct counter_cache *cache, size_t counters_max, const uint64_t seed[2]) {
    *cache = (struct counter_cache){.young_max = counters_max / 2 ? counters_max / 2 : 1,
                                    .seed = {seed[0], seed[1]}};
}

static void generation_release(struct cache_generation *generation) {
    bytes_table_release(&generation->ids);
    free(generation->counters);
}

void counter_cache_release(struct counter_cache *cache) {
    generation_release(&cache->young);
    generation_release(&cache->old);
    free(cache->dirty);
    buf_release(&cache->record);
}

enum err counter_record_decode(struct slice record, int64_t *out_value, int64_t *out_time_ms) {
    struct bytes_reader in = bytes_reader(record);
    uint8_t version = bytes_u8(&in);
    int64_t value = (int64_t)bytes_be64(&in);
    int64_t time_ms = (int64_t)bytes_be64(&in);

    if (version > RECORD_VERSION)
        return ERR_NEWER;
    if (version != RECORD_VERSION || !bytes_done(&in))
        return ERR_CORRUPT;
    *out_value = value;
    *out_time_ms = time_ms;
    return ERR_OK;
}

/* Room for one more counter in the young generation and on the dirty list. */
static bool make_room(struct counter_cache *cache) {
    struct cache_generation *young = &cache->young;
    uint32_t cap = young->cap;

    if (young->ids.count == cap) {
        cap = cap ? cap * 2 : 64;
        struct cached_counter *counters = realloc(young->counters, cap * sizeof(*counters));
        if (!counters)
            return false;
        young->counters = counters;
        young->cap = cap;
    }
    if (cache->dirty_cap >= cap)
        return true;
    uint32_t *dirty = realloc(cache->dirty, cap * sizeof(*dirty));
    if (!dirty)
        return false;
    cache->dirty = dirty;
    cache->dirty_cap = cap;
    return true;
}

static enum err read_store(struct counter_cache *cache, struct kv *kv, struct slice id,
                           struct cached_counter *out) {
    buf_clear(&cache->record);
    enum err err = kv_get(kv, KV_COUNTER, id, &cache->record);

    cache->misses_total++;
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    if (err != ERR_OK)
        return err;
    return counter_record_decode(buf_slice(&cache->record), &out->value, &out->time_ms);
}

void counter_cache_prepare(const struct counter_cache *cache, struct slice id,
                           struct cache_lookup *lookup) {
    lookup->hash = siphash(cache->seed, id);
    bytes_table_prefetch_slot(&cache->young.ids, lookup->hash);
}

void counter_cache_prefetch_row(const struct counter_cache *cache, struct cache_lookup *lookup) {
    lookup->guess = bytes_table_prefetch_row(&cache->young.ids, lookup->hash);
    if (lookup->guess != BYTES_TABLE_NONE)
        __builtin_prefetch(&cache->young.counters[lookup->guess], 1);
}

void counter_cache_prefetch_id(const struct counter_cache *cache,
                               const struct cache_lookup *lookup) {
    if (lookup->guess != BYTES_TABLE_NONE)
        bytes_table_prefetch_key(&cache->young.ids, lookup->guess);
}

enum err counter_cache_load(struct counter_cache *cache, struct kv *kv, struct slice id,
                            const struct cache_lookup *lookup, uint32_t *out_number) {
    uint64_t hash = lookup->hash;
    uint32_t number = bytes_table_find(&cache->young.ids, hash, id);
    struct cached_counter counter = {0};

    if (LIKELY(number != BYTES_TABLE_NONE)) {
        *out_number = number;
        return ERR_OK;
    }
    if (!make_room(cache))
        return ERR_NO_MEMORY;
    uint32_t aged = bytes_table_find(&cache->old.ids, hash, id);
    if (aged != BYTES_TABLE_NONE) {
        counter = cache->old.counters[aged];
    } else {
        enum err err = read_store(cache, kv, id, &counter);
        if (err != ERR_OK)
            return err;
    }
    number = bytes_table_add(&cache->young.ids, hash, id);
    if (number == BYTES_TABLE_NONE)
        return ERR_NO_MEMORY;
    cache->young.counters[number] = counter;
    *out_number = number;
    return ERR_OK;
}

void counter_cache_touch(struct counter_cache *cache, uint32_t number) {
    struct cached_counter *counter = &cache->young.counters[number];

    if (counter->dirty)
        return;
    counter->dirty = true;
    cache->dirty[cache->dirty_count++] = number;
}

void counter_cache_stage(struct counter_cache *cache, struct kv *kv) {
    for (uint32_t i = 0; i < cache->dirty_count; i++) {
        const struct cached_counter *counter = &cache->young.counters[cache->dirty[i]];

        buf_clear(&cache->record);
        buf_add_char(&cache->record, RECORD_VERSION);
        bytes_add_be64(&cache->record, (uint64_t)counter->value);
        bytes_add_be64(&cache->record, (uint64_t)counter->time_ms);
        kv_put(kv, KV_COUNTER, counter_cache_id(cache, cache->dirty[i]), buf_slice(&cache->record));
    }
}

void counter_cache_group_end(struct counter_cache *cache) {
    for (uint32_t i = 0; i < cache->dirty_count; i++)
        cache->young.counters[cache->dirty[i]].dirty = false;
    cache->dirty_count = 0;
    if (cache->young.ids.count < cache->young_max)
        return;
    struct cache_generation dropped = cache->old;
    cache->old = cache->young;
    cache->young = dropped;
    bytes_table_clear(&cache->young.ids);
}

size_t counter_cache_count(const struct counter_cache *cache) {
    return (size_t)cache->young.ids.count + cache->old.ids.count;
}
