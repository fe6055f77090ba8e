/* http1_field.c - header and trailer lines, byte by byte (RFC 9112 5).
 *
 *     START ─► NAME ─':'─► VALUE ─CR─► LF ─┐
 *      │ ▲─────────────────────────────────┘
 *      CR ─► END ─LF─► done
 */
#include "wire/http1_char.h"
#include "wire/http1_gate.h"

enum { START, NAME, VALUE, FIELD_LF, END, FIELDS_DONE };

static const char *bad_start(char c) {
    /* A folded line is the value's next part for one reader and a field of its
     * own for another (RFC 9112 5.2: reject). */
    if (c == ' ' || c == '\t')
        return "a header line starts with white space";
    if (c == ':')
        return "a header has no name";
    if (c == '\n')
        return "a header line ends in LF without CR";
    return "a header name has a character that isn't allowed";
}

static const char *read_start(struct http1_fields *fields, const struct http1_limits *limits,
                              const char *at, struct http1_problem *problem) {
    if (*at == '\r') {
        fields->state = END;
        return at + 1;
    }
    if (!http1_is(*at, HTTP1_TOKEN)) {
        http1_fail(problem, ERR_INVALID, bad_start(*at));
    } else if (fields->count == limits->header_count) {
        http1_fail(problem, ERR_HEADERS, "too many header fields");
    } else {
        fields->count++;
        fields->state = NAME;
    }
    return at;
}

static const char *bad_name(char c) {
    /* RFC 9112 5.1: "Content-Length : 5" is a length for some readers only. */
    if (c == ' ' || c == '\t')
        return "white space before a header's colon";
    if (c == '\r' || c == '\n')
        return "a header line has no colon";
    return "a header name has a character that isn't allowed";
}

static const char *read_name(struct http1_fields *fields, const char *at, const char *end,
                             struct http1_problem *problem) {
    at = http1_span(at, end, HTTP1_TOKEN);
    if (at == end)
        return at;
    if (*at != ':') {
        http1_fail(problem, ERR_INVALID, bad_name(*at));
        return at;
    }
    fields->state = VALUE;
    return at + 1;
}

static const char *read_value(struct http1_fields *fields, const char *at, const char *end,
                              struct http1_problem *problem) {
    at = http1_span(at, end, HTTP1_VALUE);
    if (at == end)
        return at;
    if (*at == '\n')
        http1_fail(problem, ERR_INVALID, "a header line ends in LF without CR");
    else if (*at != '\r')
        http1_fail(problem, ERR_INVALID, "a header value has a control character");
    if (*at != '\r')
        return at;
    fields->state = FIELD_LF;
    return at + 1;
}

static const char *read_lf(struct http1_fields *fields, const char *at,
                           struct http1_problem *problem) {
    if (*at != '\n') {
        http1_fail(problem, ERR_INVALID, "a CR without LF in the header");
        return at;
    }
    fields->state = fields->state == END ? FIELDS_DONE : START;
    return at + 1;
}

static const char *read_some(struct http1_fields *fields, const struct http1_limits *limits,
                             struct slice in, struct http1_problem *problem) {
    const char *end = in.ptr + in.len;

    switch (fields->state) {
    case START:
        return read_start(fields, limits, in.ptr, problem);
    case NAME:
        return read_name(fields, in.ptr, end, problem);
    case VALUE:
        return read_value(fields, in.ptr, end, problem);
    default:
        return read_lf(fields, in.ptr, problem);
    }
}

enum gate http1_fields_read(struct http1_fields *fields, const struct http1_limits *limits,
                            struct slice *in, struct http1_problem *problem) {
    while (in->len && fields->state != FIELDS_DONE) {
        bool counts = fields->state != START && fields->state != END;
        const char *at = read_some(fields, limits, *in, problem);
        size_t used = (size_t)(at - in->ptr);

        *in = slice_skip(*in, used);
        if (counts)
            fields->bytes += used;
        if (fields->bytes > limits->header_bytes) {
            http1_fail(problem, ERR_HEADERS, "the header fields are too large");
            return GATE_ERROR;
        }
        if (problem->err != ERR_OK)
            return GATE_ERROR;
    }
    return fields->state == FIELDS_DONE ? GATE_DONE : GATE_MORE;
}
