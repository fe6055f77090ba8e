/* otlp.c - messages inside messages: each has a function for its size and one that puts it. */
#include "wire/otlp.h"

#include <string.h>

#include "wire/proto_write.h"

/* ExportTraceServiceRequest, ResourceSpans, Resource, ScopeSpans, InstrumentationScope */
enum { RESOURCE_SPANS = 1 };
enum { RESOURCE = 1, SCOPE_SPANS = 2 };
enum { RESOURCE_ATTRIBUTES = 1 };
enum { SCOPE = 1, SPANS = 2 };
enum { SCOPE_NAME = 1, SCOPE_VERSION = 2 };
/* KeyValue, AnyValue */
enum { KEY = 1, VALUE = 2 };
enum { STRING_VALUE = 1, INT_VALUE = 3 };
/* Span, Link, Status */
enum {
    TRACE_ID = 1,
    SPAN_ID = 2,
    PARENT_SPAN_ID = 4,
    NAME = 5,
    KIND = 6,
    START_TIME = 7,
    END_TIME = 8,
    ATTRIBUTES = 9,
    LINKS = 13,
    STATUS = 15,
};
enum { LINK_TRACE_ID = 1, LINK_SPAN_ID = 2 };
enum { STATUS_CODE = 3 };
#define STATUS_ERROR 2

static bool zeros(const uint8_t *id, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (id[i])
            return false;
    return true;
}

/* All zeros is no id, and takes no bytes. */
static struct slice id_slice(const uint8_t *id, size_t len) {
    return zeros(id, len) ? (struct slice){NULL, 0} : slice_of((const char *)id, len);
}

/* ---- attributes ---- */

/* A number is there even when it is 0: it is one of several kinds of value. */
static size_t value_size(const struct span_attr *attr) {
    if (attr->text.ptr)
        return proto_message_size(attr->text.len);
    return 1 + proto_varint_size((uint64_t)attr->number);
}

static size_t attr_size(const struct span_attr *attr) {
    return proto_text_size(attr->key) + proto_message_size(value_size(attr));
}

static size_t attrs_size(const struct span_attr *attrs, unsigned count) {
    size_t size = 0;

    for (unsigned i = 0; i < count; i++)
        size += proto_message_size(attr_size(&attrs[i]));
    return size;
}

static char *put_attrs(char *p, unsigned field, const struct span_attr *attrs, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        p = proto_put_message(p, field, attr_size(&attrs[i]));
        p = proto_put_text(p, KEY, attrs[i].key);
        p = proto_put_message(p, VALUE, value_size(&attrs[i]));
        if (attrs[i].text.ptr)
            p = proto_put_raw(proto_put_message(p, STRING_VALUE, attrs[i].text.len), attrs[i].text);
        else
            p = proto_put_varint(proto_put_tag(p, INT_VALUE, PROTO_VARINT),
                                 (uint64_t)attrs[i].number);
    }
    return p;
}

/* ---- a span ---- */

static size_t name_len(const struct span *span) {
    return span->name[0].len + (span->name[1].len ? 1 + span->name[1].len : 0);
}

static size_t link_size(const struct trace_link *link) {
    return zeros(link->span_id, SPAN_ID_BYTES)
               ? 0
               : proto_message_size(TRACE_ID_BYTES) + proto_message_size(SPAN_ID_BYTES);
}

static size_t span_size(const struct span *span) {
    size_t link = link_size(&span->link);

    return proto_message_size(TRACE_ID_BYTES) + proto_message_size(SPAN_ID_BYTES) +
           proto_text_size(id_slice(span->parent_id, SPAN_ID_BYTES)) +
           proto_message_size(name_len(span)) + proto_number_size(span->kind) +
           proto_fixed64_size((uint64_t)span->start_ns) +
           proto_fixed64_size((uint64_t)span->end_ns) + attrs_size(span->attrs, span->attr_count) +
           (link ? proto_message_size(link) : 0) +
           (span->failed ? proto_message_size(proto_number_size(STATUS_ERROR)) : 0);
}

static char *put_name(char *p, const struct span *span) {
    p = proto_put_message(p, NAME, name_len(span));
    p = proto_put_raw(p, span->name[0]);
    if (!span->name[1].len)
        return p;
    *p++ = ' ';
    return proto_put_raw(p, span->name[1]);
}

static char *put_link(char *p, const struct trace_link *link) {
    size_t size = link_size(link);

    if (!size)
        return p;
    p = proto_put_message(p, LINKS, size);
    p = proto_put_message(p, LINK_TRACE_ID, TRACE_ID_BYTES);
    p = proto_put_raw(p, slice_of((const char *)link->trace_id, TRACE_ID_BYTES));
    p = proto_put_message(p, LINK_SPAN_ID, SPAN_ID_BYTES);
    return proto_put_raw(p, slice_of((const char *)link->span_id, SPAN_ID_BYTES));
}

static char *put_span(char *p, const struct span *span) {
    p = proto_put_message(p, TRACE_ID, TRACE_ID_BYTES);
    p = proto_put_raw(p, slice_of((const char *)span->trace_id, TRACE_ID_BYTES));
    p = proto_put_message(p, SPAN_ID, SPAN_ID_BYTES);
    p = proto_put_raw(p, slice_of((const char *)span->span_id, SPAN_ID_BYTES));
    p = proto_put_text(p, PARENT_SPAN_ID, id_slice(span->parent_id, SPAN_ID_BYTES));
    p = put_name(p, span);
    p = proto_put_number(p, KIND, span->kind);
    p = proto_put_fixed64(p, START_TIME, (uint64_t)span->start_ns);
    p = proto_put_fixed64(p, END_TIME, (uint64_t)span->end_ns);
    p = put_attrs(p, ATTRIBUTES, span->attrs, span->attr_count);
    p = put_link(p, &span->link);
    if (!span->failed)
        return p;
    p = proto_put_message(p, STATUS, proto_number_size(STATUS_ERROR));
    return proto_put_number(p, STATUS_CODE, STATUS_ERROR);
}

/* ---- the whole ---- */

void otlp_write(struct buf *out, const struct otlp_resource *resource, const struct span *spans,
                size_t count) {
    size_t attrs = attrs_size(resource->attrs, resource->attr_count);
    size_t scope = proto_text_size(resource->scope) + proto_text_size(resource->scope_version);
    size_t scoped = proto_message_size(scope);

    for (size_t i = 0; i < count; i++)
        scoped += proto_message_size(span_size(&spans[i]));
    size_t all = proto_message_size(attrs) + proto_message_size(scoped);
    if (!buf_reserve(out, proto_message_size(all)))
        return;
    char *p = proto_put_message(out->ptr + out->len, RESOURCE_SPANS, all);
    p = proto_put_message(p, RESOURCE, attrs);
    p = put_attrs(p, RESOURCE_ATTRIBUTES, resource->attrs, resource->attr_count);
    p = proto_put_message(p, SCOPE_SPANS, scoped);
    p = proto_put_message(p, SCOPE, scope);
    p = proto_put_text(p, SCOPE_NAME, resource->scope);
    p = proto_put_text(p, SCOPE_VERSION, resource->scope_version);
    for (size_t i = 0; i < count; i++)
        p = put_span(proto_put_message(p, SPANS, span_size(&spans[i])), &spans[i]);
    out->len = (size_t)(p - out->ptr);
}
