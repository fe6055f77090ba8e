/* grpc_host_metrics.c - counting, timing and logging calls. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/grpc_host_internal.h"
#include "edge/tracer.h"

static const struct {
    enum grpc_status status;
    const char *name;
} statuses[] = {
    {GRPC_OK, "OK"},
    {GRPC_CANCELLED, "CANCELLED"},
    {GRPC_UNKNOWN, "UNKNOWN"},
    {GRPC_INVALID_ARGUMENT, "INVALID_ARGUMENT"},
    {GRPC_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"},
    {GRPC_NOT_FOUND, "NOT_FOUND"},
    {GRPC_RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED"},
    {GRPC_FAILED_PRECONDITION, "FAILED_PRECONDITION"},
    {GRPC_ABORTED, "ABORTED"},
    {GRPC_OUT_OF_RANGE, "OUT_OF_RANGE"},
    {GRPC_UNIMPLEMENTED, "UNIMPLEMENTED"},
    {GRPC_INTERNAL, "INTERNAL"},
    {GRPC_UNAVAILABLE, "UNAVAILABLE"},
};

/* An unlisted one counts as UNKNOWN. */
static unsigned status_index(enum grpc_status status) {
    for (unsigned i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return i;
    return 2;
}

static void make_row(struct grpc_host_fleet *fleet, size_t row, struct slice path) {
    char labels[160];

    for (unsigned i = 0; i < ARRAY_LEN(statuses); i++) {
        (void)snprintf(labels, sizeof(labels), "method=\"%.*s\",code=\"%s\"", SLICE_ARGS(path),
                       statuses[i].name);
        fleet->requests[row * ARRAY_LEN(statuses) + i] =
            metrics_series(fleet->metrics, METRIC_GRPC_REQUESTS, labels);
    }
    (void)snprintf(labels, sizeof(labels), "method=\"%.*s\"", SLICE_ARGS(path));
    fleet->duration[row] = metrics_series(fleet->metrics, METRIC_GRPC_DURATION, labels);
}

/* The last row is that of health, reflection and unknown methods. */
bool grpc_host_fleet_init(struct grpc_host_fleet *fleet, const struct slice *paths, size_t count) {
    assert(count <= GRPC_HOST_METHODS_MAX);
    fleet->requests = calloc((count + 1) * ARRAY_LEN(statuses), sizeof(metric_series));
    fleet->duration = calloc(count + 1, sizeof(metric_series));
    if (!fleet->requests || !fleet->duration)
        return false;
    fleet->path_count = count;
    for (size_t row = 0; row < count; row++) {
        fleet->paths[row] = paths[row];
        make_row(fleet, row, paths[row]);
    }
    make_row(fleet, count, SLICE("other"));
    return true;
}

void grpc_host_fleet_release(struct grpc_host_fleet *fleet) {
    free(fleet->requests);
    free(fleet->duration);
}

static size_t row_of(const struct grpc_host *host, const struct grpc_method *method) {
    size_t index = method ? (size_t)(method - host->table) : host->method_count;

    return index < host->method_count ? host->rows[index] : host->fleet->path_count;
}

/* As the semantic conventions of RPC have it: the method without its slash. */
static void end_span(const struct grpc_method *method, enum grpc_status status,
                     const struct trace_context *trace, int64_t duration_us) {
    struct span span = tracer_span(trace, SPAN_SERVER);

    span.name[0] = method ? slice_skip(method->path, 1) : SLICE("unknown");
    span.failed = status != GRPC_OK;
    span_text(&span, SLICE("rpc.system"), SLICE("grpc"));
    span_number(&span, SLICE("rpc.grpc.status_code"), (int64_t)status);
    tracer_end(&span, duration_us * 1000);
}

void grpc_host_finished(void *ctx, const struct grpc_method *method, enum grpc_status status,
                        struct slice message, const struct trace_context *trace,
                        int64_t duration_us) {
    struct grpc_host *host = ctx;
    struct metrics *metrics = host->fleet->metrics;
    size_t row = row_of(host, method);
    unsigned index = status_index(status);

    metrics_add(metrics, host->shard, host->fleet->requests[row * ARRAY_LEN(statuses) + index], 1);
    metrics_observe(metrics, host->shard, host->fleet->duration[row], (uint64_t)duration_us);
    if (tracer_wants(trace)) {
        end_span(method, status, trace, duration_us);
        metrics_exemplar(metrics, host->fleet->duration[row], (uint64_t)duration_us, trace,
                         clock_wall_ms());
    }
    if (status == GRPC_OK || status == GRPC_CANCELLED ||
        !log_budget_take(&host->log, loop_now_ms(host->loop)))
        return;
    log_line(LOG_WARN, "call failed", LOG_SLICE("method", method ? method->path : SLICE("unknown")),
             LOG_STR("status", statuses[index].name), LOG_SLICE("detail", message),
             LOG_TRACE(trace), LOG_INT("duration_us", duration_us),
             LOG_INT("suppressed", log_budget_suppressed(&host->log)));
}
