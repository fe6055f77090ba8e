/* grpc_host.c - one loop's gRPC server, health and reflection, put together. */
#include "edge/grpc_host.h"

#include <assert.h>
#include <stdlib.h>

#include "base/random.h"
#include "edge/grpc_health.h"
#include "edge/grpc_host_internal.h"
#include "edge/grpc_reflection.h"
#include "wire/descriptors.h"

#define KEEPALIVE_MIN_MS 10000 /* RELIABILITY 3.9 */

/* Served by every host, beside its services. */
static const struct slice own_services[] = {
    {"grpc.health.v1.Health", 21},
    {"grpc.reflection.v1.ServerReflection", 35},
    {"grpc.reflection.v1alpha.ServerReflection", 40},
};

_Static_assert(GRPC_HOST_LISTED == GRPC_HOST_SERVICES_MAX + ARRAY_LEN(own_services), "all fit");

/* ---- composition ---- */

static unsigned row_of(const struct grpc_host_fleet *fleet, struct slice path) {
    unsigned row = 0;

    while (row < fleet->path_count && !slice_eq(fleet->paths[row], path))
        row++;
    return row;
}

static void take_service(struct grpc_host *host, const struct grpc_service *service) {
    assert(host->method_count + service->method_count <= GRPC_HOST_METHODS_MAX);
    for (size_t i = 0; i < service->method_count; i++) {
        host->rows[host->method_count] = row_of(host->fleet, service->methods[i].path);
        host->table[host->method_count++] = service->methods[i];
    }
    host->listed[host->listed_count++] = service->name;
    if (service->internal)
        return;
    host->served[host->served_count] = service->name;
    host->serving[host->served_count++] = true;
}

static bool make_table(struct grpc_host *host, const struct grpc_service *services, size_t count) {
    assert(count <= GRPC_HOST_SERVICES_MAX);
    for (size_t i = 0; i < count; i++)
        take_service(host, &services[i]);
    for (size_t i = 0; i < ARRAY_LEN(own_services); i++)
        host->listed[host->listed_count++] = own_services[i];
    host->health = grpc_health_new(host->served, host->served_count);
    host->reflection = grpc_reflection_new(&descriptors, host->listed, host->listed_count);
    if (!host->health || !host->reflection)
        return false;
    grpc_health_methods(host->health, &host->table[host->method_count]);
    grpc_reflection_methods(host->reflection,
                            &host->table[host->method_count + GRPC_HEALTH_METHODS]);
    return true;
}

static struct grpc_server *make_server(struct grpc_host *host) {
    const struct config *config = host->fleet->config;
    struct grpc_server_conf conf = {
        .methods = host->table,
        .method_count = host->method_count + GRPC_HEALTH_METHODS + GRPC_REFLECTION_METHODS,
        .connections_max = config->limits_connections,
        .connections = &host->fleet->connections,
        .message_bytes_max = config->limits_grpc_message_bytes,
        .streams_max = config->limits_grpc_streams,
        .deadline_max_ms = config->timeouts_request_ms,
        .idle_ms = config->timeouts_idle_ms,
        .write_ms = config->timeouts_write_ms,
        .keepalive_min_ms = KEEPALIVE_MIN_MS,
        .tls = host->fleet->tls,
        .penalty = host->fleet->penalty,
        .span_seed = random_u64(),
        .finished = grpc_host_finished,
        .finished_ctx = host,
    };

    return grpc_server_new(host->loop, &conf);
}

static bool set_up(struct grpc_host *host, const struct grpc_service *services, size_t count) {
    if (make_table(host, services, count))
        host->server = make_server(host);
    if (!host->server)
        return false;
    grpc_health_set(host->health, SLICE(""), true);
    for (size_t i = 0; i < host->served_count; i++)
        grpc_health_set(host->health, host->served[i], true);
    return true;
}

struct grpc_host *grpc_host_new(struct grpc_host_fleet *fleet, struct loop *loop, unsigned shard,
                                const struct grpc_service *services, size_t count) {
    struct grpc_host *host = calloc(1, sizeof(*host));

    if (!host)
        return NULL;
    host->fleet = fleet;
    host->loop = loop;
    host->shard = shard;
    if (set_up(host, services, count))
        return host;
    grpc_host_free(host);
    return NULL;
}

bool grpc_host_listen(struct grpc_host *host, int fd) {
    return grpc_server_listen(host->server, fd) == ERR_OK;
}

void grpc_host_free(struct grpc_host *host) {
    if (!host)
        return;
    grpc_server_free(host->server);
    grpc_health_free(host->health);
    grpc_reflection_free(host->reflection);
    free(host);
}

bool grpc_host_owes(const struct grpc_host *host) {
    return grpc_server_owes(host->server);
}

/* ---- what happens to the services ---- */

void grpc_host_set_serving(struct grpc_host *host, struct slice service, bool serving) {
    bool all = true;

    for (size_t i = 0; i < host->served_count; i++) {
        if (slice_eq(host->served[i], service))
            host->serving[i] = serving;
        all = all && host->serving[i];
    }
    grpc_health_set(host->health, service, serving);
    grpc_health_set(host->health, SLICE(""), all);
}

void grpc_host_send_away(struct grpc_host *host) {
    grpc_server_send_away(host->server);
}

void grpc_host_drain(struct grpc_host *host, void (*done)(void *ctx), void *ctx) {
    grpc_health_drain(host->health);
    grpc_server_drain(host->server, done, ctx);
}

void grpc_host_abort(struct grpc_host *host) {
    grpc_health_end_watches(host->health);
    grpc_server_abort(host->server);
}
