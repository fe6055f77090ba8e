/* redis_outbox.h - reads an entry of a lane's outbox stream as lua/apply.lua wrote it.
 *
 * The id is <epoch>-<sequence of its last event>; fields: t event time, c chain, p producer,
 * n number, s how many events, e the events one behind another:
 *
 *     a1 42 5,7 post:like\0    kind a(dd) s(et) r(eset), delta (add) or old value, new value, the
 *                              operations' indexes in the message, the id: resource, ':', type with
 *                              '%' and ':' escaped; no id has a zero byte
 *
 * chain: the first 16 hex digits of SHA-1 over "<chain before> <producer> <number> <indexes>", the
 * indexes those of all events in order.
 *
 * Threads    Plain functions.
 * Ownership  Borrows from the strings given.
 */
#ifndef EDGE_REDIS_OUTBOX_H
#define EDGE_REDIS_OUTBOX_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/op.h"

struct redis_outbox_entry {
    uint64_t epoch;
    uint64_t first_seq;
    uint64_t last_seq;
    int64_t et_ms;
    struct slice chain;    /* 16 hex digits */
    struct slice producer; /* 32 hex digits */
    uint64_t number;

    struct slice rest; /* redis_outbox_next()'s */
    uint64_t next_seq;
};

struct redis_outbox_event {
    uint64_t seq;
    enum op_kind kind;
    struct slice id;
    int64_t delta; /* new - old, modulo 2^64 for a set (core/outbox.h) */
    int64_t old_value;
    int64_t new_value;
    struct slice indexes; /* "5,7" */
    uint64_t count;       /* of them */
};

/* 'fields': names and values by turns, 'count' of both together. ERR_CORRUPT. */
MUST_CHECK enum err redis_outbox_decode(struct slice id, const struct slice *fields, size_t count,
                                        struct redis_outbox_entry *out);

/* ERR_NOT_FOUND behind the last event, ERR_CORRUPT. */
MUST_CHECK enum err redis_outbox_next(struct redis_outbox_entry *entry,
                                      struct redis_outbox_event *out);

#endif
