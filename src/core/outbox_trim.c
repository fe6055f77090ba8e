/* outbox_trim.c - knows each lane's oldest entry, so it neither scans nor crosses what it deleted.
 */
#include "core/outbox_trim.h"

#include "core/outbox.h"

#define ENTRIES_PER_RUN 64

void outbox_trim_release(struct outbox_trim *trim) {
    buf_release(&trim->from);
    buf_release(&trim->key);
    buf_release(&trim->value);
}

static int64_t due_ms(const struct outbox_trim *trim, const struct lane_head *head) {
    int64_t due;

    return __builtin_add_overflow(head->et_ms, trim->max_age_ms, &due) ? INT64_MAX : due;
}

/* Reads the oldest committed entry; it stays unknown when the rest is in the open group. */
static enum err find_head(struct outbox_trim *trim, uint32_t number) {
    struct lane *lane = &trim->lanes->at[number];
    struct outbox_entry entry;

    outbox_key(number, lane->outbox_epoch, lane->outbox_seq, &trim->from);
    enum err err = kv_seek(trim->kv, KV_OUTBOX, buf_slice(&trim->from), &trim->key, &trim->value);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    if (err != ERR_OK)
        return err;
    err = outbox_decode(buf_slice(&trim->key), buf_slice(&trim->value), &entry);
    if (err != ERR_OK || entry.lane != number)
        return err;
    lane->head = (struct lane_head){
        .known = true,
        .epoch = entry.epoch,
        .last_seq = entry.last_seq,
        .et_ms = entry.et_ms,
        .events = entry.events,
        .bytes = trim->key.len + trim->value.len,
    };
    return ERR_OK;
}

/* The lane with the oldest entry; NULL when all are empty or unknown. */
static enum err find_oldest(struct outbox_trim *trim, struct lane **out) {
    struct lane *oldest = NULL;

    for (uint32_t i = 0; i < trim->lanes->count; i++) {
        struct lane *lane = &trim->lanes->at[i];

        if (lane->outbox_bytes && !lane->head.known) {
            enum err err = find_head(trim, i);
            if (err != ERR_OK)
                return err;
        }
        if (lane->head.known && (!oldest || lane->head.et_ms < oldest->head.et_ms))
            oldest = lane;
    }
    *out = oldest;
    return ERR_OK;
}

/* Every event of the entry just read. */
static enum err check_entry(const struct outbox_trim *trim) {
    struct outbox_entry entry;
    struct outbox_event event;
    enum err err = outbox_decode(buf_slice(&trim->key), buf_slice(&trim->value), &entry);

    while (err == ERR_OK)
        err = outbox_next(&entry, &event);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err outbox_trim_open(struct outbox_trim *trim, uint32_t *out_lane) {
    for (uint32_t i = 0; i < trim->lanes->count; i++) {
        struct lane *lane = &trim->lanes->at[i];

        *out_lane = i;
        trim->bytes += lane->outbox_bytes;
        if (lane->outbox_bytes == 0)
            continue;
        enum err err = find_head(trim, i);
        if (err != ERR_OK)
            return err;
        if (!lane->head.known || lane->head.bytes > lane->outbox_bytes ||
            lane->head.last_seq > lane->seq)
            return ERR_CORRUPT;
        err = check_entry(trim);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

void outbox_trim_added(struct outbox_trim *trim, struct lane *lane, const struct lane_head *entry) {
    if (lane->outbox_bytes == 0) {
        lane->head = *entry;
        lane->head.known = true;
        if (due_ms(trim, entry) < trim->next_ms)
            trim->next_ms = due_ms(trim, entry);
    }
    lane->outbox_bytes += entry->bytes;
    trim->bytes += entry->bytes;
}

static enum err drop_head(struct outbox_trim *trim, struct lane *lane) {
    uint32_t number = (uint32_t)(lane - trim->lanes->at);

    outbox_key(number, lane->head.epoch, lane->head.last_seq, &trim->from);
    kv_del(trim->kv, KV_OUTBOX, buf_slice(&trim->from));
    lane->outbox_epoch = lane->head.epoch;
    lane->outbox_seq = lane->head.last_seq + 1;
    lane->outbox_bytes -= lane->head.bytes;
    trim->bytes -= lane->head.bytes;
    trim->trimmed_events_total += lane->head.events;
    lane->head.known = false;
    lanes_touch(trim->lanes, number);
    return lane->outbox_bytes ? find_head(trim, number) : ERR_OK;
}

bool outbox_trim_full(const struct outbox_trim *trim) {
    return trim->consumers->count > 0 && trim->bytes >= trim->max_bytes;
}

/* What the lane has up to 'floor'. '*budget' entries at most. */
static enum err trim_lane(struct outbox_trim *trim, uint32_t number, struct event_position floor,
                          unsigned *budget) {
    struct lane *lane = &trim->lanes->at[number];

    while (lane->outbox_bytes > 0 && *budget > 0) {
        enum err err = lane->head.known ? ERR_OK : find_head(trim, number);

        if (err == ERR_OK && lane->head.known &&
            !event_position_less(floor,
                                 (struct event_position){lane->head.epoch, lane->head.last_seq}))
            err = drop_head(trim, lane);
        else
            return err; /* or a consumer still needs it, or it comes with this group */
        if (err != ERR_OK)
            return err;
        --*budget;
    }
    return ERR_OK;
}

static enum err run_consumed(struct outbox_trim *trim) {
    unsigned budget = ENTRIES_PER_RUN;

    trim->next_ms = 0; /* look when the last of them is gone */
    if (!trim->consumers->moved)
        return ERR_OK;
    for (uint32_t i = 0; i < trim->lanes->count && budget > 0; i++) {
        enum err err = trim_lane(trim, i, consumers_floor(trim->consumers, i), &budget);

        if (err != ERR_OK)
            return err;
    }
    trim->more = budget == 0;
    trim->consumers->moved = trim->more;
    return ERR_OK;
}

enum err outbox_trim_run(struct outbox_trim *trim, int64_t now_ms) {
    struct lane *oldest;

    trim->more = false;
    if (trim->consumers->count > 0)
        return run_consumed(trim);

    if (trim->bytes <= trim->max_bytes && now_ms < trim->next_ms)
        return ERR_OK;
    for (unsigned i = 0; i < ENTRIES_PER_RUN; i++) {
        enum err err = find_oldest(trim, &oldest);
        if (err != ERR_OK)
            return err;
        /* Empty, or all there is comes with this group: look again when it has gone. */
        trim->next_ms = oldest ? due_ms(trim, &oldest->head) : trim->bytes ? now_ms : INT64_MAX;
        if (!oldest || (trim->bytes <= trim->max_bytes && now_ms < trim->next_ms))
            return ERR_OK;
        err = drop_head(trim, oldest);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}
