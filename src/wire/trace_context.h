/* trace_context.h - the header fields traceparent and tracestate (W3C Trace Context).
 *
 * Strict, as the specification asks: what isn't a traceparent to the last character is as good as
 * none, and a tracestate that can't be read is dropped alone (3.2.2, 3.3.1).
 *
 * Threads    None of their own; no state.
 */
#ifndef WIRE_TRACE_CONTEXT_H
#define WIRE_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/slice.h"
#include "base/trace_context.h"

#define TRACEPARENT "traceparent"
#define TRACESTATE  "tracestate"

#define TRACEPARENT_BYTES     55  /* "00-<32 hex>-<16 hex>-<2 hex>" */
#define TRACESTATE_BYTES_MAX  512 /* 3.3.1.5: at least that is passed on; a longer one isn't */
#define TRACESTATE_FIELDS_MAX 8   /* that one request may spread it over */

/* The two fields among a request's, gathered one by one in any order. Zeroed it is empty. */
struct trace_fields {
    struct slice parent;
    unsigned parents;
    struct slice state[TRACESTATE_FIELDS_MAX];
    unsigned states;
};

/* Looks at one field, whatever its name; case doesn't matter. Borrows the value. */
void trace_fields_add(struct trace_fields *fields, struct slice name, struct slice value);

/* The trace they name, in 'arena', with 'span_id' as ours. NULL: none, or none that is valid, or
 * the arena is full. */
struct trace_context *trace_fields_read(const struct trace_fields *fields, uint64_t span_id,
                                        struct arena *arena);

/* Two or more tracestate fields are one, joined by commas (RFC 9110 5.3): whether all of it may be
 * passed on. */
MUST_CHECK bool tracestate_valid(struct slice state);

/* Fills trace_id, parent_id and flags; false: not valid, and untouched. */
MUST_CHECK bool traceparent_read(struct slice value, struct trace_context *out);

/* What goes to the next one, with our span as its parent; TRACEPARENT_BYTES, no NUL. */
void traceparent_write(const struct trace_context *trace, char out[TRACEPARENT_BYTES]);

#endif
