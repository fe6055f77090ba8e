/* values_codec.c - ValuesRequest and ValuesResponse, encoded and decoded. */
#include "edge/values_codec.h"

#include "edge/outbox_fields.h"
#include "wire/proto_scan.h"
#include "wire/proto_write.h"
#include "wire/uri.h"

static char *begin(struct buf *out, size_t size) {
    return buf_reserve(out, size) ? out->ptr + out->len : NULL;
}

static void end(struct buf *out, const char *p) {
    out->len = (size_t)(p - out->ptr);
}

static bool is_text(const struct proto_field *field, unsigned number) {
    return field->number == number && field->type == PROTO_LENGTH;
}

static bool is_fixed(const struct proto_field *field, unsigned number) {
    return field->number == number && field->type == PROTO_FIXED64;
}

/* As the store has it: no NUL, which its keys use. */
static bool is_name(struct slice text) {
    return text.len > 0 && !memchr(text.ptr, '\0', text.len) && utf8_valid(text);
}

/* ---- ValuesRequest ---- */

void values_write_ask(struct buf *out, const struct values_ask *ask) {
    char *p = begin(out, proto_fixed64_size(ask->walk) + proto_text_size(ask->resource_id) +
                             proto_text_size(ask->counter_type));

    if (!p)
        return;
    p = proto_put_fixed64(p, ASK_WALK, ask->walk);
    p = proto_put_text(p, ASK_ID, ask->resource_id);
    end(out, proto_put_text(p, ASK_TYPE, ask->counter_type));
}

enum err values_read_ask(struct slice bytes, struct values_ask *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct values_ask ask = {0};
    struct proto_field field;

    while (proto_scan_next(&scan, &field)) {
        if (is_fixed(&field, ASK_WALK))
            ask.walk = field.value;
        else if (is_text(&field, ASK_ID))
            ask.resource_id = field.bytes;
        else if (is_text(&field, ASK_TYPE))
            ask.counter_type = field.bytes;
    }
    bool first = !ask.resource_id.len && !ask.counter_type.len;
    if (scan.bad || (!first && !(is_name(ask.resource_id) && is_name(ask.counter_type))))
        return ERR_INVALID;
    *out = ask;
    return ERR_OK;
}

/* ---- ValuesResponse ---- */

void values_write_item(struct buf *out, const struct values_item *item) {
    size_t size = proto_text_size(item->resource_id) + proto_text_size(item->counter_type) +
                  proto_number_size(proto_zigzag(item->value));
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return;
    p = proto_put_message(p, PAGE_VALUES, size);
    p = proto_put_text(p, VALUE_ID, item->resource_id);
    p = proto_put_text(p, VALUE_TYPE, item->counter_type);
    end(out, proto_put_number(p, VALUE_VALUE, proto_zigzag(item->value)));
}

void values_write_page(struct buf *out, const struct values_page *page) {
    char *p = begin(out, proto_fixed64_size(page->store_id) + proto_fixed64_size(page->start) +
                             proto_number_size(page->complete));

    if (!p)
        return;
    p = proto_put_fixed64(p, PAGE_STORE_ID, page->store_id);
    p = proto_put_fixed64(p, PAGE_START, page->start);
    end(out, proto_put_number(p, PAGE_COMPLETE, page->complete));
}

static bool read_item(struct slice bytes, struct values_item *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    *out = (struct values_item){.value = 0};
    while (proto_scan_next(&scan, &field)) {
        if (is_text(&field, VALUE_ID))
            out->resource_id = field.bytes;
        else if (is_text(&field, VALUE_TYPE))
            out->counter_type = field.bytes;
        else if (field.number == VALUE_VALUE && field.type == PROTO_VARINT)
            out->value = proto_unzigzag(field.value);
    }
    return !scan.bad && is_name(out->resource_id) && is_name(out->counter_type);
}

enum err values_read_page(struct slice bytes, struct buf *items, struct values_page *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct values_page page = {0};
    struct values_item item;
    struct proto_field field;
    bool good = true;

    buf_clear(items);
    while (good && proto_scan_next(&scan, &field)) {
        if (is_fixed(&field, PAGE_STORE_ID)) {
            page.store_id = field.value;
        } else if (is_fixed(&field, PAGE_START)) {
            page.start = field.value;
        } else if (is_text(&field, PAGE_VALUES)) {
            good = read_item(field.bytes, &item);
            buf_add(items, &item, sizeof(item));
            page.count++;
        } else if (field.number == PAGE_COMPLETE && field.type == PROTO_VARINT) {
            page.complete = field.value != 0;
        }
    }
    if (scan.bad || !good)
        return ERR_INVALID;
    if (buf_failed(items))
        return ERR_NO_MEMORY;
    *out = page;
    return ERR_OK;
}
