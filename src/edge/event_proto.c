/* event_proto.c - sizes first, then the same fields. */
#include "edge/event_proto.h"

#include "edge/event_json.h"
#include "wire/proto_write.h"

enum {
    EVENT_ID = 1,
    RESOURCE_ID,
    COUNTER_TYPE,
    DELTA,
    NEW_VALUE,
    TIMESTAMP,
    SOURCE,
    KIND,
    COUNT,
    TIMESTAMP_MS,
    LANE,
    EPOCH,
    SEQ
};

#define KIND_FIRST 1 /* on the wire 0 is none of them */
_Static_assert(OP_ADD == 0 && OP_SET == 1 && OP_RESET == 2, "EventKind's order");

struct field {
    unsigned number;
    int64_t value;
};

void event_proto(const struct event *event, uint64_t store_id, struct buf *out) {
    char id_text[EVENT_ID_BYTES];
    struct slice id = event_id(event, store_id, id_text);
    const struct field before[] = {
        {DELTA, event->delta}, {NEW_VALUE, event->new_value}, {TIMESTAMP, event->et_ms / 1000}};
    const struct field behind[] = {{KIND, KIND_FIRST + (int64_t)event->kind},
                                   {COUNT, (int64_t)event->count},
                                   {TIMESTAMP_MS, event->et_ms},
                                   {LANE, event->lane},
                                   {EPOCH, (int64_t)event->at.epoch},
                                   {SEQ, (int64_t)event->at.seq}};
    size_t size = proto_text_size(id) + proto_text_size(event->resource_id) +
                  proto_text_size(event->counter_type) + proto_text_size(EVENT_SOURCE);

    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        size += proto_number_size(before[i].value);
    for (size_t i = 0; i < ARRAY_LEN(behind); i++)
        size += proto_number_size(behind[i].value);
    buf_clear(out);
    if (!buf_reserve(out, size))
        return;
    char *p = proto_put_text(out->ptr, EVENT_ID, id);
    p = proto_put_text(p, RESOURCE_ID, event->resource_id);
    p = proto_put_text(p, COUNTER_TYPE, event->counter_type);
    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        p = proto_put_number(p, before[i].number, before[i].value);
    p = proto_put_text(p, SOURCE, EVENT_SOURCE);
    for (size_t i = 0; i < ARRAY_LEN(behind); i++)
        p = proto_put_number(p, behind[i].number, behind[i].value);
    out->len = (size_t)(p - out->ptr);
}
