/* front_metrics.h - the gRPC front's series, and the log line of a failed call.
 *
 * Threads    The front's loop.
 */
#ifndef COUNTER_FRONT_METRICS_H
#define COUNTER_FRONT_METRICS_H

#include <stdint.h>

#include "core/batcher.h"
#include "edge/grpc_server.h"

struct front;

/* grpc_server_conf.finished, ctx is the front. */
void front_finished(void *ctx, const struct grpc_method *method, enum grpc_status status,
                    struct slice message, const struct trace_context *trace, int64_t duration_us);

void front_batcher_metrics(struct front *front, const struct batcher_stats *now);

/* The path of a front_method; "other" for FRONT_METHODS: health, reflection, unknown. */
struct slice front_method_path(unsigned method);

#endif
