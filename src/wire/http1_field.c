/* http1_field.c - header and trailer lines, byte by byte (RFC 9112 5).
 *
 *     START ─► NAME ─':'─► VALUE ─CR─► LF ─┐
 *      │ ▲─────────────────────────────────┘
 *      CR ─► END ─LF─► done
 */
#include "base/swar.h"
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
                              const char *at, const char *end, struct http1_problem *problem) {
    if (*at == '\r') {
        bool whole = at + 1 < end && at[1] == '\n';

        fields->state = whole ? FIELDS_DONE : END;
        return at + 1 + whole;
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

/* The first byte from 'at' on that no value has, as http1_span() finds it, but mostly eight at a
 * time: values are long. */
static const char *value_end(const char *at, const char *end) {
    while ((size_t)(end - at) >= SWAR_BYTES) {
        uint64_t word = swar_load(at);
        uint64_t marks = swar_below(word, 0x20) | swar_is(word, 0x7F);

        if (marks) {
            at += swar_first(marks);
            break; /* or a tab, behind which http1_span() goes on */
        }
        at += SWAR_BYTES;
    }
    return http1_span(at, end, HTTP1_VALUE);
}

static const char *read_value(struct http1_fields *fields, const char *at, const char *end,
                              struct http1_problem *problem) {
    at = value_end(at, end);
    if (at == end)
        return at;
    if (*at == '\n')
        http1_fail(problem, ERR_INVALID, "a header line ends in LF without CR");
    else if (*at != '\r')
        http1_fail(problem, ERR_INVALID, "a header value has a control character");
    if (*at != '\r')
        return at;
    if (LIKELY(at + 1 < end && at[1] == '\n')) {
        fields->state = START;
        return at + 2;
    }
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

/* A line, or what there is of it; stops behind the state that it couldn't end. */
static const char *read_some(struct http1_fields *fields, const struct http1_limits *limits,
                             struct slice in, struct http1_problem *problem) {
    const char *end = in.ptr + in.len;
    const char *at = in.ptr;

    if (fields->state == START)
        at = read_start(fields, limits, at, end, problem);
    else if (fields->state == FIELD_LF || fields->state == END)
        return read_lf(fields, at, problem);
    if (fields->state == NAME)
        at = read_name(fields, at, end, problem);
    if (fields->state == VALUE)
        at = read_value(fields, at, end, problem);
    return at;
}

enum gate http1_fields_read(struct http1_fields *fields, const struct http1_limits *limits,
                            struct slice *in, struct http1_problem *problem) {
    while (in->len && fields->state != FIELDS_DONE) {
        bool counts = fields->state != END;
        const char *at = read_some(fields, limits, *in, problem);
        size_t used = (size_t)(at - in->ptr);

        *in = slice_skip(*in, used);
        /* The empty line behind the fields doesn't. */
        if (counts && fields->state != END && fields->state != FIELDS_DONE)
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
