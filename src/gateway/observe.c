/* observe.c - metrics and the log line of each answered request.
 *
 * Series are made once: every route with every status the server can give, so
 * that what clients send never adds one (CVE-2022-21698).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/tracer.h"
#include "gateway/client_limit.h"
#include "gateway/internal.h"
#include "gateway/observe.h"

static const int statuses[] = {200, 400, 404, 405, 408, 409, 411, 413, 414, 415,
                               417, 422, 429, 431, 500, 501, 503, 504, 505};

const char *const gateway_modes[GATEWAY_MODES] = {"fast", "local", "replicated"};

static unsigned status_index(int status) {
    for (unsigned i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i] == status)
            return i;
    abort(); /* a status that no row of the error table has */
}

static void make_instances(struct metrics *metrics, const char *service,
                           metric_series out[GATEWAY_INSTANCES]) {
    static const char *const states[GATEWAY_INSTANCES] = {
        [GATEWAY_KNOWN] = "known", [GATEWAY_USABLE] = "usable"};
    char labels[METRICS_LABELS_BYTES];

    for (unsigned i = 0; i < GATEWAY_INSTANCES; i++) {
        (void)snprintf(labels, sizeof(labels), "service=\"%s\",state=\"%s\"", service, states[i]);
        out[i] = metrics_series(metrics, METRIC_UPSTREAM_INSTANCES, labels);
    }
}

bool gateway_fleet_init(struct gateway_fleet *fleet) {
    struct metrics *metrics = fleet->metrics;
    char labels[160];

    fleet->series.requests = calloc(route_count() * ARRAY_LEN(statuses), sizeof(metric_series));
    fleet->series.duration = calloc(route_count(), sizeof(metric_series));
    if (!fleet->series.requests || !fleet->series.duration)
        return false;
    for (unsigned r = 0; r < route_count(); r++) {
        const struct route *route = route_at(r);
        struct slice method = method_name(route->method);

        for (unsigned s = 0; s < ARRAY_LEN(statuses); s++) {
            (void)snprintf(labels, sizeof(labels), "route=\"%.*s\",method=\"%.*s\",code=\"%d\"",
                           SLICE_ARGS(route->path), SLICE_ARGS(method), statuses[s]);
            fleet->series.requests[r * ARRAY_LEN(statuses) + s] =
                metrics_series(metrics, METRIC_HTTP_REQUESTS, labels);
        }
        (void)snprintf(labels, sizeof(labels), "route=\"%.*s\",method=\"%.*s\"",
                       SLICE_ARGS(route->path), SLICE_ARGS(method));
        fleet->series.duration[r] = metrics_series(metrics, METRIC_HTTP_DURATION, labels);
    }
    fleet->series.connections = metrics_series(metrics, METRIC_HTTP_CONNECTIONS, "");
    fleet->series.refused = metrics_series(metrics, METRIC_HTTP_REFUSED, "");
    fleet->series.penalties = metrics_series(metrics, METRIC_FLOOD_PENALTIES, "");
    fleet->series.penalty_delayed = metrics_series(metrics, METRIC_FLOOD_DELAYED, "");
    fleet->series.penalty_refused = metrics_series(metrics, METRIC_FLOOD_REFUSED, "");
    fleet->series.store_up = metrics_series(metrics, METRIC_STORE_UP, "");
    for (unsigned i = 0; i < GATEWAY_MODES; i++) {
        (void)snprintf(labels, sizeof(labels), "mode=\"%s\"", gateway_modes[i]);
        fleet->series.durability[i] = metrics_series(metrics, METRIC_STORE_DURABILITY, labels);
    }
    fleet->series.batch_retries = metrics_series(metrics, METRIC_BATCH_RETRIES, "");
    fleet->series.shed = metrics_series(metrics, METRIC_OVERLOAD_SHED, "");
    fleet->series.limit = metrics_series(metrics, METRIC_OVERLOAD_LIMIT, "");
    fleet->series.stale_reads = metrics_series(metrics, METRIC_STALE_READS, "");
    make_instances(metrics, "counter", fleet->series.counters);
    make_instances(metrics, "analytics", fleet->series.analytics);
    fleet->series.missing_partitions =
        metrics_series(metrics, METRIC_ANALYTICS_MISSING_PARTITIONS, "");
    fleet->series.doubled_partitions =
        metrics_series(metrics, METRIC_ANALYTICS_DOUBLED_PARTITIONS, "");
    fleet->series.batch_refused = metrics_series(metrics, METRIC_BATCH_REFUSED, "");
    live_shared_init(&fleet->streams, metrics, "sse", fleet->config->stream_connections);
    fleet->limit = client_limit_new(fleet->config, metrics);
    if (fleet->has_canary)
        fleet->canary_rule = canary_new(fleet->config, metrics);
    return fleet->limit && (fleet->canary_rule || !fleet->has_canary);
}

