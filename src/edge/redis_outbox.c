/* redis_outbox.c - fields by name, then the events. */
#include "edge/redis_outbox.h"

#include "edge/redis_text.h"

static bool take_u64(struct slice *text, uint64_t *out) {
    int64_t value;

    if (!redis_take_i64(text, &value) || value < 0)
        return false;
    *out = (uint64_t)value;
    return true;
}

static bool whole_u64(struct slice text, uint64_t *out) {
    return take_u64(&text, out) && text.len == 0;
}

static struct slice field(const struct slice *fields, size_t count, char name) {
    for (size_t i = 0; i + 1 < count; i += 2) {
        if (slice_eq(fields[i], slice_of(&name, 1)))
            return fields[i + 1];
    }
    return SLICE("");
}

enum err redis_outbox_decode(struct slice id, const struct slice *fields, size_t count,
                             struct redis_outbox_entry *out) {
    struct redis_outbox_entry entry = {.chain = field(fields, count, 'c'),
                                       .producer = field(fields, count, 'p'),
                                       .rest = field(fields, count, 'e')};
    uint64_t et_ms;
    uint64_t events;

    if (!take_u64(&id, &entry.epoch) || !redis_take_char(&id, '-') ||
        !whole_u64(id, &entry.last_seq) || !whole_u64(field(fields, count, 't'), &et_ms) ||
        !whole_u64(field(fields, count, 'n'), &entry.number) ||
        !whole_u64(field(fields, count, 's'), &events))
        return ERR_CORRUPT;
    if (entry.chain.len != 16 || entry.producer.len != 32 || events == 0 || events > entry.last_seq)
        return ERR_CORRUPT;
    entry.et_ms = (int64_t)et_ms;
    entry.first_seq = entry.last_seq - events + 1;
    entry.next_seq = entry.first_seq;
    *out = entry;
    return ERR_OK;
}

static bool take_kind(struct slice *text, enum op_kind *out) {
    *out = redis_take_char(text, 'a') ? OP_ADD : redis_take_char(text, 's') ? OP_SET : OP_RESET;
    return *out != OP_RESET || redis_take_char(text, 'r');
}

static bool take_indexes(struct slice *text, struct redis_outbox_event *event) {
    const char *from = text->ptr;
    uint64_t index;

    do {
        if (!take_u64(text, &index))
            return false;
        event->count++;
    } while (redis_take_char(text, ','));
    event->indexes = slice_of(from, (size_t)(text->ptr - from));
    return true;
}

static bool take_event(struct slice *text, struct redis_outbox_event *event) {
    int64_t arg;

    if (!take_kind(text, &event->kind) || !redis_take_i64(text, &arg) ||
        !redis_take_char(text, ' ') || !redis_take_i64(text, &event->new_value) ||
        !redis_take_char(text, ' ') || !take_indexes(text, event) || !redis_take_char(text, ' '))
        return false;
    const char *end = memchr(text->ptr, 0, text->len);
    if (!end)
        return false;
    event->delta =
        event->kind == OP_ADD ? arg : (int64_t)((uint64_t)event->new_value - (uint64_t)arg);
    event->old_value = (int64_t)((uint64_t)event->new_value - (uint64_t)event->delta);
    event->id = slice_of(text->ptr, (size_t)(end - text->ptr));
    *text = slice_skip(*text, event->id.len + 1);
    return true;
}

enum err redis_outbox_next(struct redis_outbox_entry *entry, struct redis_outbox_event *out) {
    struct redis_outbox_event event = {.seq = entry->next_seq};

    if (entry->next_seq > entry->last_seq)
        return entry->rest.len == 0 ? ERR_NOT_FOUND : ERR_CORRUPT;
    if (!take_event(&entry->rest, &event))
        return ERR_CORRUPT;
    entry->next_seq++;
    *out = event;
    return ERR_OK;
}
