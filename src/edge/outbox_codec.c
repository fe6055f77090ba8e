/* outbox_codec.c - counter.internal.Outbox's messages, encoded and decoded. */
#include "edge/outbox_codec.h"

#include "core/op.h"
#include "edge/lanes_codec.h"
#include "edge/outbox_fields.h"
#include "wire/proto_scan.h"
#include "wire/proto_write.h"
#include "wire/uri.h"

#define KIND_FIRST 1 /* EVENT_KIND_ADD */

/* ---- writing ---- */

static char *begin(struct buf *out, size_t size) {
    return buf_reserve(out, size) ? out->ptr + out->len : NULL;
}

static void end(struct buf *out, const char *p) {
    out->len = (size_t)(p - out->ptr);
}

static size_t position_size(struct lane_position at) {
    return proto_number_size(at.lane) + proto_number_size((int64_t)at.at.epoch) +
           proto_number_size((int64_t)at.at.seq);
}

static char *put_position(char *p, unsigned field, struct lane_position at) {
    p = proto_put_message(p, field, position_size(at));
    p = proto_put_number(p, POSITION_LANE, at.lane);
    p = proto_put_number(p, POSITION_EPOCH, (int64_t)at.at.epoch);
    return proto_put_number(p, POSITION_SEQ, (int64_t)at.at.seq);
}

static void write_position(struct buf *out, unsigned field, struct lane_position at) {
    char *p = begin(out, proto_message_size(position_size(at)));

    if (p)
        end(out, put_position(p, field, at));
}

static void write_name(struct buf *out, unsigned field, struct slice name) {
    char *p = begin(out, proto_message_size(name.len));

    if (p)
        end(out, proto_put_raw(proto_put_message(p, field, name.len), name));
}

void outbox_write_open(struct buf *out, struct slice consumer) {
    write_name(out, REQUEST_OPEN, consumer);
}

void outbox_write_forget(struct buf *out, struct slice consumer) {
    write_name(out, REQUEST_FORGET, consumer);
}

void outbox_write_read(struct buf *out, struct lane_position after) {
    write_position(out, REQUEST_READ, after);
}

void outbox_write_reported(struct buf *out, struct lane_position at) {
    write_position(out, REQUEST_REPORTED, at);
}

void outbox_write_opened(struct buf *out, uint64_t store_id, const struct event_position *reported,
                         uint32_t lanes) {
    size_t size = proto_fixed64_size(store_id);

    for (uint32_t i = 0; i < lanes; i++)
        size += proto_message_size(position_size((struct lane_position){i, reported[i]}));
    char *p = begin(out, proto_message_size(size));
    if (!p)
        return;
    p = proto_put_message(p, ANSWER_OPENED, size);
    p = proto_put_fixed64(p, OPENED_STORE_ID, store_id);
    for (uint32_t i = 0; i < lanes; i++)
        p = put_position(p, OPENED_REPORTED, (struct lane_position){i, reported[i]});
    end(out, p);
}

void outbox_write_more(struct buf *out) {
    char *p = begin(out, proto_number_size(1));

    if (p)
        end(out, proto_put_number(p, ANSWER_MORE, 1));
}

static size_t event_size(const struct event *event) {
    return proto_number_size((int64_t)event->at.epoch) + proto_number_size((int64_t)event->at.seq) +
           proto_number_size((int64_t)event->kind + KIND_FIRST) +
           proto_text_size(event->resource_id) + proto_text_size(event->counter_type) +
           proto_number_size(proto_zigzag(event->delta)) +
           proto_number_size(proto_zigzag(event->new_value)) +
           proto_number_size((int64_t)event->count) + proto_number_size(event->et_ms);
}

static char *put_event(char *p, const struct event *event) {
    p = proto_put_message(p, EVENTS_EVENTS, event_size(event));
    p = proto_put_number(p, EVENT_EPOCH, (int64_t)event->at.epoch);
    p = proto_put_number(p, EVENT_SEQ, (int64_t)event->at.seq);
    p = proto_put_number(p, EVENT_KIND, (int64_t)event->kind + KIND_FIRST);
    p = proto_put_text(p, EVENT_ID, event->resource_id);
    p = proto_put_text(p, EVENT_TYPE, event->counter_type);
    p = proto_put_number(p, EVENT_DELTA, proto_zigzag(event->delta));
    p = proto_put_number(p, EVENT_NEW_VALUE, proto_zigzag(event->new_value));
    p = proto_put_number(p, EVENT_COUNT, (int64_t)event->count);
    return proto_put_number(p, EVENT_TIME_MS, event->et_ms);
}

/* How many of them, and their bytes. */
static size_t fitting(const struct event *events, size_t count, size_t max_bytes,
                      size_t *out_bytes) {
    size_t bytes = 0;
    size_t n = 0;

    for (; n < count; n++) {
        size_t size = proto_message_size(event_size(&events[n]));

        if (n > 0 && bytes + size > max_bytes)
            break;
        bytes += size;
    }
    *out_bytes = bytes;
    return n;
}

void outbox_write_events(struct buf *out, struct lane_position lane_end, enum err err,
                         const struct event *events, size_t count, size_t max_bytes) {
    struct slice error = err == ERR_OK ? (struct slice){NULL, 0} : slice_str(err_name(err));
    size_t bytes;
    size_t n = fitting(events, err == ERR_OK ? count : 0, max_bytes, &bytes);
    size_t size = proto_message_size(position_size(lane_end)) + proto_text_size(error) + bytes;
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return;
    p = proto_put_message(p, ANSWER_EVENTS, size);
    p = put_position(p, EVENTS_END, lane_end);
    p = proto_put_text(p, EVENTS_ERROR, error);
    for (size_t i = 0; i < n; i++)
        p = put_event(p, &events[i]);
    end(out, p);
}

