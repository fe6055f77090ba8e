/* http1_head.c - where llhttp reads the head. */
#include "wire/http1_head.h"

#include "wire/http1_llhttp.h"

struct reader {
    struct http1_head *head;
    size_t count;   /* of fields seen */
    uint64_t names; /* http1_name_bit() of theirs */
    bool complete;
};

static int on_url(llhttp_t *parser, const char *at, size_t length) {
    struct reader *reader = parser->data;

    reader->head->target = slice_of(at, length);
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t length) {
    struct reader *reader = parser->data;

    if (reader->count == reader->head->count)
        return -1;
    struct slice name = slice_of(at, length);

    reader->names |= http1_name_bit(name);
    reader->head->headers[reader->count++] =
        (struct http1_header){.name = name, .value = slice_of(at + length, 0)};
    return 0;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static int on_value(llhttp_t *parser, const char *at, size_t length) {
    struct reader *reader = parser->data;

    if (reader->count == 0)
        return -1;
    while (length && is_blank(at[length - 1]))
        length--;
    while (length && is_blank(*at)) {
        at++;
        length--;
    }
    reader->head->headers[reader->count - 1].value = slice_of(at, length);
    return 0;
}

/* Stops it there: the body is read by our own rules, and an upgrade never happens. */
static int on_headers_complete(llhttp_t *parser) {
    struct reader *reader = parser->data;

    reader->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
};

static enum http_method method_of(unsigned method) {
    switch (method) {
    case LLHTTP_GET:
        return HTTP_GET;
    case LLHTTP_HEAD:
        return HTTP_HEAD;
    case LLHTTP_POST:
        return HTTP_POST;
    case LLHTTP_PUT:
        return HTTP_PUT;
    case LLHTTP_DELETE:
        return HTTP_DELETE;
    case LLHTTP_OPTIONS:
        return HTTP_OPTIONS;
    default:
        return HTTP_OTHER_METHOD;
    }
}

/* The gate has found the head well-formed: only for a method that it doesn't know,
 * or not with HTTP, has llhttp reason to stop with one of these three. */
static bool refused(const llhttp_t *parser, struct http1_problem *problem) {
    switch (llhttp_get_errno(parser)) {
    case HPE_INVALID_METHOD:
    case HPE_INVALID_CONSTANT:
    case HPE_PAUSED_H2_UPGRADE:
        return http1_fail(problem, ERR_NOT_IMPL, "the method is unknown");
    default:
        break;
    }
    const char *reason = llhttp_get_error_reason(parser);

    return http1_fail(problem, ERR_INVALID,
                      reason && *reason ? reason : "the request is malformed");
}

bool http1_head_read(struct http1_head *head, struct slice text, struct http1_problem *problem) {
    struct reader reader = {.head = head};
    llhttp_t parser;

    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = &reader;
    head->target = (struct slice){NULL, 0};
    enum llhttp_errno error = llhttp_execute(&parser, text.ptr, text.len);

    if (error != HPE_PAUSED || !reader.complete)
        return refused(&parser, problem);
    if (llhttp_get_error_pos(&parser) != text.ptr + text.len || reader.count != head->count)
        return http1_fail(problem, ERR_INVALID, "the header can be read in two ways");
    head->absent = ~reader.names;
    head->method = method_of(parser.method);
    head->connect = parser.method == HTTP_CONNECT;
    head->minor_version = parser.http_minor;
    return true;
}

bool http1_method(struct slice name, enum http_method *out) {
    for (unsigned method = 0; method <= HTTP_SOURCE; method++)
        if (slice_eq(name, slice_str(llhttp_method_name((llhttp_method_t)method)))) {
            *out = method_of(method);
            return true;
        }
    return false;
}
