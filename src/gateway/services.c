/* services.c - /api/v1/system/grpc-pools and services/health: how other services are reached.
 *
 * In one process there are no connections, one instance, and its health is the store's.
 */
#include "gateway/internal.h"

/* Why addresses can't be used; nothing at all when there is nothing to say, so that the frozen
 * shape is what a sound system shows. */
static void add_problems(struct buf *body, const struct gateway_service *service) {
    struct gateway_problem problem;
    bool any = false;

    for (size_t i = 0; service->problem && service->problem(service->ctx, i, &problem); i++) {
        if (!problem.text[0])
            continue;
        buf_add_slice(body, any ? SLICE(",") : SLICE(",\"problems\":["));
        buf_add_slice(body, SLICE("{\"address\":"));
        json_add_string(body, slice_str(problem.address));
        buf_add_slice(body, SLICE(",\"problem\":"));
        json_add_string(body, slice_str(problem.text));
        buf_add_char(body, '}');
        any = true;
    }
    if (any)
        buf_add_char(body, ']');
}

/* Likewise who is set aside, or tried again. */
static void add_breakers(struct buf *body, const struct gateway_service *service) {
    struct gateway_problem problem;
    bool any = false;

    for (size_t i = 0; service->problem && service->problem(service->ctx, i, &problem); i++) {
        if (!problem.open && !problem.half_open)
            continue;
        buf_add_slice(body, any ? SLICE(",") : SLICE(",\"breakers\":["));
        buf_add_slice(body, SLICE("{\"address\":"));
        json_add_string(body, slice_str(problem.address));
        buf_printf(body, ",\"open\":%u,\"half_open\":%u}", problem.open, problem.half_open);
        any = true;
    }
    if (any)
        buf_add_char(body, ']');
}

static void add_service(struct buf *body, const char *name, const struct gateway_service *service) {
    struct gateway_pool pool;

    service->pool(service->ctx, &pool);
    buf_printf(body, "\"%s\":{\"connections\":%llu,\"instances\":%llu,\"last_updated\":%lld", name,
               (unsigned long long)pool.connections, (unsigned long long)pool.instances,
               (long long)pool.updated_s);
    add_problems(body, service);
    add_breakers(body, service);
    buf_add_char(body, '}');
}

/* The canary's counters, where there is one: the store itself is asked by everything else. */
static struct gateway_service counter_of(const struct gateway_fleet *fleet) {
    const struct gateway_backend *backend = fleet->has_canary ? &fleet->canary : &fleet->backend;

    return (struct gateway_service){.ctx = backend->ctx,
                                    .up = backend->up,
                                    .pool = backend->pool,
                                    .problem = backend->problem,
                                    .down = backend->down};
}

static void collect(struct gateway_fleet *fleet, const struct gateway_service *service,
                    const metric_series series[GATEWAY_INSTANCES]) {
    struct gateway_pool pool;

    if (!service->problem)
        return; /* in this process: it has no addresses */
    service->pool(service->ctx, &pool);
    metrics_set(fleet->metrics, fleet->scrape_shard, series[GATEWAY_KNOWN], pool.known);
    metrics_set(fleet->metrics, fleet->scrape_shard, series[GATEWAY_USABLE], pool.instances);
}

void gateway_collect_instances(struct gateway_fleet *fleet) {
    struct gateway_service counter = counter_of(fleet);

    collect(fleet, &counter, fleet->series.counters);
    collect(fleet, &fleet->analytics, fleet->series.analytics);
}

void handle_grpc_pools(struct request *request) {
    const struct gateway_fleet *fleet = request->gateway->fleet;
    struct gateway_service counter = counter_of(fleet);
    struct buf *body = http_body(request->exchange);

    buf_add_slice(body, SLICE("{\"data\":{"));
    add_service(body, "counter", &counter);
    if (fleet->analytics.ctx) {
        buf_add_char(body, ',');
        add_service(body, "analytics", &fleet->analytics);
    }
    buf_add_slice(body, SLICE("},\"status\":\"success\"}"));
    reply_json(request->exchange, 200, body, SLICE(""));
}

/* The first that isn't, NULL: all are healthy. */
static const struct gateway_service *unhealthy(const struct gateway_service *counter,
                                               const struct gateway_service *analytics) {
    if (!counter->up(counter->ctx))
        return counter;
    return analytics->ctx && !analytics->up(analytics->ctx) ? analytics : NULL;
}

void handle_services_health(struct request *request) {
    const struct gateway_fleet *fleet = request->gateway->fleet;
    struct gateway_service counter = counter_of(fleet);
    const struct gateway_service *down = unhealthy(&counter, &fleet->analytics);
    struct buf *body = http_body(request->exchange);
    char detail[GATEWAY_DOWN_BYTES];

    if (!down) {
        buf_add_slice(body, SLICE("{\"message\":\"All services are healthy\","
                                  "\"status\":\"success\"}"));
        reply_json(request->exchange, 200, body, SLICE(""));
        return;
    }
    down->down(down->ctx, detail, sizeof(detail));
    http_set_failure(request->exchange, ERR_UNAVAILABLE, slice_str(detail));
    json_write_error(body, slice_str(detail), SLICE("Service health check failed"), true);
    reply_json(request->exchange, 503, body, SLICE("Retry-After: 1\r\n"));
}
