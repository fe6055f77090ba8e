/* front_metrics.c - counting, timing and logging calls. */
#include "counter/front_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/log_budget.h"
#include "counter/front_internal.h"

#define ROWS (FRONT_METHODS + 1u) /* the last one: health, reflection, unknown methods */

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

bool front_fleet_init(struct front_fleet *fleet) {
    char labels[160];

    fleet->requests = calloc((size_t)ROWS * ARRAY_LEN(statuses), sizeof(metric_series));
    fleet->duration = calloc(ROWS, sizeof(metric_series));
    if (!fleet->requests || !fleet->duration)
        return false;
    for (unsigned r = 0; r < ROWS; r++) {
        struct slice path = front_method_path(r);

        for (unsigned s = 0; s < ARRAY_LEN(statuses); s++) {
            (void)snprintf(labels, sizeof(labels), "method=\"%.*s\",code=\"%s\"", SLICE_ARGS(path),
                           statuses[s].name);
            fleet->requests[r * ARRAY_LEN(statuses) + s] =
                metrics_series(fleet->metrics, METRIC_GRPC_REQUESTS, labels);
        }
        (void)snprintf(labels, sizeof(labels), "method=\"%.*s\"", SLICE_ARGS(path));
        fleet->duration[r] = metrics_series(fleet->metrics, METRIC_GRPC_DURATION, labels);
    }
    fleet->batch_retries = metrics_series(fleet->metrics, METRIC_BATCH_RETRIES, "");
    fleet->batch_refused = metrics_series(fleet->metrics, METRIC_BATCH_REFUSED, "");
    return true;
}

void front_fleet_release(struct front_fleet *fleet) {
    free(fleet->requests);
    free(fleet->duration);
}

void front_batcher_metrics(struct front *front, const struct batcher_stats *now) {
    struct metrics *metrics = front->fleet->metrics;

    if (now->retries_total != front->reported.retries_total)
        metrics_add(metrics, front->shard, front->fleet->batch_retries,
                    now->retries_total - front->reported.retries_total);
    if (now->refused_total != front->reported.refused_total)
        metrics_add(metrics, front->shard, front->fleet->batch_refused,
                    now->refused_total - front->reported.refused_total);
    front->reported = *now;
}

static unsigned row_of(const struct front *front, const struct grpc_method *method) {
    size_t index = method ? (size_t)(method - front->table) : FRONT_METHODS;

    return index < FRONT_METHODS ? (unsigned)index : FRONT_METHODS;
}

void front_finished(void *ctx, const struct grpc_method *method, enum grpc_status status,
                    struct slice message, const struct trace_context *trace, int64_t duration_us) {
    struct front *front = ctx;
    struct metrics *metrics = front->fleet->metrics;
    unsigned row = row_of(front, method);
    unsigned index = status_index(status);

    metrics_add(metrics, front->shard, front->fleet->requests[row * ARRAY_LEN(statuses) + index],
                1);
    metrics_observe(metrics, front->shard, front->fleet->duration[row], (uint64_t)duration_us);
    if (status == GRPC_OK || status == GRPC_CANCELLED ||
        !log_budget_take(&front->log, loop_now_ms(front->loop)))
        return;
    log_line(LOG_WARN, "call failed", LOG_SLICE("method", method ? method->path : SLICE("unknown")),
             LOG_STR("status", statuses[index].name), LOG_SLICE("detail", message),
             LOG_TRACE(trace), LOG_INT("duration_us", duration_us),
             LOG_INT("suppressed", log_budget_suppressed(&front->log)));
}
