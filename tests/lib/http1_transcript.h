/* http1_transcript.h - what an HTTP/1 parser made of some input, as text.
 *
 * Every piece is fed from memory of its own that is gone when the next one
 * comes, so that a slice that outlives its input is a report of ASan's.
 *
 * Ownership  The transcript's buffer is the caller's: buf_release().
 */
#ifndef TESTS_LIB_HTTP1_TRANSCRIPT_H
#define TESTS_LIB_HTTP1_TRANSCRIPT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "wire/http1.h"

struct transcript {
    struct buf text;  /* one line for each event, with everything it says */
    size_t requests;  /* complete ones */
    enum err problem; /* ERR_OK when none */
    bool idle;        /* nothing of a further request has come */
};

/* 'cuts' are ascending offsets into 'in', the ends of all pieces but the last. */
struct transcript transcript_of(const struct http1_limits *limits, struct slice in,
                                const size_t *cuts, size_t count);

/* The same, a byte at a time. */
struct transcript transcript_of_bytes(const struct http1_limits *limits, struct slice in);

#endif
