/* event_read.c - both forms come to the same fields; the event's id says whose it is and where. */
#include "edge/event_read.h"

#include "wire/json.h"
#include "wire/proto_scan.h"

/* The numbers of events.proto. */
enum field {
    UNKNOWN_FIELD,
    EVENT_ID = 1,
    RESOURCE_ID,
    COUNTER_TYPE,
    DELTA,
    NEW_VALUE,
    KIND = 8,
    COUNT,
    TIMESTAMP_MS,
};

#define BIT(field) (1u << (field))
/* What no event is without; a protobuf leaves out a number that is 0. */
#define NEEDED      (BIT(EVENT_ID) | BIT(RESOURCE_ID) | BIT(COUNTER_TYPE))
#define NEEDED_JSON (NEEDED | BIT(DELTA) | BIT(NEW_VALUE))

struct reading {
    struct arena *arena;
    struct event *event;
    struct slice id;
    unsigned seen;
};

/* ---- event_id: store-lane-epoch-seq ---- */

/* No 64 bits have more digits; of decimal ones that many fit in any case. */
#define HEX_DIGITS_MAX  16
#define FITTING_DECIMAL 19

static bool take_hex(struct slice *text, uint64_t *out) {
    uint64_t value = 0;
    size_t at = 0;

    for (; at < text->len; at++) {
        char c = text->ptr[at];
        bool is_digit = c >= '0' && c <= '9';

        if (!is_digit && !(c >= 'a' && c <= 'f'))
            break;
        value = value << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *text = slice_skip(*text, at);
    *out = value;
    return at > 0 && at <= HEX_DIGITS_MAX;
}

static bool take_decimal(struct slice *text, uint64_t *out) {
    uint64_t value = 0;
    size_t at = 0;

    for (; at < text->len && text->ptr[at] >= '0' && text->ptr[at] <= '9'; at++) {
        uint64_t digit = (uint64_t)(text->ptr[at] - '0');

        if (at < FITTING_DECIMAL)
            value = value * 10 + digit;
        else if (__builtin_mul_overflow(value, 10, &value) ||
                 __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *text = slice_skip(*text, at);
    *out = value;
    return at > 0;
}

static bool take_dash(struct slice *text) {
    bool is = text->len && text->ptr[0] == '-';

    *text = slice_skip(*text, is);
    return is;
}

static bool read_id(struct slice text, uint64_t *out_store_id, struct event *out) {
    uint64_t lane = 0;
    bool whole = take_hex(&text, out_store_id) && take_dash(&text) && take_decimal(&text, &lane) &&
                 take_dash(&text) && take_decimal(&text, &out->at.epoch) && take_dash(&text) &&
                 take_decimal(&text, &out->at.seq) && text.len == 0;

    out->lane = (uint32_t)lane;
    return whole && lane <= UINT32_MAX;
}

/* ---- JSON ---- */

static enum field field_named(const struct json_token *key) {
    static const struct {
        const char *name;
        enum field field;
    } names[] = {
        {"event_id", EVENT_ID}, {"resource_id", RESOURCE_ID},   {"counter_type", COUNTER_TYPE},
        {"delta", DELTA},       {"new_value", NEW_VALUE},       {"kind", KIND},
        {"count", COUNT},       {"timestamp_ms", TIMESTAMP_MS},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_text_is(key, slice_str(names[i].name)))
            return names[i].field;
    return UNKNOWN_FIELD;
}

static bool json_kind(const struct json_token *token, enum op_kind *out) {
    static const char *const kinds[] = {[OP_ADD] = "add", [OP_SET] = "set", [OP_RESET] = "reset"};

    for (size_t i = 0; token->type == JSON_STRING && i < ARRAY_LEN(kinds); i++) {
        if (json_text_is(token, slice_str(kinds[i]))) {
            *out = (enum op_kind)i;
            return true;
        }
    }
    return false;
}

static bool json_number(const struct json_token *token, int64_t *out) {
    return token->type == JSON_NUMBER && json_i64(token, out);
}

static bool json_string(const struct json_token *token, struct arena *arena, struct slice *out) {
    return token->type == JSON_STRING && json_text(token, arena, out) == ERR_OK;
}

static bool json_field(struct reading *to, enum field field, const struct json_token *token) {
    int64_t count;

    switch (field) {
    case EVENT_ID:
        return json_string(token, to->arena, &to->id);
    case RESOURCE_ID:
        return json_string(token, to->arena, &to->event->resource_id);
    case COUNTER_TYPE:
        return json_string(token, to->arena, &to->event->counter_type);
    case DELTA:
        return json_number(token, &to->event->delta);
    case NEW_VALUE:
        return json_number(token, &to->event->new_value);
    case TIMESTAMP_MS:
        return json_number(token, &to->event->et_ms);
    case COUNT:
        if (!json_number(token, &count) || count < 0)
            return false;
        to->event->count = (uint64_t)count;
        return true;
    case KIND:
        return json_kind(token, &to->event->kind);
    case UNKNOWN_FIELD:
        return true;
    }
    return false;
}

static bool read_json(struct slice value, struct reading *to) {
    struct json_reader reader;
    struct json_token token;

    json_reader_init(&reader, value);
    if (json_next(&reader, &token) != JSON_OBJECT)
        return false;
    while (json_next(&reader, &token) == JSON_KEY) {
        enum field field = field_named(&token);

        (void)json_next(&reader, &token);
        if (!json_field(to, field, &token) || !json_skip(&reader, &token))
            return false;
        to->seen |= BIT(field);
    }
    return token.type == JSON_OBJECT_END && json_next(&reader, &token) == JSON_END &&
           (to->seen & NEEDED_JSON) == NEEDED_JSON;
}

/* ---- protobuf ---- */

static bool proto_number(const struct proto_field *field, enum field number, struct event *out) {
    if (field->type != PROTO_VARINT)
        return false;
    switch (number) {
    case DELTA:
        out->delta = (int64_t)field->value;
        return true;
    case NEW_VALUE:
        out->new_value = (int64_t)field->value;
        return true;
    case COUNT:
        out->count = field->value;
        return true;
    case TIMESTAMP_MS:
        out->et_ms = (int64_t)field->value;
        return true;
    case KIND: /* on the wire 0 is none of them */
        out->kind = (enum op_kind)(field->value - 1);
        return field->value >= 1 && field->value <= OP_RESET + 1;
    default:
        return false;
    }
}

static bool proto_text(const struct proto_field *field, struct slice *out) {
    *out = field->bytes;
    return field->type == PROTO_LENGTH;
}

static bool proto_field(struct reading *to, const struct proto_field *field) {
    switch (field->number) {
    case EVENT_ID:
        return proto_text(field, &to->id);
    case RESOURCE_ID:
        return proto_text(field, &to->event->resource_id);
    case COUNTER_TYPE:
        return proto_text(field, &to->event->counter_type);
    case DELTA:
    case NEW_VALUE:
    case KIND:
    case COUNT:
    case TIMESTAMP_MS:
        return proto_number(field, (enum field)field->number, to->event);
    default:
        return true;
    }
}

static bool read_proto(struct slice value, struct reading *to) {
    struct proto_scan scan = proto_scan_of(value);
    struct proto_field field;

    while (proto_scan_next(&scan, &field)) {
        if (!proto_field(to, &field))
            return false;
        if (field.number < 32)
            to->seen |= BIT(field.number);
    }
    return !scan.bad && (to->seen & NEEDED) == NEEDED;
}

/* ---- either ---- */

enum err event_read(struct slice value, struct arena *arena, uint64_t *out_store_id,
                    struct event *out, const char **out_problem) {
    struct reading to = {.arena = arena, .event = out};
    bool json = value.len && value.ptr[0] == '{'; /* a protobuf begins with its first field's tag */

    *out = (struct event){.count = 1};
    bool good = json ? read_json(value, &to) : read_proto(value, &to);

    if (arena_overflowed(arena))
        return ERR_NO_MEMORY;
    *out_problem = json ? "it is no JSON of ours" : "it is neither JSON nor a CounterEvent";
    if (!good)
        return ERR_INVALID;
    *out_problem = "its event_id isn't store-lane-epoch-seq";
    return read_id(to.id, out_store_id, out) ? ERR_OK : ERR_INVALID;
}
