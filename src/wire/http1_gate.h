/* http1_gate.h - the strict readers of a request's framing, private to http1*.c.
 *
 * Small machines that take bytes as they come and stop at the first one that
 * isn't exactly what the RFC's grammar has. They keep no text, only where they
 * are: cutting the input elsewhere never changes what they find.
 *
 * Threads    One owner at a time.
 * Ownership  Everything is the caller's; a zeroed struct is a fresh reader.
 * Order      Each takes what it reads off the front of '*in'. GATE_MORE means
 *            that all of it is used up. Limits are checked before the bytes'
 *            meaning, so that a slow sender meets them as soon as a fast one.
 */
#ifndef WIRE_HTTP1_GATE_H
#define WIRE_HTTP1_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "wire/http1.h"

enum gate { GATE_MORE, GATE_DONE, GATE_ERROR };

struct http1_problem {
    enum err err;
    const char *detail; /* static */
};

/* Notes the problem; false, for a caller to return. */
static inline bool http1_fail(struct http1_problem *problem, enum err err, const char *detail) {
    *problem = (struct http1_problem){err, detail};
    return false;
}

struct http1_line {
    size_t bytes; /* of the request line so far */
    uint8_t state;
    uint8_t count; /* of blank lines, a word's bytes (0 or some), the version's characters */
};

/* Empty lines before a request (RFC 9112 2.2), a few: somebody who sends
 * nothing else must not look busy for ever. Done at the first other byte. */
MUST_CHECK enum gate http1_blank_read(struct http1_line *line, struct slice *in,
                                      struct http1_problem *problem);

/* The request line with its CRLF; only behind http1_blank_read(). */
MUST_CHECK enum gate http1_line_read(struct http1_line *line, const struct http1_limits *limits,
                                     struct slice *in, struct http1_problem *problem);

/* It stopped at a version that doesn't begin like one. */
bool http1_line_in_version(const struct http1_line *line);

struct http1_fields {
    size_t bytes; /* of all field lines so far, with CRLFs */
    size_t count;
    uint8_t state;
};

/* Field lines up to and with the empty line behind them: headers or trailers. */
MUST_CHECK enum gate http1_fields_read(struct http1_fields *fields,
                                       const struct http1_limits *limits, struct slice *in,
                                       struct http1_problem *problem);

struct http1_chunks {
    uint64_t left;      /* of the chunk being read */
    size_t data_bytes;  /* of the body so far */
    size_t extra_bytes; /* of all chunk extensions */
    uint8_t state;
    uint8_t digits;
};

/* A chunked body with its trailers, which are checked and dropped; 'fields'
 * goes on counting where the headers stopped. Data is appended to 'body', never
 * past 'body_bytes'. The caller checks buf_failed(body). */
MUST_CHECK enum gate http1_chunks_read(struct http1_chunks *chunks, struct http1_fields *fields,
                                       const struct http1_limits *limits, size_t body_bytes,
                                       struct slice *in, struct buf *body,
                                       struct http1_problem *problem);

#endif