/* ---- reading ---- */

static bool is_text(const struct proto_field *field, unsigned number) {
    return field->number == number && field->type == PROTO_LENGTH;
}

static bool is_number(const struct proto_field *field, unsigned number) {
    return field->number == number && field->type == PROTO_VARINT;
}

static bool read_position(struct slice bytes, struct lane_position *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    *out = (struct lane_position){.lane = 0};
    while (proto_scan_next(&scan, &field)) {
        if (is_number(&field, POSITION_LANE))
            out->lane = (uint32_t)field.value;
        else if (is_number(&field, POSITION_EPOCH))
            out->at.epoch = field.value;
        else if (is_number(&field, POSITION_SEQ))
            out->at.seq = field.value;
    }
    return !scan.bad;
}

enum err outbox_read_request(struct slice bytes, struct buf *positions,
                             struct outbox_request *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct outbox_request request = {.kind = OUTBOX_REPORTED};
    struct lane_position at;
    struct proto_field field;
    bool good = true;

    buf_clear(positions);
    while (good && proto_scan_next(&scan, &field)) {
        if (is_text(&field, REQUEST_OPEN) || is_text(&field, REQUEST_FORGET)) {
            request.kind = field.number == REQUEST_OPEN ? OUTBOX_OPEN : OUTBOX_FORGET;
            request.consumer = field.bytes;
        } else if (is_text(&field, REQUEST_READ)) {
            request.kind = OUTBOX_READ;
            good = read_position(field.bytes, &request.read);
        } else if (is_text(&field, REQUEST_REPORTED)) {
            good = read_position(field.bytes, &at);
            buf_add(positions, &at, sizeof(at));
            request.count++;
        }
    }
    if (scan.bad || !good)
        return ERR_INVALID;
    if (buf_failed(positions))
        return ERR_NO_MEMORY;
    *out = request;
    return ERR_OK;
}

/* Names are as the store has them: no empty one, no NUL, which its keys use. */
static bool is_name(struct slice text) {
    return text.len > 0 && !memchr(text.ptr, '\0', text.len) && utf8_valid(text);
}

static bool read_event(struct slice bytes, uint32_t lane, struct event *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;
    uint64_t kind = 0;

    *out = (struct event){.lane = lane};
    while (proto_scan_next(&scan, &field)) {
        if (is_number(&field, EVENT_EPOCH))
            out->at.epoch = field.value;
        else if (is_number(&field, EVENT_SEQ))
            out->at.seq = field.value;
        else if (is_number(&field, EVENT_KIND))
            kind = field.value;
        else if (is_text(&field, EVENT_ID))
            out->resource_id = field.bytes;
        else if (is_text(&field, EVENT_TYPE))
            out->counter_type = field.bytes;
        else if (is_number(&field, EVENT_DELTA))
            out->delta = proto_unzigzag(field.value);
        else if (is_number(&field, EVENT_NEW_VALUE))
            out->new_value = proto_unzigzag(field.value);
        else if (is_number(&field, EVENT_COUNT))
            out->count = field.value;
        else if (is_number(&field, EVENT_TIME_MS))
            out->et_ms = (int64_t)field.value;
    }
    out->kind = (enum op_kind)(kind - KIND_FIRST);
    return !scan.bad && kind >= KIND_FIRST && kind <= KIND_FIRST + OP_RESET && out->at.epoch &&
           out->at.seq && is_name(out->resource_id) && is_name(out->counter_type);
}

static bool read_events(struct slice bytes, struct buf *items, struct outbox_response *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;
    struct event event;
    bool good = true;

    while (good && proto_scan_next(&scan, &field)) {
        if (is_text(&field, EVENTS_END)) {
            good = read_position(field.bytes, &out->end);
        } else if (is_text(&field, EVENTS_ERROR)) {
            out->err = lanes_error_named(field.bytes);
        } else if (is_text(&field, EVENTS_EVENTS)) {
            good = read_event(field.bytes, out->end.lane, &event);
            buf_add(items, &event, sizeof(event));
            out->count++;
        }
    }
    return good && !scan.bad;
}

static bool read_opened(struct slice bytes, struct buf *items, struct outbox_response *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct lane_position at;
    struct proto_field field;
    bool good = true;

    while (good && proto_scan_next(&scan, &field)) {
        if (field.number == OPENED_STORE_ID && field.type == PROTO_FIXED64) {
            out->store_id = field.value;
        } else if (is_text(&field, OPENED_REPORTED)) {
            good = read_position(field.bytes, &at) && at.lane == out->count;
            buf_add(items, &at.at, sizeof(at.at));
            out->count++;
        }
    }
    return good && !scan.bad && out->count > 0;
}

enum err outbox_read_response(struct slice bytes, struct buf *items, struct outbox_response *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct outbox_response response = {.kind = OUTBOX_MORE, .err = ERR_OK};
    struct proto_field field;
    bool good = true;

    buf_clear(items);
    while (good && proto_scan_next(&scan, &field)) {
        if (is_text(&field, ANSWER_OPENED)) {
            response.kind = OUTBOX_OPENED;
            good = read_opened(field.bytes, items, &response);
        } else if (is_text(&field, ANSWER_EVENTS)) {
            response.kind = OUTBOX_EVENTS;
            good = read_events(field.bytes, items, &response);
        }
    }
    if (scan.bad || !good)
        return ERR_INVALID;
    if (buf_failed(items))
        return ERR_NO_MEMORY;
    *out = response;
    return ERR_OK;
}
