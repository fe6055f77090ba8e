/* tracer.h - spans of sampled requests, to a collector by OTLP over HTTP.
 *
 *     request, batch, call, store ── tracer_end() ──► ring ──► hgp-traces ──► POST /v1/traces
 *
 * One for the process, like its log. A request is sampled when its traceparent says so, or, without
 * one, by chance: then its trace begins here. What isn't sampled costs a look at a flag.
 *
 * Threads    tracer_open() before and tracer_close() after all threads that end spans; the others
 *            any. tracer_end() never blocks.
 * Limits     'queue' spans wait; beyond, and after three attempts, they are dropped and counted.
 */
#ifndef EDGE_TRACER_H
#define EDGE_TRACER_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/metrics.h"
#include "base/span.h"
#include "wire/otlp.h"

struct tracer_conf {
    const char *url;     /* "http://collector:4318/v1/traces" */
    const char *headers; /* otlp_post.h */
    uint32_t sample_per_million;
    size_t queue;
    int64_t delay_ms;              /* how long a span waits for others */
    int64_t timeout_ms;            /* of one export */
    struct otlp_resource resource; /* its texts live as long as the tracer */
    struct metrics *metrics;
    unsigned shard;
};

/* False: memory ran out, or the headers can't be read. */
MUST_CHECK bool tracer_open(const struct tracer_conf *conf);
/* Sends what waits, for at most 'wait_ms'. Without a tracer it does nothing. */
void tracer_close(int64_t wait_ms);

/* Are spans exported at all? */
bool tracer_on(void);

/* A trace that begins here, for one piece of work out of so many; false for the others. 'random'
 * moves on. */
MUST_CHECK bool tracer_begin(uint64_t *random, struct trace_context *out);
/* Likewise for a request, in its arena; NULL for the others. */
struct trace_context *tracer_sample(uint64_t *random, struct arena *arena);

/* A span for this trace? */
bool tracer_wants(const struct trace_context *trace);

/* The span that the context names, with its parent and its link. */
struct span tracer_span(const struct trace_context *trace, enum span_kind kind);
/* One below it. */
struct span tracer_child(const struct trace_context *trace, enum span_kind kind);

/* Ended now, and took so long. */
void tracer_end(struct span *span, int64_t duration_ns);

#endif
