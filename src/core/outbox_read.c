/* outbox_read.c - copies records while the store's view is open, decodes them afterwards. */
#include "core/outbox_read.h"

#include <stdlib.h>

#include "core/outbox.h"

/* A record's place in 'records': the key, then the value. */
struct span {
    size_t at;
    size_t key_len;
    size_t value_len;
};

void outbox_reader_release(struct outbox_reader *reader) {
    buf_release(&reader->records);
    buf_release(&reader->from);
    buf_release(&reader->spans);
    free(reader->events);
    *reader = (struct outbox_reader){0};
}

/* ---- copy ---- */

struct copying {
    struct outbox_reader *reader;
    uint32_t lane;
    struct event_position end;
    size_t max_bytes;
};

static bool copy(void *ctx, struct slice key, struct slice value) {
    struct copying *copying = ctx;
    struct outbox_reader *reader = copying->reader;
    struct bytes_reader in = bytes_reader(key);
    uint32_t lane = bytes_be32(&in);
    struct event_position last = {.epoch = bytes_be64(&in)};
    struct span span = {reader->records.len, key.len, value.len};

    last.seq = bytes_be64(&in);
    if (lane != copying->lane || event_position_less(copying->end, last))
        return false;
    buf_add_slice(&reader->records, key);
    buf_add_slice(&reader->records, value);
    buf_add(&reader->spans, &span, sizeof(span));
    return reader->records.len < copying->max_bytes && !buf_failed(&reader->records) &&
           !buf_failed(&reader->spans);
}

static enum err copy_records(struct outbox_reader *reader, const struct kv_scanner *scanner,
                             uint32_t lane, struct event_position after, struct event_position end,
                             size_t max_bytes) {
    struct copying copying = {reader, lane, end, max_bytes};

    buf_clear(&reader->records);
    buf_clear(&reader->spans);
    /* Keys are last numbers: this finds the record that has after.seq + 1 in it. */
    outbox_key(lane, after.epoch, after.seq + 1, &reader->from);
    if (buf_failed(&reader->from))
        return ERR_NO_MEMORY;
    enum err err = scanner->scan(scanner, KV_OUTBOX, buf_slice(&reader->from), copy, &copying);
    if (err == ERR_OK && (buf_failed(&reader->records) || buf_failed(&reader->spans)))
        err = ERR_NO_MEMORY;
    return err;
}

/* ---- decode ---- */

static bool make_room(struct outbox_reader *reader, uint64_t more) {
    if (more <= reader->cap - reader->count)
        return true;
    size_t cap = (reader->count + more) * 2;
    struct event *events = realloc(reader->events, cap * sizeof(*events));
    if (!events)
        return false;
    reader->events = events;
    reader->cap = cap;
    return true;
}

static enum err take_event(struct outbox_reader *reader, const struct outbox_entry *entry,
                           const struct outbox_event *from) {
    const char *zero = from->id.len ? memchr(from->id.ptr, 0, from->id.len) : NULL;

    if (!zero)
        return ERR_CORRUPT;
    struct slice resource_id = slice_of(from->id.ptr, (size_t)(zero - from->id.ptr));
    reader->events[reader->count++] = (struct event){
        .lane = entry->lane,
        .at = {entry->epoch, from->seq},
        .kind = from->kind,
        .resource_id = resource_id,
        .counter_type = slice_skip(from->id, resource_id.len + 1),
        .delta = from->delta,
        .new_value = from->new_value,
        .count = from->count,
        .et_ms = entry->et_ms,
    };
    return ERR_OK;
}

static enum err take_record(struct outbox_reader *reader, struct slice key, struct slice value,
                            struct event_position *at) {
    struct outbox_entry entry;
    struct outbox_event event;
    enum err err = outbox_decode(key, value, &entry);

    if (err != ERR_OK)
        return err;
    uint64_t next = event_position_next(*at, entry.epoch);
    if (entry.first_seq > next || entry.last_seq < next)
        return reader->count ? ERR_CORRUPT : ERR_TRIMMED;
    if (entry.events > value.len) /* an event takes a byte at least */
        return ERR_CORRUPT;
    if (!make_room(reader, entry.events))
        return ERR_NO_MEMORY;
    while ((err = outbox_next(&entry, &event)) == ERR_OK) {
        if (event.seq >= next)
            err = take_event(reader, &entry, &event);
        if (err != ERR_OK)
            return err;
    }
    *at = (struct event_position){entry.epoch, entry.last_seq};
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err outbox_read(struct outbox_reader *reader, const struct kv_scanner *scanner, uint32_t lane,
                     struct event_position after, struct event_position end, size_t max_bytes) {
    struct event_position at = {after.epoch ? after.epoch : 1, after.epoch ? after.seq : 0};
    enum err err = ERR_OK;

    reader->count = 0;
    if (event_position_less(end, at))
        return ERR_INVALID;
    if (!event_position_less(at, end))
        return ERR_OK;
    err = copy_records(reader, scanner, lane, at, end, max_bytes);
    const struct span *spans = (const struct span *)(const void *)reader->spans.ptr;
    size_t records = reader->spans.len / sizeof(*spans);
    if (err == ERR_OK && records == 0)
        return ERR_TRIMMED;
    for (size_t i = 0; i < records && err == ERR_OK; i++) {
        const char *key = reader->records.ptr + spans[i].at;

        err = take_record(reader, slice_of(key, spans[i].key_len),
                          slice_of(key + spans[i].key_len, spans[i].value_len), &at);
    }
    return err;
}
