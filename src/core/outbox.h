/* outbox.h - the lanes' numbered events as stored (RELIABILITY 3.3).
 *
 * One entry holds the events of one message in one lane. Its key is lane, epoch and the number
 * of its last event, big endian, so that memcmp order is numeric.
 *
 * An event says by how much a counter changed: 'delta' is new_value - old_value. For an
 * increment that is the sum of 'count' deltas and always fits. A set from one end of int64 to the
 * other doesn't: 'delta' is then wrapped modulo 2^64 and outbox_delta_wrapped() says so, while
 * old_value and new_value are always exact. Sums of deltas modulo 2^64 are therefore exact too:
 * value = external + sum of deltas can be checked without wider arithmetic.
 *
 * Threads    Plain functions.
 * Ownership  A decoded entry and its events borrow from the record.
 */
#ifndef CORE_OUTBOX_H
#define CORE_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/message.h"

struct outbox_entry {
    uint32_t lane;
    uint64_t epoch;
    uint64_t first_seq;
    uint64_t last_seq;
    int64_t et_ms;
    uint64_t chain; /* after its last operation: hash_chain() over the events' indexes in order */
    struct producer_id producer;
    uint64_t number;
    uint64_t events;

    struct bytes_reader rest; /* outbox_next()'s */
    uint64_t next_seq;
};

struct outbox_event {
    uint64_t seq;
    enum op_kind kind; /* OP_ADD, OP_SET, OP_RESET */
    struct slice id;   /* resource_id, a zero byte, counter_type */
    int64_t delta;
    int64_t old_value;
    int64_t new_value;
    uint64_t count; /* operations in it */

    struct bytes_reader indexes; /* outbox_next_index()'s */
    uint32_t last_index;
};

static inline bool outbox_delta_wrapped(const struct outbox_event *event) {
    int64_t delta;

    return __builtin_sub_overflow(event->new_value, event->old_value, &delta);
}

void outbox_key(uint32_t lane, uint64_t epoch, uint64_t last_seq, struct buf *out);

/* Writing: the header, then each event; behind an event 'count' varints: its operations' indexes
 * in the message, ascending, each less the one before (the first: less 0). */
void outbox_encode_entry(struct buf *out, const struct outbox_entry *entry);
void outbox_encode_event(struct buf *out, enum op_kind kind, struct slice id, int64_t delta,
                         int64_t new_value, uint64_t count);

/* At most this much for an entry's header, and for an event beside its id, its indexes at
 * five bytes each not counted. */
#define OUTBOX_HEADER_BYTES_MAX 80
#define OUTBOX_EVENT_BYTES_MAX  64

/* ERR_CORRUPT, ERR_NEWER. */
MUST_CHECK enum err outbox_decode(struct slice key, struct slice value, struct outbox_entry *out);

/* The entry's events in order. ERR_NOT_FOUND behind the last, ERR_CORRUPT. */
MUST_CHECK enum err outbox_next(struct outbox_entry *entry, struct outbox_event *out);

/* The indexes in the message of the operations in an event, in order; 'count' of them.
 * ERR_NOT_FOUND behind the last. */
MUST_CHECK enum err outbox_next_index(struct outbox_event *event, uint32_t *out);

#endif
