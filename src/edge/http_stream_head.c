/* http_stream_head.c - an HTTP/2 request's head, field by field.
 *
 * nghttp2 has seen to it that the pseudo-headers come first, once and all, that
 * names are lower-case tokens, that there is no connection-specific field
 * (RFC 9113 8.2, 8.3) and that the DATA frames add up to Content-Length. What
 * is left are the rules that HTTP/1 requests meet as well, with the same answers.
 */
#include "edge/http_internal.h"

#define FEW_HEADERS    8u
#define FIELD_OVERHEAD 4u /* ": " and CRLF: the limit means what it means for HTTP/1 */

static bool fail(struct http_stream *stream, enum err err, const char *detail) {
    stream->problem = err;
    stream->detail = detail;
    return false;
}

/* ---- fields -------------------------------------------------------------- */

static struct slice *pseudo_field(struct http_stream *stream, struct slice name) {
    if (slice_eq(name, SLICE(":method")))
        return &stream->head.method;
    if (slice_eq(name, SLICE(":path")))
        return &stream->head.target;
    if (slice_eq(name, SLICE(":authority")))
        return &stream->head.authority;
    return NULL; /* :scheme, which changes nothing here */
}

/* Counted as the connection's until the request is handed over. */
static bool hold(struct http_stream *stream, size_t bytes) {
    if (!h2_hold(stream->h2.h2, bytes, HTTP_STREAM_IN_SLACK))
        return fail(stream, ERR_BUSY, "the connection's requests take too much memory");
    stream->head.held += bytes;
    return true;
}

static bool make_room(struct http_stream *stream) {
    size_t room = stream->head.room ? stream->head.room * 2 : FEW_HEADERS;

    if (stream->head.count < stream->head.room)
        return true;
    struct http1_header *headers = arena_alloc(&stream->arena, room * sizeof(*headers));
    if (!headers)
        return false; /* the arena remembers */
    if (stream->head.count)
        memcpy(headers, stream->head.headers, stream->head.count * sizeof(*headers));
    stream->head.headers = headers;
    stream->head.room = room;
    return true;
}

static void add_header(struct http_stream *stream, struct slice name, struct slice value) {
    const struct http1_limits *limits = &stream->server->conf.limits;

    stream->head.bytes += name.len + value.len + FIELD_OVERHEAD;
    if (stream->head.count == limits->header_count) {
        (void)fail(stream, ERR_HEADERS, "too many header fields");
        return;
    }
    if (stream->head.bytes > limits->header_bytes) {
        (void)fail(stream, ERR_HEADERS, "the header fields are too large");
        return;
    }
    if (!hold(stream, name.len + value.len + sizeof(struct http1_header)) || !make_room(stream))
        return;
    stream->head.names |= http1_name_bit(name);
    stream->head.headers[stream->head.count++] = (struct http1_header){
        .name = arena_copy(&stream->arena, name),
        .value = arena_copy(&stream->arena, value),
    };
}

void http_stream_field(struct http_stream *stream, struct slice name, struct slice value) {
    if (stream->problem != ERR_OK)
        return;
    if (name.ptr[0] != ':') {
        add_header(stream, name, value);
        return;
    }
    struct slice *own = pseudo_field(stream, name);

    if (!own)
        return;
    if (value.len > stream->server->conf.limits.line_bytes)
        (void)fail(stream, ERR_URI_TOO_LONG, "the request line is too long");
    else if (hold(stream, value.len))
        *own = arena_copy(&stream->arena, value);
}

/* ---- the whole ----------------------------------------------------------- */

static uint64_t read_length(struct slice digits) {
    uint64_t length = 0;

    for (size_t i = 0; i < digits.len; i++) /* nghttp2 has checked that it is a number that fits */
        length = length * 10 + (uint64_t)(digits.ptr[i] - '0');
    return length;
}

static bool read_own_headers(struct http_stream *stream, bool body_follows) {
    struct http1_request *request = &stream->request;

    for (size_t i = 0; i < stream->head.count; i++) {
        const struct http1_header *header = &stream->head.headers[i];

        if (slice_eq(header->name, SLICE("content-length"))) {
            stream->head.content_length = read_length(header->value);
            stream->head.has_length = true;
        } else if (slice_eq(header->name, SLICE("host"))) {
            if (stream->head.host.ptr)
                return fail(stream, ERR_INVALID, "more than one Host");
            stream->head.host = header->value;
        } else if (slice_eq(header->name, SLICE("expect"))) {
            if (slice_eq_nocase(header->value, SLICE("100-continue")))
                request->expects_continue = body_follows; /* RFC 9110 10.1.1 */
            else
                request->expectation_failed = true;
        }
    }
    return true;
}

/* RFC 9113 8.3.1: who believes the one and who believes the other would serve two different
 * sites. nghttp2 has seen to it that one of them is there. */
static bool check_authority(struct http_stream *stream) {
    struct slice authority = stream->head.authority;
    struct slice host = stream->head.host;

    if (authority.ptr && host.ptr && !slice_eq_nocase(authority, host))
        return fail(stream, ERR_INVALID, "Host differs from :authority");
    if (!http1_authority_valid(authority.ptr ? authority : host))
        return fail(stream, ERR_INVALID,
                    authority.ptr ? "the :authority is malformed" : "Host is malformed");
    return true;
}

static bool read_target(struct http_stream *stream) {
    struct http1_request *request = &stream->request;
    struct slice target = stream->head.target;

    if (!http1_method(stream->head.method, &request->method))
        return fail(stream, ERR_NOT_IMPL, "the method is unknown");
    if (slice_eq(stream->head.method, SLICE("CONNECT"))) /* has no :path (RFC 9113 8.5) */
        target = stream->head.authority;
    else if (!http1_target_valid(target))
        return fail(stream, ERR_INVALID, "the target has a character that isn't allowed");
    http1_target_split(target, &request->path, &request->query);
    return true;
}

bool http_stream_head(struct http_stream *stream, bool body_follows) {
    struct http1_request *request = &stream->request;

    if (stream->problem != ERR_OK)
        return false;
    if (arena_overflowed(&stream->arena))
        return fail(stream, ERR_NO_MEMORY, "out of memory");
    *request = (struct http1_request){
        .headers = stream->head.headers,
        .header_count = stream->head.count,
        .absent = ~stream->head.names,
        .minor_version = 1,
        .keep_alive = true,
    };
    if (!read_own_headers(stream, body_follows) || !check_authority(stream) || !read_target(stream))
        return false;
    request->has_body = body_follows || stream->head.has_length;
    return true;
}
