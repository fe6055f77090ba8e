/* grpc_host_internal.h - what the host's files share.
 *
 * grpc_host.c          composition, health, drain
 * grpc_host_metrics.c  series, and the log line of a failed call
 */
#ifndef EDGE_GRPC_HOST_INTERNAL_H
#define EDGE_GRPC_HOST_INTERNAL_H

#include "base/log_budget.h"
#include "edge/grpc_health.h"
#include "edge/grpc_host.h"
#include "edge/grpc_reflection.h"

#define GRPC_HOST_LISTED (GRPC_HOST_SERVICES_MAX + 3u) /* health, reflection in two versions */

struct grpc_host {
    struct grpc_host_fleet *fleet;
    struct loop *loop;
    unsigned shard;
    struct grpc_server *server;
    struct grpc_health *health;
    struct grpc_reflection *reflection;
    struct grpc_method table[GRPC_HOST_METHODS_MAX + GRPC_HEALTH_METHODS + GRPC_REFLECTION_METHODS];
    unsigned rows[GRPC_HOST_METHODS_MAX]; /* of the fleet's series, by method */
    size_t method_count;                  /* of the services: the others come behind */
    struct slice listed[GRPC_HOST_LISTED];
    size_t listed_count;
    struct slice served[GRPC_HOST_SERVICES_MAX]; /* those that health knows */
    bool serving[GRPC_HOST_SERVICES_MAX];
    size_t served_count;
    struct log_budget log;
};

/* grpc_server_conf.finished, ctx is the host. */
void grpc_host_finished(void *ctx, const struct grpc_method *method, enum grpc_status status,
                        struct slice message, const struct trace_context *trace,
                        int64_t duration_us);

#endif
