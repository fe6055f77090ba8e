/* event_json.c - field by field, in the contract's order. */
#include "edge/event_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "wire/counter_json.h"

static const char *const kinds[] = {[OP_ADD] = "add", [OP_SET] = "set", [OP_RESET] = "reset"};

struct slice event_id(const struct event *event, uint64_t store_id, char text[EVENT_ID_BYTES]) {
    int len = snprintf(text, EVENT_ID_BYTES, "%016" PRIx64 "-%" PRIu32 "-%" PRIu64 "-%" PRIu64,
                       store_id, event->lane, event->at.epoch, event->at.seq);

    return slice_of(text, (size_t)len);
}

void event_key(const struct event *event, struct buf *out) {
    buf_clear(out);
    buf_add_slice(out, event->resource_id);
    buf_add_char(out, ':');
    buf_add_slice(out, event->counter_type);
}

static void add_number(struct buf *out, const char *name, int64_t value) {
    buf_add_str(out, name);
    buf_add_i64(out, value);
}

void event_json(const struct event *event, uint64_t store_id, struct buf *out) {
    char id[EVENT_ID_BYTES];

    buf_clear(out);
    buf_add_str(out, "{\"event_id\":\"");
    buf_add_slice(out, event_id(event, store_id, id));
    buf_add_char(out, '"');
    buf_add_str(out, ",\"resource_id\":");
    json_add_string(out, event->resource_id);
    buf_add_str(out, ",\"counter_type\":");
    json_add_string(out, event->counter_type);
    add_number(out, ",\"delta\":", event->delta);
    add_number(out, ",\"new_value\":", event->new_value);
    add_number(out, ",\"timestamp\":", event->et_ms / 1000);
    buf_add_str(out, ",\"source\":");
    json_add_string(out, EVENT_SOURCE);
    buf_add_str(out, ",\"kind\":\"");
    buf_add_str(out, kinds[event->kind]);
    buf_add_str(out, "\",\"count\":");
    buf_add_u64(out, event->count);
    add_number(out, ",\"timestamp_ms\":", event->et_ms);
    buf_printf(out, ",\"lane\":%" PRIu32 ",\"epoch\":%" PRIu64 ",\"seq\":%" PRIu64 "}", event->lane,
               event->at.epoch, event->at.seq);
}
