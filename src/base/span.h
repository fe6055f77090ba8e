/* span.h - one finished piece of work in a trace, as a value (OpenTelemetry's span).
 *
 * Threads    A value; its owner's.
 * Ownership  Texts are borrowed for as long as the process lives: names of routes, methods,
 * literals. Nothing that a client has sent. Limits     SPAN_ATTRS_MAX attributes, asserted; one
 * link.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/trace_context.h"

#define SPAN_ATTRS_MAX 4

/* Numbers of opentelemetry/proto/trace/v1/trace.proto. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3, SPAN_PRODUCER = 4 };

struct span_attr {
    struct slice key;
    struct slice text; /* {NULL, 0}: the number is the value */
    int64_t number;
};

struct span {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES];
    uint8_t parent_id[SPAN_ID_BYTES]; /* zeros: none, the trace begins here */
    struct trace_link link;           /* zeros: none */
    enum span_kind kind;
    bool failed;
    struct slice name[2]; /* joined by a space; the second may be empty */
    int64_t start_ns;     /* since the Unix epoch */
    int64_t end_ns;
    struct span_attr attrs[SPAN_ATTRS_MAX];
    unsigned attr_count;
};

static inline void span_text(struct span *span, struct slice key, struct slice text) {
    assert(span->attr_count < SPAN_ATTRS_MAX);
    span->attrs[span->attr_count++] = (struct span_attr){.key = key, .text = text};
}

static inline void span_number(struct span *span, struct slice key, int64_t number) {
    assert(span->attr_count < SPAN_ATTRS_MAX);
    span->attrs[span->attr_count++] = (struct span_attr){.key = key, .number = number};
}

#endif
