/* routes.c - the table and how a path finds its row. */
#include "gateway/routes.h"

#include <stdio.h>

#include "base/attr.h"
#include "gateway/internal.h"

#define BOTH    (ROUTE_PUBLIC | ROUTE_ADMIN)
#define COUNTER "/api/v1/counter/"
#define STATS   "/api/v1/analytics/stats/"

/* clang-format off */
/* The busiest first: a path is compared from the top. */
static const struct route routes[] = {
    {HTTP_OTHER_METHOD, 0, {"unknown", 7}, {"Not found", 9}, NULL},
    {HTTP_POST, ROUTE_PUBLIC | ROUTE_FROZEN | ROUTE_COUNTS | ROUTE_BODY, {COUNTER "increment", 25},
     {"Failed to increment counter", 27}, handle_increment},
    {HTTP_POST, ROUTE_PUBLIC | ROUTE_FROZEN | ROUTE_COUNTS | ROUTE_BODY | ROUTE_BATCH, {COUNTER "batch", 21},
     {"Failed to batch get counters", 28}, handle_batch_get},
    {HTTP_POST, ROUTE_PUBLIC | ROUTE_FROZEN | ROUTE_COUNTS | ROUTE_BODY | ROUTE_BATCH,
     {COUNTER "batch/increment", 31}, {"Failed to batch increment counters", 34},
     handle_batch_increment},
    {HTTP_GET, BOTH | ROUTE_FROZEN | ROUTE_COUNTS, {COUNTER "{resource_id}/{counter_type}", 44},
     {"Failed to get counter", 21}, handle_get},
    {HTTP_PUT, ROUTE_ADMIN | ROUTE_BODY, {COUNTER "{resource_id}/{counter_type}", 44},
     {"Failed to set counter", 21}, handle_set},
    {HTTP_DELETE, ROUTE_ADMIN, {COUNTER "{resource_id}/{counter_type}", 44},
     {"Failed to reset counter", 23}, handle_delete},
    {HTTP_GET, ROUTE_PUBLIC, {"/api/v1/analytics/top", 21}, {"Failed to rank", 14},
     handle_analytics_top},
    {HTTP_GET, ROUTE_PUBLIC, {STATS "{resource_id}/{counter_type}", 52},
     {"Failed to read stats", 20}, handle_analytics_stats},
    {HTTP_GET, ROUTE_PUBLIC, {"/api/v1/stream", 14}, {"Failed to stream", 16}, handle_stream},
    {HTTP_GET, BOTH | ROUTE_PROBE | ROUTE_FROZEN, {"/api/v1/health", 14}, {"Unhealthy", 9}, handle_health},
    {HTTP_GET, ROUTE_PUBLIC | ROUTE_FROZEN, {"/api/v1/system/pools", 20},
     {"Failed to read pools", 20}, handle_pools},
    {HTTP_POST, ROUTE_PUBLIC | ROUTE_FROZEN, {"/api/v1/system/pools/test", 25},
     {"Worker pool test failed", 23}, handle_pools_test},
    {HTTP_GET, ROUTE_PUBLIC | ROUTE_FROZEN, {"/api/v1/system/object-pools", 27},
     {"Failed to read pools", 20}, handle_object_pools},
    {HTTP_GET, ROUTE_PUBLIC | ROUTE_FROZEN, {"/api/v1/system/kafka", 20},
     {"Not configured", 14}, handle_kafka},
    {HTTP_GET, ROUTE_PUBLIC | ROUTE_FROZEN, {"/api/v1/system/grpc-pools", 25},
     {"Failed to read pools", 20}, handle_grpc_pools},
    {HTTP_GET, ROUTE_PUBLIC | ROUTE_FROZEN, {"/api/v1/system/services/health", 30},
     {"Service health check failed", 27}, handle_services_health},
    {HTTP_GET, BOTH | ROUTE_PROBE, {"/healthz", 8}, {"Not ready", 9}, handle_ready},
    {HTTP_GET, BOTH | ROUTE_PROBE, {"/livez", 6}, {"Not alive", 9}, handle_live},
    {HTTP_GET, BOTH | ROUTE_PROBE, {"/readyz", 7}, {"Not ready", 9}, handle_ready},
    {HTTP_GET, BOTH, {"/openapi.json", 13}, {"No description", 14}, handle_openapi},
    {HTTP_POST, ROUTE_ADMIN, {"/api/v1/analytics/recount", 25}, {"Failed to recount", 17},
     handle_recount},
    {HTTP_GET, ROUTE_ADMIN, {"/api/v1/analytics/recount", 25}, {"Failed to recount", 17},
     handle_recount_status},
    {HTTP_GET, ROUTE_ADMIN, {"/metrics", 8}, {"No metrics", 10}, handle_metrics},
};
/* clang-format on */

