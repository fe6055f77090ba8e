/* remote_metrics.c - calls to counters by method and status, and their time. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "gateway/remote_internal.h"

static const char *const methods[REMOTE_METHODS] = {
    [REMOTE_APPLY] = LANES_APPLY_PATH,
    [REMOTE_HELLO] = LANES_HELLO_PATH,
};

/* By number (grpc/doc/statuscodes.md); what isn't among them counts as UNKNOWN. */
static const char *const statuses[] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

static unsigned status_index(enum grpc_status status) {
    return (unsigned)status < ARRAY_LEN(statuses) ? (unsigned)status : GRPC_UNKNOWN;
}

const char *remote_status_name(enum grpc_status status) {
    return statuses[status_index(status)];
}

const char *remote_breaker_name(enum peer_state state) {
    static const char *const names[PEER_STATES] = {
        [PEER_CLOSED] = "closed", [PEER_OPEN] = "open", [PEER_HALF_OPEN] = "half_open"};

    return names[state];
}

static void make_method(struct remote_fleet *fleet, unsigned method) {
    char labels[METRICS_LABELS_BYTES];

    for (unsigned s = 0; s < ARRAY_LEN(statuses); s++) {
        (void)snprintf(labels, sizeof(labels), "method=\"%s\",code=\"%s\"", methods[method],
                       statuses[s]);
        fleet->series.requests[method * ARRAY_LEN(statuses) + s] =
            metrics_series(fleet->metrics, METRIC_UPSTREAM_REQUESTS, labels);
    }
    (void)snprintf(labels, sizeof(labels), "method=\"%s\"", methods[method]);
    fleet->series.duration[method] =
        metrics_series(fleet->metrics, METRIC_UPSTREAM_DURATION, labels);
}

bool remote_series_make(struct remote_fleet *fleet) {
    struct metrics *metrics = fleet->metrics;
    struct remote_series *series = &fleet->series;

    series->requests = calloc(REMOTE_METHODS * ARRAY_LEN(statuses), sizeof(*series->requests));
    if (!series->requests)
        return false;
    for (unsigned m = 0; m < REMOTE_METHODS; m++)
        make_method(fleet, m);
    series->connections = metrics_series(metrics, METRIC_UPSTREAM_CONNECTIONS, "");
    series->retries = metrics_series(metrics, METRIC_UPSTREAM_RETRIES, "");
    series->retries_refused = metrics_series(metrics, METRIC_UPSTREAM_RETRIES_REFUSED, "");
    series->ejections[PEER_FAILING] =
        metrics_series(metrics, METRIC_UPSTREAM_EJECTIONS, "reason=\"failing\"");
    series->ejections[PEER_SLOW] =
        metrics_series(metrics, METRIC_UPSTREAM_EJECTIONS, "reason=\"slow\"");
    series->breakers[PEER_OPEN] =
        metrics_series(metrics, METRIC_UPSTREAM_BREAKERS, "state=\"open\"");
    series->breakers[PEER_HALF_OPEN] =
        metrics_series(metrics, METRIC_UPSTREAM_BREAKERS, "state=\"half_open\"");
    for (unsigned state = 0; state < PEER_STATES; state++) {
        char labels[METRICS_LABELS_BYTES];

        (void)snprintf(labels, sizeof(labels), "to=\"%s\"", remote_breaker_name(state));
        series->transitions[state] =
            metrics_series(metrics, METRIC_UPSTREAM_BREAKER_TRANSITIONS, labels);
    }
    series->refused = metrics_series(metrics, METRIC_UPSTREAM_REFUSED, "");
    return true;
}

void remote_observe(struct remote *remote, enum remote_method method, enum grpc_status status,
                    int64_t sent_ns) {
    struct remote_fleet *fleet = remote->fleet;

    metrics_add(fleet->metrics, remote->shard,
                fleet->series.requests[method * ARRAY_LEN(statuses) + status_index(status)], 1);
    metrics_observe(fleet->metrics, remote->shard, fleet->series.duration[method],
                    (uint64_t)(clock_mono_ns() - sent_ns) / 1000);
}
