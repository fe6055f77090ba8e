/* http1_head.h - a complete head, text in, request out; private to http1*.c.
 *
 * Threads    Pure functions, any thread.
 * Ownership  The slices point into the head.
 */
#ifndef WIRE_HTTP1_HEAD_H
#define WIRE_HTTP1_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "wire/http1.h"
#include "wire/http1_gate.h"

struct http1_head {
    enum http_method method;
    bool connect; /* CONNECT, whose target has a form of its own */
    int minor_version;
    struct slice target;
    struct http1_header *headers; /* room for 'count', which the gate has counted */
    size_t count;
    uint64_t absent; /* as a request has it */
};

/* llhttp's reading of a head that has passed the gate. It is a second opinion
 * as well: where it differs on the head's end or the fields' number the request
 * is refused. */
MUST_CHECK bool http1_head_read(struct http1_head *head, struct slice text,
                                struct http1_problem *problem);

struct http1_framing {
    uint64_t content_length; /* 0 without one */
    bool chunked;
};

/* What the fields say about body, connection and expectation (RFC 9112 6, 9.3,
 * RFC 9110 10.1.1); fills those members of 'request'. */
MUST_CHECK bool http1_rules_read(const struct http1_head *head, struct http1_request *request,
                                 struct http1_framing *framing, struct http1_problem *problem);

/* The target's path and query, checked against Host (RFC 9112 3.2). */
MUST_CHECK bool http1_target_read(const struct http1_head *head, struct http1_request *request,
                                  struct http1_problem *problem);

/* The only field called 'name': false when there are two. {NULL, 0} without one. */
MUST_CHECK bool http1_head_single(const struct http1_head *head, struct slice name,
                                  struct slice *out_value);

#endif
