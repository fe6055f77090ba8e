/* key_record.h - clients' idempotency keys in two generations (RELIABILITY 3.5).
 *
 *     generation g-1 (read) │ generation g (read and written)
 *       └─ deleted whole when g+1 begins, at least one ttl after g began
 *
 * So a record lives between one and two ttl by the store's clock and is never
 * prolonged. Generations begin at multiples of the ttl; when it was changed
 * between two starts the current one counts from the start.
 *
 * Records are looked up before anything is staged and then kept in memory until
 * the group ends: a key used twice in a message or a group finds itself.
 *
 * Threads    One owner.
 * Limits     Memory for the keys of one group.
 */
#ifndef CORE_KEY_RECORD_H
#define CORE_KEY_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "core/bytes_table.h"
#include "core/kv.h"
#include "core/op.h"

struct key_record {
    uint64_t generation; /* it was written in */
    bool present;
    int64_t arg; /* the fingerprint; the kind and the counter are part of the key */
    int64_t value;
    int64_t time_ms;
};

struct key_records {
    int64_t ttl_ms;
    /* stored */
    uint64_t generation; /* the current one, from 2 */
    int64_t began_ms;    /* what it holds is at most a ttl younger */
    int64_t began_ttl_ms;
    /* memory only */
    bool dirty;
    struct bytes_table group; /* what the open group looked up */
    struct key_record *records;
    uint32_t records_cap;
    uint64_t seed[2];
    struct buf scope; /* scratch */
    struct buf key;
    struct buf value;
};

void key_records_init(struct key_records *keys, int64_t ttl_ms, const uint64_t seed[2]);
void key_records_release(struct key_records *keys);

/* The record of the generations, in KV_META. */
struct slice key_records_meta_key(void);
void key_records_create(struct key_records *keys, int64_t now_ms);
void key_records_encode(const struct key_records *keys, struct buf *out);
MUST_CHECK enum err key_records_decode(struct key_records *keys, struct slice record,
                                       int64_t clock_ms, unsigned *out_version);

/* Begins a generation when one is due at 'clock_ms' (never goes back) and deletes what is then
 * out of reach. Call before lookups. */
void key_records_turn(struct key_records *keys, struct kv *kv, int64_t clock_ms);

/* Finds the record of a keyed operation or makes an absent one.
 * ERR_NO_MEMORY, ERR_CORRUPT, ERR_NEWER or the store's. */
MUST_CHECK enum err key_records_load(struct key_records *keys, struct kv *kv, uint32_t lane,
                                     struct slice id, const struct op *op, uint32_t *out_number);

/* NULL: the key is new, or too old. */
const struct key_record *key_records_get(const struct key_records *keys, uint32_t number);

/* Remembers the first answer. Never fails after the load. */
void key_records_put(struct key_records *keys, struct kv *kv, uint32_t number, int64_t arg,
                     int64_t value, int64_t time_ms);

void key_records_group_end(struct key_records *keys);

#endif
