/* http_stream_reply.c - an HTTP/2 response: the reply's head as fields, its body as DATA. */
#include <stdio.h>

#include "edge/http_internal.h"

#define FIELDS_MAX  24u
#define NAMES_BYTES 256u /* of one reply's own field names; a handler has one or two of them */
#define DIGITS      20u

struct fields {
    nghttp2_nv nva[FIELDS_MAX];
    size_t count;
    char status[DIGITS + 1];
    char length[DIGITS + 1];
    char names[NAMES_BYTES]; /* in lower case (RFC 9113 8.2.1) */
    size_t names_len;
};

/* nghttp2 copies both: they need not outlive the call that submits them. */
static void add(struct fields *fields, struct slice name, struct slice value) {
    if (fields->count == FIELDS_MAX)
        return;
    fields->nva[fields->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.ptr,
        .value = (uint8_t *)(uintptr_t)value.ptr,
        .namelen = name.len,
        .valuelen = value.len,
    };
}

static struct slice lower(struct fields *fields, struct slice name) {
    char *to = fields->names + fields->names_len;

    for (size_t i = 0; i < name.len; i++)
        to[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] | 0x20 : name.ptr[i]);
    fields->names_len += name.len;
    return slice_of(to, name.len);
}

/* "Name: value\r\n", as http_reply.headers has them; ours, and so well-formed. */
static void add_lines(struct fields *fields, struct slice lines) {
    while (lines.len) {
        const char *end = memchr(lines.ptr, '\r', lines.len);
        const char *colon = memchr(lines.ptr, ':', lines.len);

        if (!end || !colon || colon > end)
            return;
        struct slice name = slice_of(lines.ptr, (size_t)(colon - lines.ptr));
        struct slice value = slice_of(colon + 1, (size_t)(end - colon - 1));
        while (value.len && *value.ptr == ' ')
            value = slice_skip(value, 1);
        if (fields->names_len + name.len <= NAMES_BYTES)
            add(fields, lower(fields, name), value);
        lines = slice_skip(lines, (size_t)(end - lines.ptr) + 2);
    }
}

static struct slice digits(char out[DIGITS + 1], size_t number) {
    return slice_of(out, (size_t)snprintf(out, DIGITS + 1, "%zu", number));
}

static void add_head(struct fields *fields, const struct http_exchange *exchange,
                     const struct http_reply *reply, bool lasts) {
    add(fields, SLICE(":status"), digits(fields->status, (size_t)reply->status));
    if (reply->content_type.ptr)
        add(fields, SLICE("content-type"), reply->content_type);
    add(fields, SLICE("date"), slice_of(http_server_date(exchange->server), HTTP_DATE_BYTES));
    if (!lasts && reply->status != 204) /* which must not carry a length (RFC 9110 8.6) */
        add(fields, SLICE("content-length"), digits(fields->length, reply->body.len));
    add(fields, SLICE("x-request-id"), http_request_id(exchange));
    add_lines(fields, exchange->fields);
    add_lines(fields, reply->headers);
}

void http_stream_reply(struct http_stream *stream, const struct http_reply *reply) {
    const struct http_exchange *exchange = stream->exchange;
    struct http_server_stats *stats = &stream->server->stats;
    struct slice body = exchange->head_only ? (struct slice){NULL, 0} : reply->body;
    size_t had = stream->h2.out.queue.cap;
    struct fields fields = {.count = 0};

    if (!h2_queue_fits(&stream->h2, body.len)) {
        /* Windows that stay shut: the client asks for more than it takes. What it asked for may be
         * done, so that only silence is true. */
        h2_reset(&stream->h2, NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    add_head(&fields, exchange, reply, false);
    if (body.len)
        h2_queue(&stream->h2, body);
    if (stream->h2.out.queue.cap == had)
        conn_stat_add(&stats->reply_pool.hits, 1);
    h2_respond(&stream->h2, fields.nva, fields.count, body.len > 0);
    h2_finish(&stream->h2);
}

/* To a HEAD it is all, and http_stream_end() follows. */
void http_stream_lasting(struct http_stream *stream, const struct http_reply *reply) {
    struct fields fields = {.count = 0};

    add_head(&fields, stream->exchange, reply, true);
    h2_respond(&stream->h2, fields.nva, fields.count, !stream->exchange->head_only);
}

void http_stream_send(struct http_stream *stream, struct slice bytes) {
    if (stream->h2.gone)
        return;
    if (h2_queue_fits(&stream->h2, bytes.len))
        h2_queue(&stream->h2, bytes);
    else
        h2_reset(&stream->h2, NGHTTP2_ENHANCE_YOUR_CALM);
}

void http_stream_end(struct http_stream *stream) {
    if (!stream->h2.gone)
        h2_finish(&stream->h2);
    http_stream_let_go(stream);
}

void http_stream_continue(struct http_stream *stream) {
    static const nghttp2_nv nva[] = {H2_FIELD(":status", "100")};

    h2_inform(&stream->h2, nva, ARRAY_LEN(nva));
}
