/* http1_line.c - the request line, byte by byte (RFC 9112 3).
 *
 *     START ─► METHOD ─SP─► TARGET ─SP─► VERSION ─► CR ─► LF ─► done
 *      │ ▲
 *      CR LF  blank lines
 *      ▼ │
 *     BLANK
 */
#include "wire/http1_char.h"
#include "wire/http1_gate.h"

/* RFC 9112 2.2 asks for at least one; old browsers sent one behind a POST. */
#define MAX_BLANK_LINES 4u

enum { START, BLANK, METHOD, TARGET, VERSION, LINE_CR, LINE_LF, LINE_DONE };

static const char version[] = "HTTP/1.";
#define VERSION_MAJOR_AT 5u
#define VERSION_MINOR_AT 7u
#define VERSION_BYTES    8

static bool read_blank(struct http1_line *line, char c, struct http1_problem *problem) {
    if (line->state == BLANK && c != '\n')
        return http1_fail(problem, ERR_INVALID, "a CR without LF before the request line");
    if (line->state == BLANK) {
        line->state = START;
        return true;
    }
    if (c == '\n')
        return http1_fail(problem, ERR_INVALID, "a LF without CR before the request line");
    if (line->count++ == MAX_BLANK_LINES)
        return http1_fail(problem, ERR_INVALID, "too many empty lines before the request line");
    line->state = BLANK;
    return true;
}

enum gate http1_blank_read(struct http1_line *line, struct slice *in,
                           struct http1_problem *problem) {
    while (in->len) {
        char c = *in->ptr;

        if (line->state == START && c != '\r' && c != '\n') {
            line->state = METHOD;
            line->count = 0;
            return GATE_DONE;
        }
        if (!read_blank(line, c, problem))
            return GATE_ERROR;
        *in = slice_skip(*in, 1);
    }
    return GATE_MORE;
}

/* Why 'c' can't stand where a space was due. */
static const char *bad_method(char c) {
    if (c == '\r' || c == '\n')
        return "the request line has no target";
    return "the method has a character that isn't allowed";
}

static const char *bad_target(char c) {
    if (c == '\r' || c == '\n') /* HTTP/0.9, which has no way to say how it ends */
        return "the request line has no HTTP version";
    return "the target has a character that isn't allowed";
}

/* The rest of a word and the space behind it; 'count' says that it has begun. */
static const char *read_word(struct http1_line *line, const char *at, const char *end,
                             struct http1_problem *problem) {
    bool method = line->state == METHOD;
    const char *stop = http1_span(at, end, method ? HTTP1_TOKEN : HTTP1_TARGET);

    if (stop > at)
        line->count = 1;
    if (stop == end)
        return stop;
    if (*stop == ' ' && line->count) {
        line->state++;
        line->count = 0;
        return stop + 1;
    }
    http1_fail(problem, ERR_INVALID, method ? bad_method(*stop) : bad_target(*stop));
    return stop;
}

/* Major versions but 1 are somebody else's protocol: 505. So are minor ones above 1, which
 * RFC 9110 2.5 would let us read as 1.1: nobody has ever sent one. */
static const char *read_version(struct http1_line *line, const char *at, const char *end,
                                struct http1_problem *problem) {
    if (LIKELY(line->count == 0 && end - at >= VERSION_BYTES &&
               memcmp(at, version, VERSION_MINOR_AT) == 0 &&
               (at[VERSION_MINOR_AT] == '0' || at[VERSION_MINOR_AT] == '1'))) {
        line->state = LINE_CR;
        return at + VERSION_BYTES;
    }
    for (; at < end && line->state == VERSION; at++) {
        bool digit = line->count == VERSION_MAJOR_AT || line->count == VERSION_MINOR_AT;
        bool match = line->count == VERSION_MINOR_AT ? *at == '0' || *at == '1'
                                                     : *at == version[line->count];

        if (!match && digit && http1_is_digit(*at)) {
            http1_fail(problem, ERR_VERSION, "only HTTP/1.0 and HTTP/1.1 are spoken here");
            return at;
        }
        if (!match) {
            http1_fail(problem, ERR_INVALID, "the HTTP version is malformed");
            return at;
        }
        if (line->count++ == VERSION_MINOR_AT)
            line->state = LINE_CR;
    }
    return at;
}

static const char *read_end(struct http1_line *line, const char *at,
                            struct http1_problem *problem) {
    if (*at != (line->state == LINE_CR ? '\r' : '\n')) {
        http1_fail(problem, ERR_INVALID, "the request line doesn't end in CRLF");
        return at;
    }
    line->state++;
    return at + 1;
}

static const char *read_some(struct http1_line *line, const char *at, const char *end,
                             struct http1_problem *problem) {
    switch (line->state) {
    case METHOD:
    case TARGET:
        return read_word(line, at, end, problem);
    case VERSION:
        return read_version(line, at, end, problem);
    default:
        return read_end(line, at, problem);
    }
}

enum gate http1_line_read(struct http1_line *line, const struct http1_limits *limits,
                          struct slice *in, struct http1_problem *problem) {
    while (in->len && line->state != LINE_DONE) {
        bool counts = line->state <= VERSION;
        const char *at = read_some(line, in->ptr, in->ptr + in->len, problem);
        size_t used = (size_t)(at - in->ptr);

        *in = slice_skip(*in, used);
        if (counts)
            line->bytes += used;
        if (line->bytes > limits->line_bytes) {
            http1_fail(problem, ERR_URI_TOO_LONG, "the request line is too long");
            return GATE_ERROR;
        }
        if (problem->err != ERR_OK)
            return GATE_ERROR;
    }
    return line->state == LINE_DONE ? GATE_DONE : GATE_MORE;
}

bool http1_line_in_version(const struct http1_line *line) {
    return line->state == VERSION && line->count < VERSION_MAJOR_AT;
}
