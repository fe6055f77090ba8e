/* http1_chunk.c - a chunked body, byte by byte (RFC 9112 7.1).
 *
 *     SIZE ─► [extensions] ─CR─► SIZE_LF ─► DATA ─► DATA_CR ─► DATA_LF ─┐
 *      ▲                           │                                    │
 *      │                           └─ size 0 ─► TRAILERS ─► done        │
 *      └────────────────────────────────────────────────────────────────┘
 *
 * Not llhttp's: what it lets pass here (bare LF, endless extensions, empty ones)
 * differs between its versions, and this is where smuggling happens.
 */
#include "wire/http1_char.h"
#include "wire/http1_gate.h"

/* Extensions mean nothing to us and cost the sender nothing: CVE-2023-39326. */
#define MAX_EXTRA_BYTES 1024u
/* 15 hex digits can't overflow 64 bits; leading zeros don't buy more of them. */
#define MAX_SIZE_DIGITS 15u

enum {
    SIZE,
    EXT_NAME_FIRST,
    EXT_NAME,
    EXT_VALUE_FIRST,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILERS
};

static bool malformed(struct http1_problem *problem, const char *detail) {
    return http1_fail(problem, ERR_INVALID, detail);
}

/* Behind a size, an extension's name or its value: the line's end or one more. */
static bool read_size_end(struct http1_chunks *chunks, char c, struct http1_problem *problem) {
    if (c == ';')
        chunks->state = EXT_NAME_FIRST;
    else if (c == '\r')
        chunks->state = SIZE_LF;
    else
        return malformed(problem, "a chunk size line is malformed");
    return true;
}

static bool read_size(struct http1_chunks *chunks, char c, struct http1_problem *problem) {
    int digit = http1_hex(c);

    if (digit < 0 && chunks->digits == 0)
        return malformed(problem, "a chunk has no size");
    if (digit < 0)
        return read_size_end(chunks, c, problem);
    if (chunks->digits++ == MAX_SIZE_DIGITS)
        return malformed(problem, "a chunk size has too many digits");
    chunks->left = chunks->left << 4 | (unsigned)digit;
    return true;
}

static bool read_ext_name(struct http1_chunks *chunks, char c, struct http1_problem *problem) {
    bool first = chunks->state == EXT_NAME_FIRST;

    if (http1_is(c, HTTP1_TOKEN)) {
        chunks->state = EXT_NAME;
        return true;
    }
    if (first)
        return malformed(problem, "a chunk extension has no name");
    if (c == '=') {
        chunks->state = EXT_VALUE_FIRST;
        return true;
    }
    return read_size_end(chunks, c, problem);
}

static bool read_ext_value(struct http1_chunks *chunks, char c, struct http1_problem *problem) {
    bool first = chunks->state == EXT_VALUE_FIRST;

    if (first && c == '"')
        chunks->state = EXT_QUOTED;
    else if (http1_is(c, HTTP1_TOKEN))
        chunks->state = EXT_VALUE;
    else if (first)
        return malformed(problem, "a chunk extension has no value");
    else
        return read_size_end(chunks, c, problem);
    return true;
}

/* CR and LF aren't value characters: no line ends inside quotes. Escapes are refused
 * (RFC 9110 5.6.4 has them): readers differ on where the quotes end then, llhttp 8 too. */
static bool read_ext_quoted(struct http1_chunks *chunks, char c, struct http1_problem *problem) {
    if (!http1_is(c, HTTP1_VALUE) || c == '\\')
        return malformed(problem, "a chunk extension has a character that isn't allowed");
    if (c == '"')
        chunks->state = EXT_QUOTED_END;
    return true;
}

static bool read_data_end(struct http1_chunks *chunks, char c, struct http1_problem *problem) {
    if (c != (chunks->state == DATA_CR ? '\r' : '\n'))
        return malformed(problem, "a chunk's data doesn't end in CRLF where its size says");
    chunks->state = chunks->state == DATA_CR ? DATA_LF : SIZE;
    chunks->digits = 0;
    return true;
}