unsigned route_count(void) {
    return ARRAY_LEN(routes);
}

const struct route *route_at(unsigned index) {
    return &routes[index];
}

#define PARTS "{resource_id}/{counter_type}"

/* The two parameters behind 'prefix'. A third part, or an empty last one (a
 * trailing slash), is another path: the old router's rule, kept. */
static bool split_parts(struct slice path, struct slice prefix, struct slice out[2]) {
    if (!slice_starts(path, prefix))
        return false;
    path = slice_skip(path, prefix.len);
    const char *slash = memchr(path.ptr, '/', path.len);
    if (!slash)
        return false;
    out[0] = slice_of(path.ptr, (size_t)(slash - path.ptr));
    out[1] = slice_skip(path, out[0].len + 1);
    return out[1].len > 0 && !memchr(out[1].ptr, '/', out[1].len);
}

static bool matches(const struct route *route, struct slice path, struct slice parts[2]) {
    struct slice prefix = {route->path.ptr, route->path.len - sizeof(PARTS) + 1};

    if (route->path.ptr[route->path.len - 1] == '}')
        return split_parts(path, prefix, parts);
    return slice_eq(route->path, path);
}

/* What a path that is served, but not by this method, allows. */
static struct route_match route_other(unsigned side, struct slice path) {
    struct route_match match = {.route = ROUTE_NONE};

    for (unsigned i = 1; i < ARRAY_LEN(routes); i++)
        if ((routes[i].flags & side) && matches(&routes[i], path, match.parts))
            match.methods |= 1u << routes[i].method;
    match.path_known = match.methods != 0;
    return match;
}

struct route_match route_find(unsigned side, enum http_method method, struct slice path) {
    enum http_method served = method == HTTP_HEAD ? HTTP_GET : method;
    struct route_match match = {.path_known = true, .methods = 1u << served};

    for (unsigned i = 1; i < ARRAY_LEN(routes); i++)
        if (routes[i].method == served && (routes[i].flags & side) &&
            matches(&routes[i], path, match.parts)) {
            match.route = i;
            return match;
        }
    return route_other(side, path);
}

struct slice method_name(enum http_method method) {
    static const struct slice names[HTTP_METHODS] = {
        [HTTP_GET] = {"GET", 3},
        [HTTP_HEAD] = {"HEAD", 4},
        [HTTP_POST] = {"POST", 4},
        [HTTP_PUT] = {"PUT", 3},
        [HTTP_DELETE] = {"DELETE", 6},
        [HTTP_OPTIONS] = {"OPTIONS", 7},
        [HTTP_OTHER_METHOD] = {"other", 5},
    };

    return names[method];
}

void route_allow(unsigned methods, char *out, size_t size) {
    size_t len = 0;

    out[0] = '\0';
    if (methods & (1u << HTTP_GET))
        methods |= 1u << HTTP_HEAD;
    for (unsigned m = 0; m < HTTP_METHODS && len < size; m++)
        if (methods & (1u << m))
            len += (size_t)snprintf(out + len, size - len, "%s%.*s", len ? ", " : "",
                                    SLICE_ARGS(method_name((enum http_method)m)));
}
