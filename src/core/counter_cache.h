/* counter_cache.h - counters' values: exact for the open group, a bounded cache behind it.
 *
 *     young ─ full at the end of a group ─► old ─ next time ─► dropped
 *       ▲────────────── touched ──────────────┘
 *
 * A counter that a group touches is in the young generation until the group
 * ends, changed or not, so no uncommitted value is ever dropped.
 *
 * Threads    One owner.
 * Ownership  Ids are copied. A counter's number is valid until the group ends.
 * Limits     'counters_max' over both generations at the end of a group; a
 *            group larger than that keeps what it touches.
 */
#ifndef CORE_COUNTER_CACHE_H
#define CORE_COUNTER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/bytes_table.h"
#include "core/kv.h"

struct cached_counter {
    int64_t value;
    int64_t time_ms;        /* of the last change, 0: never */
    uint64_t event_message; /* the message that made 'event' */
    uint32_t event;         /* its latest pending event on this counter */
    bool dirty;             /* changed by the open group */
};

struct cache_generation {
    struct bytes_table ids;
    struct cached_counter *counters; /* by the id's number */
    uint32_t cap;
};

struct counter_cache {
    struct cache_generation young;
    struct cache_generation old;
    uint32_t *dirty; /* numbers of the young that are dirty; as many as young.cap */
    uint32_t dirty_count;
    uint32_t dirty_cap;
    size_t young_max;
    uint64_t seed[2];
    uint64_t misses_total;
    struct buf record; /* scratch */
};

void counter_cache_init(struct counter_cache *cache, size_t counters_max, const uint64_t seed[2]);
void counter_cache_release(struct counter_cache *cache);

/* Makes the loads of many counters wait for memory together: call each step for all of them, then
 * load them. The first sets 'lookup'. */
struct cache_lookup {
    uint64_t hash;
    uint32_t guess;
};
void counter_cache_prepare(const struct counter_cache *cache, struct slice id,
                           struct cache_lookup *lookup);
void counter_cache_prefetch_row(const struct counter_cache *cache, struct cache_lookup *lookup);
void counter_cache_prefetch_id(const struct counter_cache *cache,
                               const struct cache_lookup *lookup);

/* Makes counter 'id' part of the group, from memory or the store.
 * ERR_NO_MEMORY; ERR_CORRUPT, ERR_IO: the store. */
MUST_CHECK enum err counter_cache_load(struct counter_cache *cache, struct kv *kv, struct slice id,
                                       const struct cache_lookup *lookup, uint32_t *out_number);

/* Valid until the next load. */
static inline struct cached_counter *counter_cache_at(struct counter_cache *cache,
                                                      uint32_t number) {
    return &cache->young.counters[number];
}

static inline struct slice counter_cache_id(const struct counter_cache *cache, uint32_t number) {
    return bytes_table_key(&cache->young.ids, number);
}

/* The caller changed it. Never fails: the room was made by the load. */
void counter_cache_touch(struct counter_cache *cache, uint32_t number);

/* Puts every changed counter into the kv's batch. */
void counter_cache_stage(struct counter_cache *cache, struct kv *kv);

/* The group was committed. */
void counter_cache_group_end(struct counter_cache *cache);

size_t counter_cache_count(const struct counter_cache *cache);

/* KV_COUNTER's value. ERR_CORRUPT, ERR_NEWER. */
MUST_CHECK enum err counter_record_decode(struct slice record, int64_t *out_value,
                                          int64_t *out_time_ms);

#endif
