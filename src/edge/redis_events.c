/* redis_events.c - entries to events: order looked at, ids split. */
#include "edge/redis_events.h"

#include <stdlib.h>
#include <string.h>

#include "edge/redis_outbox.h"

#define FIELDS_MAX 12 /* names and values; lua/apply.lua writes six pairs */

void redis_events_release(struct redis_events *events) {
    free(events->events);
    buf_release(&events->types);
    *events = (struct redis_events){0};
}

static bool make_room(struct redis_events *events, uint64_t more) {
    if (more <= events->cap - events->count)
        return true;
    size_t cap = (events->count + more) * 2;
    struct event *grown = realloc(events->events, cap * sizeof(*grown));
    if (!grown)
        return false;
    events->events = grown;
    events->cap = cap;
    return true;
}

/* ---- ids ---- */

/* "%25" and "%3A" are all that is ever written. There is room: a type gets shorter. */
static struct slice plain_type(struct buf *out, struct slice type) {
    size_t at = out->len;

    if (!memchr(type.ptr, '%', type.len))
        return type;
    while (type.len) {
        bool escaped = slice_starts(type, SLICE("%25")) || slice_starts(type, SLICE("%3A"));

        buf_add_char(out, !escaped ? type.ptr[0] : type.ptr[1] == '2' ? '%' : ':');
        type = slice_skip(type, escaped ? 3 : 1);
    }
    return slice_of(out->ptr + at, out->len - at);
}

/* A type's own ':' is escaped, so the last one stands between. */
static bool split_id(struct buf *types, struct slice id, struct event *event) {
    const char *colon = id.len ? memrchr(id.ptr, ':', id.len) : NULL;

    if (!colon)
        return false;
    event->resource_id = slice_of(id.ptr, (size_t)(colon - id.ptr));
    struct slice type = slice_skip(id, event->resource_id.len + 1);
    if (type.len == 0)
        return false;
    event->counter_type = plain_type(types, type);
    return true;
}

/* ---- entries ---- */

static enum err decode(const struct redis_reply *reply, struct redis_outbox_entry *out) {
    const struct redis_reply *pairs = redis_reply_at(reply, 1);
    struct slice fields[FIELDS_MAX];
    size_t count = redis_reply_count(pairs);

    if (redis_reply_count(reply) != 2 || count > FIELDS_MAX)
        return ERR_CORRUPT;
    for (size_t i = 0; i < count; i++)
        fields[i] = redis_reply_text(redis_reply_at(pairs, i));
    return redis_outbox_decode(redis_reply_text(redis_reply_at(reply, 0)), fields, count, out);
}

static enum err take_events(struct redis_events *events, uint32_t lane,
                            struct redis_outbox_entry *entry, uint64_t next) {
    struct redis_outbox_event from;
    enum err err;

    while ((err = redis_outbox_next(entry, &from)) == ERR_OK) {
        struct event event = {
            .lane = lane,
            .at = {entry->epoch, from.seq},
            .kind = from.kind,
            .delta = from.delta,
            .new_value = from.new_value,
            .count = from.count,
            .et_ms = entry->et_ms,
        };

        if (from.seq < next)
            continue;
        if (!split_id(&events->types, from.id, &event))
            return ERR_CORRUPT;
        events->events[events->count++] = event;
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err take_entry(struct redis_events *events, uint32_t lane,
                           const struct redis_reply *reply, struct event_position *at) {
    struct redis_outbox_entry entry;
    enum err err = decode(reply, &entry);

    if (err != ERR_OK)
        return err;
    uint64_t next = event_position_next(*at, entry.epoch);
    if (entry.first_seq > next || entry.last_seq < next)
        return events->entries ? ERR_CORRUPT : ERR_TRIMMED;
    if (entry.last_seq - entry.first_seq >= entry.rest.len) /* an event takes a byte at least */
        return ERR_CORRUPT;
    if (!make_room(events, entry.last_seq - entry.first_seq + 1))
        return ERR_NO_MEMORY;
    events->bytes += entry.rest.len;
    err = take_events(events, lane, &entry, next);
    events->entries++;
    *at = (struct event_position){entry.epoch, entry.last_seq};
    return err;
}

static size_t bytes_of(const struct redis_reply *reply) {
    size_t bytes = 0;

    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redis_reply *pairs = redis_reply_at(redis_reply_at(reply, i), 1);

        for (size_t n = 0; n < redis_reply_count(pairs); n++)
            bytes += redis_reply_text(redis_reply_at(pairs, n)).len;
    }
    return bytes;
}

enum err redis_events_read(struct redis_events *events, uint32_t lane, struct event_position after,
                           const struct redis_reply *reply) {
    size_t entries = redis_reply_count(reply);
    struct event_position at = after;
    enum err err = ERR_OK;

    events->count = events->entries = events->bytes = 0;
    buf_clear(&events->types);
    if (!redis_reply_is_array(reply))
        return ERR_CORRUPT;
    if (entries == 0)
        return ERR_TRIMMED;
    /* Events point into it, so it may not move: room for all that could be a type. */
    if (!buf_reserve(&events->types, bytes_of(reply)))
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < entries && err == ERR_OK; i++)
        err = take_entry(events, lane, redis_reply_at(reply, i), &at);
    return err;
}
