/* trace_context.h - the trace that a request belongs to, as its caller named it (W3C Trace
 * Context).
 *
 * Read by wire/trace_context.h. A request without one has none: nobody would look for a trace that
 * begins and ends here, and its log lines have a request id.
 *
 * Threads    A value; its owner's.
 * Ownership  'state' is borrowed from where the rest lives.
 */
#ifndef BASE_TRACE_CONTEXT_H
#define BASE_TRACE_CONTEXT_H

#include <stdint.h>

#include "base/slice.h"

#define TRACE_ID_BYTES 16
#define SPAN_ID_BYTES  8

struct trace_context {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint8_t parent_id[SPAN_ID_BYTES]; /* the caller's span */
    uint8_t span_id[SPAN_ID_BYTES];   /* ours: the parent of what we call */
    uint8_t flags;                    /* 0x01: sampled; 0x02: the trace id is random */
    struct slice state;               /* tracestate, to be passed on as it came; empty: none */
};

#endif
