/* otlp.h - spans as an ExportTraceServiceRequest, OTLP's message, in protobuf.
 * Source: opentelemetry-proto 1.x, collector/trace/v1 and trace/v1.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef WIRE_OTLP_H
#define WIRE_OTLP_H

#include "base/buf.h"
#include "base/span.h"

#define OTLP_CONTENT_TYPE "application/x-protobuf"
#define OTLP_ATTRS_MAX    24

/* Who says it; texts are borrowed for the call. */
struct otlp_resource {
    struct span_attr attrs[OTLP_ATTRS_MAX];
    unsigned attr_count;
    struct slice scope; /* the instrumentation's name and version */
    struct slice scope_version;
};

/* Appends the message. Out of memory: buf_failed(out). */
void otlp_write(struct buf *out, const struct otlp_resource *resource, const struct span *spans,
                size_t count);

#endif
