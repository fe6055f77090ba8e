/* outbox.c - version, et, chain, op identity, then the events. */
#include "core/outbox.h"

#define ENTRY_VERSION 1

/* An event's kind is stored as it is. */
_Static_assert(OP_ADD == 0 && OP_SET == 1 && OP_RESET == 2, "stored outboxes would change");

void outbox_key(uint32_t lane, uint64_t epoch, uint64_t last_seq, struct buf *out) {
    buf_clear(out);
    bytes_add_be32(out, lane);
    bytes_add_be64(out, epoch);
    bytes_add_be64(out, last_seq);
}

void outbox_encode_entry(struct buf *out, const struct outbox_entry *entry) {
    buf_clear(out);
    buf_add_char(out, ENTRY_VERSION);
    bytes_add_zigzag(out, entry->et_ms);
    bytes_add_be64(out, entry->chain);
    bytes_add_be64(out, entry->producer.hi);
    bytes_add_be64(out, entry->producer.lo);
    bytes_add_varint(out, entry->number);
    bytes_add_varint(out, entry->events);
}

void outbox_encode_event(struct buf *out, enum op_kind kind, struct slice id, int64_t delta,
                         int64_t new_value, uint64_t count) {
    buf_add_char(out, (char)kind);
    bytes_add_varint(out, id.len);
    buf_add_slice(out, id);
    bytes_add_zigzag(out, delta);
    bytes_add_zigzag(out, new_value);
    bytes_add_varint(out, count);
}

enum err outbox_decode(struct slice key, struct slice value, struct outbox_entry *out) {
    struct bytes_reader k = bytes_reader(key);
    struct bytes_reader v = bytes_reader(value);
    struct outbox_entry entry = {0};

    entry.lane = bytes_be32(&k);
    entry.epoch = bytes_be64(&k);
    entry.last_seq = bytes_be64(&k);
    uint8_t version = bytes_u8(&v);
    if (version > ENTRY_VERSION)
        return ERR_NEWER;
    entry.et_ms = bytes_zigzag(&v);
    entry.chain = bytes_be64(&v);
    entry.producer.hi = bytes_be64(&v);
    entry.producer.lo = bytes_be64(&v);
    entry.number = bytes_varint(&v);
    entry.events = bytes_varint(&v);
    if (version != ENTRY_VERSION || !bytes_done(&k) || v.failed || entry.events == 0 ||
        entry.events > entry.last_seq)
        return ERR_CORRUPT;
    entry.first_seq = entry.last_seq - entry.events + 1;
    entry.next_seq = entry.first_seq;
    entry.rest = v;
    *out = entry;
    return ERR_OK;
}

enum err outbox_next(struct outbox_entry *entry, struct outbox_event *out) {
    struct bytes_reader *in = &entry->rest;
    struct outbox_event event = {.seq = entry->next_seq};

    if (entry->next_seq > entry->last_seq)
        return in->at == in->end ? ERR_NOT_FOUND : ERR_CORRUPT;
    uint8_t kind = bytes_u8(in);
    event.id = bytes_take(in, bytes_varint(in));
    event.delta = bytes_zigzag(in);
    event.new_value = bytes_zigzag(in);
    event.old_value = (int64_t)((uint64_t)event.new_value - (uint64_t)event.delta);
    event.count = bytes_varint(in);
    if (in->failed || kind > OP_RESET || event.count == 0)
        return ERR_CORRUPT;
    event.kind = (enum op_kind)kind;
    event.indexes.at = in->at;
    for (uint64_t i = 0; i < event.count && !in->failed; i++)
        (void)bytes_varint(in);
    if (in->failed)
        return ERR_CORRUPT;
    event.indexes.end = in->at;
    entry->next_seq++;
    *out = event;
    return ERR_OK;
}

enum err outbox_next_index(struct outbox_event *event, uint32_t *out) {
    if (event->indexes.at == event->indexes.end)
        return ERR_NOT_FOUND;
    uint64_t index = event->last_index + bytes_varint(&event->indexes);
    if (event->indexes.failed || index > UINT32_MAX)
        return ERR_CORRUPT;
    event->last_index = (uint32_t)index;
    *out = event->last_index;
    return ERR_OK;
}