static bool read_size_lf(struct http1_chunks *chunks, char c, size_t room,
                         struct http1_problem *problem) {
    if (c != '\n')
        return malformed(problem, "a chunk size line doesn't end in CRLF");
    if (chunks->left > room)
        return http1_fail(problem, ERR_TOO_LARGE, "the body is too large");
    chunks->state = chunks->left ? DATA : TRAILERS;
    return true;
}

static bool read_framing(struct http1_chunks *chunks, char c, size_t room,
                         struct http1_problem *problem) {
    if (chunks->state >= EXT_NAME_FIRST && chunks->state <= EXT_QUOTED_END &&
        ++chunks->extra_bytes > MAX_EXTRA_BYTES)
        return malformed(problem, "the chunk extensions are too large");
    switch (chunks->state) {
    case SIZE:
        return read_size(chunks, c, problem);
    case EXT_NAME_FIRST:
    case EXT_NAME:
        return read_ext_name(chunks, c, problem);
    case EXT_VALUE_FIRST:
    case EXT_VALUE:
        return read_ext_value(chunks, c, problem);
    case EXT_QUOTED:
        return read_ext_quoted(chunks, c, problem);
    case EXT_QUOTED_END:
        return read_size_end(chunks, c, problem);
    case SIZE_LF:
        return read_size_lf(chunks, c, room, problem);
    default:
        return read_data_end(chunks, c, problem);
    }
}

static void read_data(struct http1_chunks *chunks, struct slice *in, struct buf *body) {
    size_t take = in->len < chunks->left ? in->len : (size_t)chunks->left;

    buf_add(body, in->ptr, take);
    *in = slice_skip(*in, take);
    chunks->left -= take;
    chunks->data_bytes += take;
    if (chunks->left == 0)
        chunks->state = DATA_CR;
}

/* Trailers can't change what the head has said (RFC 9110 6.5.1): most readers ignore
 * these there, some merge them, llhttp refuses one of them. */
static bool check_trailer(struct slice line, struct http1_problem *problem) {
    static const struct slice forbidden[] = {
        {"content-length:", 15}, {"transfer-encoding:", 18}, {"host:", 5}};

    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        if (line.len >= forbidden[i].len &&
            slice_eq_nocase(slice_of(line.ptr, forbidden[i].len), forbidden[i]))
            return http1_fail(problem, ERR_INVALID, "a trailer that belongs into the header");
    return true;
}

/* The text waits behind the body's data until it is complete. */
static enum gate read_trailers(struct http1_chunks *chunks, struct http1_fields *fields,
                               const struct http1_limits *limits, struct slice *in,
                               struct buf *body, struct http1_problem *problem) {
    struct slice text = *in;
    enum gate gate = http1_fields_read(fields, limits, in, problem);

    buf_add(body, text.ptr, text.len - in->len);
    if (gate != GATE_DONE || buf_failed(body))
        return gate;
    text = slice_skip(buf_slice(body), chunks->data_bytes);
    for (char *lf; text.len && (lf = memchr(text.ptr, '\n', text.len));) {
        if (!check_trailer(text, problem))
            return GATE_ERROR;
        text = slice_skip(text, (size_t)(lf + 1 - text.ptr));
    }
    body->len = chunks->data_bytes;
    return GATE_DONE;
}

enum gate http1_chunks_read(struct http1_chunks *chunks, struct http1_fields *fields,
                            const struct http1_limits *limits, size_t body_bytes, struct slice *in,
                            struct buf *body, struct http1_problem *problem) {
    while (in->len && chunks->state != TRAILERS) {
        if (chunks->state == DATA) {
            read_data(chunks, in, body);
            continue;
        }
        if (!read_framing(chunks, *in->ptr, body_bytes - chunks->data_bytes, problem))
            return GATE_ERROR;
        *in = slice_skip(*in, 1);
    }
    if (chunks->state != TRAILERS)
        return GATE_MORE;
    return read_trailers(chunks, fields, limits, in, body, problem);
}
