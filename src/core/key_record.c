/* key_record.c - generation, lane, kind, counter, key -> argument, first answer. */
#include "core/key_record.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "core/meta_record.h"

#define RECORD_VERSION   1
#define FIRST_GENERATION 2 /* so that the one before exists as a number */

void key_records_init(struct key_records *keys, int64_t ttl_ms, const uint64_t seed[2]) {
    *keys = (struct key_records){.ttl_ms = ttl_ms > 0 ? ttl_ms : 1, .seed = {seed[0], seed[1]}};
}

void key_records_release(struct key_records *keys) {
    bytes_table_release(&keys->group);
    free(keys->records);
    buf_release(&keys->scope);
    buf_release(&keys->key);
    buf_release(&keys->value);
}

struct slice key_records_meta_key(void) {
    return SLICE("keys");
}

void key_records_create(struct key_records *keys, int64_t now_ms) {
    keys->generation = FIRST_GENERATION;
    keys->began_ms = now_ms - now_ms % keys->ttl_ms;
    keys->began_ttl_ms = keys->ttl_ms;
}

void key_records_encode(const struct key_records *keys, struct buf *out) {
    meta_record_begin(out);
    bytes_add_be64(out, keys->generation);
    bytes_add_be64(out, (uint64_t)keys->began_ms);
    bytes_add_be64(out, (uint64_t)keys->began_ttl_ms);
    meta_record_end(out);
}

/* Under another ttl the generation began elsewhere: late enough for what was just written, and
 * no earlier than it did, as the generation before counts from there. */
static void adopt_ttl(struct key_records *keys, int64_t clock_ms) {
    int64_t began_ms = clock_ms - clock_ms % keys->ttl_ms;

    if (keys->began_ttl_ms == keys->ttl_ms)
        return;
    if (began_ms > keys->began_ms)
        keys->began_ms = began_ms;
    keys->began_ttl_ms = keys->ttl_ms;
    keys->dirty = true;
}

enum err key_records_decode(struct key_records *keys, struct slice record, int64_t clock_ms,
                            unsigned *out_version) {
    struct bytes_reader in;
    enum err err = meta_record_open(record, &in, out_version);

    if (err != ERR_OK)
        return err;
    uint64_t generation = bytes_be64(&in);
    int64_t began_ms = (int64_t)bytes_be64(&in);
    int64_t began_ttl_ms = (int64_t)bytes_be64(&in);
    if (!bytes_done(&in) || generation < FIRST_GENERATION || began_ttl_ms <= 0)
        return ERR_CORRUPT;
    keys->generation = generation;
    keys->began_ms = began_ms;
    keys->began_ttl_ms = began_ttl_ms;
    adopt_ttl(keys, clock_ms);
    return ERR_OK;
}

static void generation_key(struct buf *out, uint64_t generation) {
    buf_clear(out);
    bytes_add_be64(out, generation);
}

void key_records_turn(struct key_records *keys, struct kv *kv, int64_t clock_ms) {
    int64_t age_ms = clock_ms - keys->began_ms;

    if (LIKELY(age_ms < keys->ttl_ms))
        return;
    uint64_t first = keys->generation - 1;
    /* After a ttl without a turn what the current one holds is out of reach as well. */
    keys->generation += age_ms / 2 >= keys->ttl_ms ? 2 : 1;
    keys->began_ms += age_ms - age_ms % keys->ttl_ms;
    keys->dirty = true;
    generation_key(&keys->key, first);
    generation_key(&keys->value, keys->generation - 1);
    kv_del_range(kv, KV_KEY, buf_slice(&keys->key), buf_slice(&keys->value));
}

static enum err decode(struct slice bytes, struct key_record *out) {
    struct bytes_reader in = bytes_reader(bytes);
    uint8_t version = bytes_u8(&in);

    if (version > RECORD_VERSION)
        return ERR_NEWER;
    out->arg = bytes_zigzag(&in);
    out->value = bytes_zigzag(&in);
    out->time_ms = bytes_zigzag(&in);
    return version == RECORD_VERSION && bytes_done(&in) ? ERR_OK : ERR_CORRUPT;
}

static void full_key(struct key_records *keys, uint64_t generation, struct slice scope) {
    generation_key(&keys->key, generation);
    buf_add_slice(&keys->key, scope);
}

/* The current generation first, then the one before. */
static enum err read_store(struct key_records *keys, struct kv *kv, struct slice scope,
                           struct key_record *out) {
    for (uint64_t back = 0; back < 2; back++) {
        out->generation = keys->generation - back;
        full_key(keys, out->generation, scope);
        buf_clear(&keys->value);
        enum err err = buf_failed(&keys->key)
                           ? ERR_NO_MEMORY
                           : kv_get(kv, KV_KEY, buf_slice(&keys->key), &keys->value);
        if (err == ERR_NOT_FOUND)
            continue;
        if (err != ERR_OK)
            return err;
        out->present = true;
        return decode(buf_slice(&keys->value), out);
    }
    return ERR_OK;
}

static bool make_room(struct key_records *keys) {
    if (keys->group.count < keys->records_cap)
        return true;
    uint32_t cap = keys->records_cap ? keys->records_cap * 2 : 64;
    struct key_record *records = realloc(keys->records, cap * sizeof(*records));
    if (!records)
        return false;
    keys->records = records;
    keys->records_cap = cap;
    return true;
}

enum err key_records_load(struct key_records *keys, struct kv *kv, uint32_t lane, struct slice id,
                          const struct op *op, uint32_t *out_number) {
    struct key_record record = {0};
    struct buf *scope = &keys->scope;

    buf_clear(scope);
    bytes_add_be32(scope, lane);
    buf_add_char(scope, (char)op->kind);
    bytes_add_varint(scope, id.len);
    buf_add_slice(scope, id);
    buf_add_slice(scope, op->key);
    if (buf_failed(scope))
        return ERR_NO_MEMORY;
    uint64_t hash = siphash(keys->seed, buf_slice(scope));
    uint32_t number = bytes_table_find(&keys->group, hash, buf_slice(scope));
    if (number == BYTES_TABLE_NONE) {
        enum err err = read_store(keys, kv, buf_slice(scope), &record);
        if (err != ERR_OK)
            return err;
        if (!make_room(keys))
            return ERR_NO_MEMORY;
        number = bytes_table_add(&keys->group, hash, buf_slice(scope));
        if (number == BYTES_TABLE_NONE)
            return ERR_NO_MEMORY;
        keys->records[number] = record;
    }
    *out_number = number;
    return ERR_OK;
}

const struct key_record *key_records_get(const struct key_records *keys, uint32_t number) {
    const struct key_record *record = &keys->records[number];

    /* A generation may have begun since it was looked up. */
    return record->present && record->generation + 1 >= keys->generation ? record : NULL;
}

void key_records_put(struct key_records *keys, struct kv *kv, uint32_t number, int64_t arg,
                     int64_t value, int64_t time_ms) {
    keys->records[number] = (struct key_record){keys->generation, true, arg, value, time_ms};
    full_key(keys, keys->generation, bytes_table_key(&keys->group, number));
    buf_clear(&keys->value);
    buf_add_char(&keys->value, RECORD_VERSION);
    bytes_add_zigzag(&keys->value, arg);
    bytes_add_zigzag(&keys->value, value);
    bytes_add_zigzag(&keys->value, time_ms);
    kv_put(kv, KV_KEY, buf_slice(&keys->key), buf_slice(&keys->value));
}

void key_records_group_end(struct key_records *keys) {
    bytes_table_clear(&keys->group);
}
