/* totals_codec.c - analytics.internal.Totals' messages, encoded and decoded. */
#include "edge/totals_codec.h"

#include "edge/totals_fields.h"
#include "wire/proto_scan.h"
#include "wire/proto_write.h"

#define STATE_FIRST 1 /* TOTAL_STATE_AHEAD */

static char *begin(struct buf *out, size_t size) {
    return buf_reserve(out, size) ? out->ptr + out->len : NULL;
}

static void end(struct buf *out, const char *p) {
    out->len = (size_t)(p - out->ptr);
}

static bool is_number(const struct proto_field *field, unsigned number) {
    return field->number == number && field->type == PROTO_VARINT;
}

static bool is_bytes(const struct proto_field *field, unsigned number) {
    return field->number == number && field->type == PROTO_LENGTH;
}

/* ---- hold ---- */

void totals_write_hold_answer(struct buf *out, const struct hold_ask *hold) {
    char *p = begin(out, proto_fixed64_size(hold->store_id) +
                             proto_number_size((int64_t)hold->number) + 1);

    if (!p)
        return;
    p = proto_put_fixed64(p, HELD_STORE_ID, hold->store_id);
    end(out, proto_put_number(p, HELD_NUMBER, (int64_t)hold->number));
}

enum err totals_read_hold_answer(struct slice bytes, struct hold_ask *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    *out = (struct hold_ask){0};
    while (proto_scan_next(&scan, &field)) {
        if (field.number == HELD_STORE_ID && field.type == PROTO_FIXED64)
            out->store_id = field.value;
        else if (is_number(&field, HELD_NUMBER))
            out->number = field.value;
    }
    return scan.bad ? ERR_INVALID : ERR_OK;
}

/* ---- question ---- */

static size_t asked_size(const struct total *total) {
    return proto_text_size(total->resource_id) + proto_text_size(total->counter_type) +
           proto_number_size(total->lane) + proto_number_size((int64_t)total->at.epoch) +
           proto_number_size((int64_t)total->at.seq);
}

static void write_asked(struct buf *out, const struct total *total) {
    size_t size = asked_size(total);
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return;
    p = proto_put_message(p, TOTALS_COUNTERS, size);
    p = proto_put_text(p, COUNTER_ID, total->resource_id);
    p = proto_put_text(p, COUNTER_TYPE, total->counter_type);
    p = proto_put_number(p, COUNTER_LANE, total->lane);
    p = proto_put_number(p, COUNTER_EPOCH, (int64_t)total->at.epoch);
    end(out, proto_put_number(p, COUNTER_SEQ, (int64_t)total->at.seq));
}

void totals_write_question(struct buf *out, const struct totals_ask *ask) {
    char *p = begin(out, proto_number_size((int64_t)ask->hold) + proto_number_size(ask->more) + 1);

    if (!p)
        return;
    p = proto_put_number(p, TOTALS_HOLD, (int64_t)ask->hold);
    end(out, proto_put_number(p, TOTALS_MORE, ask->more));
    for (size_t i = 0; i < ask->count; i++)
        write_asked(out, &ask->totals[i]);
}

static bool read_asked(struct slice bytes, struct total *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    *out = (struct total){.state = TOTAL_AHEAD};
    while (proto_scan_next(&scan, &field)) {
        if (is_bytes(&field, COUNTER_ID))
            out->resource_id = field.bytes;
        else if (is_bytes(&field, COUNTER_TYPE))
            out->counter_type = field.bytes;
        else if (is_number(&field, COUNTER_LANE))
            out->lane = (uint32_t)field.value;
        else if (is_number(&field, COUNTER_EPOCH))
            out->at.epoch = field.value;
        else if (is_number(&field, COUNTER_SEQ))
            out->at.seq = field.value;
    }
    return !scan.bad && out->resource_id.len && out->counter_type.len;
}

enum err totals_read_question(struct slice bytes, struct buf *items, struct totals_ask *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct totals_ask ask = {0};
    struct proto_field field;

    buf_clear(items);
    while (proto_scan_next(&scan, &field)) {
        struct total total;

        if (is_number(&field, TOTALS_HOLD)) {
            ask.hold = field.value;
        } else if (is_number(&field, TOTALS_MORE)) {
            ask.more = field.value != 0;
        } else if (is_bytes(&field, TOTALS_COUNTERS)) {
            if (!read_asked(field.bytes, &total))
                return ERR_INVALID;
            buf_add(items, &total, sizeof(total));
        }
    }
    if (scan.bad)
        return ERR_INVALID;
    ask.totals = (struct total *)(void *)items->ptr;
    ask.count = items->len / sizeof(struct total);
    if (buf_failed(items))
        return ERR_NO_MEMORY;
    *out = ask;
    return ERR_OK;
}

/* ---- answer ---- */

static void write_total(struct buf *out, const struct total *total) {
    int64_t state = (int64_t)total->state + STATE_FIRST;
    size_t size = proto_number_size(state) + proto_number_size(proto_zigzag(total->value));
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return;
    p = proto_put_message(p, ANSWER_TOTALS, size);
    p = proto_put_number(p, TOTAL_STATE, state);
    end(out, proto_put_number(p, TOTAL_VALUE, proto_zigzag(total->value)));
}

void totals_write_answer(struct buf *out, const struct totals_ask *ask) {
    for (size_t i = 0; i < ask->count; i++)
        write_total(out, &ask->totals[i]);
}

static bool read_total(struct slice bytes, struct total *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;
    uint64_t state = 0;

    out->value = 0;
    while (proto_scan_next(&scan, &field)) {
        if (is_number(&field, TOTAL_STATE))
            state = field.value;
        else if (is_number(&field, TOTAL_VALUE))
            out->value = proto_unzigzag(field.value);
    }
    if (scan.bad || state < STATE_FIRST || state >= STATE_FIRST + TOTAL_STATES)
        return false;
    out->state = (enum total_state)(state - STATE_FIRST);
    return true;
}

enum err totals_read_answer(struct slice bytes, const struct totals_ask *ask) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;
    size_t count = 0;

    while (proto_scan_next(&scan, &field))
        if (is_bytes(&field, ANSWER_TOTALS) &&
            (count == ask->count || !read_total(field.bytes, &ask->totals[count++])))
            return ERR_INVALID;
    return scan.bad || count != ask->count ? ERR_INVALID : ERR_OK;
}
