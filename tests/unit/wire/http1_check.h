/* http1_check.h - what the HTTP/1 tests share: limits, and all the ways to cut. */
#ifndef TESTS_UNIT_WIRE_HTTP1_CHECK_H
#define TESTS_UNIT_WIRE_HTTP1_CHECK_H

#include <stdio.h>

#include "http1_transcript.h"
#include "test.h"

#define HOST    "Host: h\r\n"
#define GET     "GET / HTTP/1.1\r\n" HOST
#define POST    "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct http1_limits usual = {
    .line_bytes = 8192, .header_bytes = 32768, .header_count = 100, .body_bytes = 65536};

static inline void check_same(const char *name, size_t cut, const struct transcript *whole,
                              struct transcript *parts) {
    if (!slice_eq(buf_slice(&whole->text), buf_slice(&parts->text)) || whole->idle != parts->idle)
        fail_msg("%s, cut at %zu:\n%.*s\nwhole:\n%.*s", name, cut,
                 SLICE_ARGS(buf_slice(&parts->text)), SLICE_ARGS(buf_slice(&whole->text)));
    buf_release(&parts->text);
}

/* Every cut in two and every byte alone must tell the same story as the whole. */
static inline struct transcript check_cuts(const char *name, const struct http1_limits *limits,
                                           struct slice in) {
    struct transcript whole = transcript_of(limits, in, NULL, 0);
    struct transcript bytes = transcript_of_bytes(limits, in);

    check_same(name, 0, &whole, &bytes);
    for (size_t cut = 1; cut < in.len; cut++) {
        struct transcript parts = transcript_of(limits, in, &cut, 1);

        check_same(name, cut, &whole, &parts);
    }
    return whole;
}

/* 'in' ends in 'problem' behind 'requests' complete ones, however it is cut. */
static inline void check_row(const char *name, const struct http1_limits *limits, struct slice in,
                             enum err problem, size_t requests) {
    struct transcript got = check_cuts(name, limits, in);

    if (got.problem != problem || got.requests != requests)
        fail_msg("%s: wanted %s behind %zu requests, got\n%.*s", name, err_name(problem), requests,
                 SLICE_ARGS(buf_slice(&got.text)));
    buf_release(&got.text);
}

#endif
