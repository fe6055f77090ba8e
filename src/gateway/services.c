/* services.c - /api/v1/system/grpc-pools and services/health: how the counter core is reached.
 *
 * In one process there are no connections, one instance, and its health is the store's.
 */
#include "gateway/internal.h"

/* Why addresses can't be used; nothing at all when there is nothing to say, so that the frozen
 * shape is what a sound system shows. */
static void add_problems(struct buf *body, const struct gateway_backend *backend) {
    struct gateway_problem problem;
    bool any = false;

    for (size_t i = 0; backend->problem && backend->problem(backend->ctx, i, &problem); i++) {
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
static void add_breakers(struct buf *body, const struct gateway_backend *backend) {
    struct gateway_problem problem;
    bool any = false;

    for (size_t i = 0; backend->problem && backend->problem(backend->ctx, i, &problem); i++) {
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

void handle_grpc_pools(struct request *request) {
    const struct gateway_backend *backend = &request->gateway->fleet->backend;
    struct buf *body = http_body(request->exchange);
    struct gateway_pool pool;

    backend->pool(backend->ctx, &pool);
    buf_add_slice(body, SLICE("{\"data\":{\"counter\":{\"connections\":"));
    buf_add_u64(body, pool.connections);
    buf_add_slice(body, SLICE(",\"instances\":"));
    buf_add_u64(body, pool.instances);
    buf_add_slice(body, SLICE(",\"last_updated\":"));
    buf_add_i64(body, pool.updated_s);
    add_problems(body, backend);
    add_breakers(body, backend);
    buf_add_slice(body, SLICE("}},\"status\":\"success\"}"));
    reply_json(request->exchange, 200, body, SLICE(""));
}

void handle_services_health(struct request *request) {
    const struct gateway_backend *backend = &request->gateway->fleet->backend;
    struct buf *body = http_body(request->exchange);
    char detail[GATEWAY_DOWN_BYTES];

    if (backend->up(backend->ctx)) {
        buf_add_slice(body, SLICE("{\"message\":\"All services are healthy\","
                                  "\"status\":\"success\"}"));
        reply_json(request->exchange, 200, body, SLICE(""));
        return;
    }
    backend->down(backend->ctx, detail, sizeof(detail));
    http_set_failure(request->exchange, ERR_UNAVAILABLE, slice_str(detail));
    json_write_error(body, slice_str(detail), SLICE("Service health check failed"), true);
    reply_json(request->exchange, 503, body, SLICE("Retry-After: 1\r\n"));
}
