/* trace_context.h - the trace that a request belongs to, as its caller named it (W3C Trace
 * Context).
 *
 * Read by wire/trace_context.h. A request without one has none, unless spans are exported and it is
 * one of those that are sampled (edge/tracer.h); its log lines have a request id.
 *
 * Threads    A value; its owner's.
 * Ownership  'state' is borrowed from where the rest lives.
 */
#ifndef BASE_TRACE_CONTEXT_H
#define BASE_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define TRACE_ID_BYTES 16
#define SPAN_ID_BYTES  8

#define TRACE_SAMPLED   0x01
#define TRACE_RANDOM_ID 0x02

/* A span somewhere else that has to do with this one. */
struct trace_link {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t span_id[SPAN_ID_BYTES];
};

struct trace_context {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t parent_id[SPAN_ID_BYTES]; /* the caller's span */
    uint8_t span_id[SPAN_ID_BYTES];   /* ours: the parent of what we call */
    uint8_t flags;                    /* TRACE_SAMPLED, TRACE_RANDOM_ID */
    struct trace_link batch; /* the message that carried its operation; zeros: none (yet) */
    struct slice state;      /* tracestate, to be passed on as it came; empty: none */
};

static inline bool trace_sampled(const struct trace_context *trace) {
    return trace && (trace->flags & TRACE_SAMPLED);
}

#endif