void gateway_fleet_release(struct gateway_fleet *fleet) {
    client_limit_free(fleet->limit);
    canary_free(fleet->canary_rule);
    free(fleet->series.requests);
    free(fleet->series.duration);
}

static void log_failure(struct gateway *gateway, const struct http_exchange *exchange, int status,
                        int64_t duration_us) {
    const struct route *route = route_at(reply_route_of(exchange));
    struct slice detail;
    enum err err = http_failure(exchange, &detail);

    if (!log_budget_take(&gateway->log, loop_now_ms(gateway->loop)))
        return;
    log_line(status >= 500 ? LOG_WARN : LOG_INFO, "request failed",
             LOG_SLICE("method", method_name(route->method)), LOG_SLICE("route", route->path),
             LOG_INT("status", status), LOG_STR("error", err_name(err)),
             LOG_SLICE("detail", detail), LOG_SLICE("request_id", http_request_id(exchange)),
             LOG_TRACE(http_trace(exchange)), LOG_INT("duration_us", duration_us),
             LOG_INT("suppressed", log_budget_suppressed(&gateway->log)));
}

static void end_span(const struct http_exchange *exchange, const struct route *route, int status,
                     int64_t duration_us) {
    struct span span = tracer_span(http_trace(exchange), SPAN_SERVER);

    span.name[0] = method_name(route->method);
    span.name[1] = route->path;
    span.failed = status >= 500;
    span_text(&span, SLICE("http.request.method"), span.name[0]);
    span_text(&span, SLICE("http.route"), route->path);
    span_number(&span, SLICE("http.response.status_code"), status);
    tracer_end(&span, duration_us * 1000);
}

void gateway_replied(void *ctx, const struct http_exchange *exchange, int status, size_t body_bytes,
                     int64_t duration_us) {
    struct gateway *gateway = ctx;
    struct gateway_fleet *fleet = gateway->fleet;
    unsigned route = reply_route_of(exchange);

    (void)body_bytes;
    metrics_add(fleet->metrics, gateway->shard,
                fleet->series.requests[route * ARRAY_LEN(statuses) + status_index(status)], 1);
    metrics_observe(fleet->metrics, gateway->shard, fleet->series.duration[route],
                    (uint64_t)duration_us);
    if (fleet->canary_rule && reply_arm_of(exchange) != CANARY_NONE &&
        (route_at(route)->flags & ROUTE_COUNTS))
        canary_replied(fleet->canary_rule, reply_arm_of(exchange), status, duration_us,
                       gateway->shard);
    if (tracer_wants(http_trace(exchange))) {
        end_span(exchange, route_at(route), status, duration_us);
        metrics_exemplar(fleet->metrics, fleet->series.duration[route], (uint64_t)duration_us,
                         http_trace(exchange), clock_wall_ms());
    }
    if (UNLIKELY(status >= 400))
        log_failure(gateway, exchange, status, duration_us);
}
