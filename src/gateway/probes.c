/* probes.c - health, liveness, readiness, and the metrics page. */
#include <stdio.h>

#include "edge/flood_penalty.h"
#include "edge/procinfo.h"
#include "gateway/internal.h"
#include "wire/prom.h"

static bool backend_up(const struct gateway_fleet *fleet) {
    return fleet->backend.up(fleet->backend.ctx);
}

/* The old health call: 200 while requests are answered, 503 when the store is not. */
void handle_health(struct request *request) {
    struct gateway *gateway = request->gateway;
    bool up = backend_up(gateway->fleet);
    struct buf *body = http_body(request->exchange);

    buf_add_slice(body, SLICE("{\"service\":\"HighGoPress\",\"status\":"));
    json_add_string(body, up ? SLICE("healthy") : SLICE("unhealthy"));
    buf_add_slice(body, SLICE(",\"timestamp\":"));
    buf_add_i64(body, loop_wall_ms(gateway->loop) / 1000);
    buf_add_slice(body, SLICE(",\"version\":"));
    json_add_string(body, slice_str(gateway->fleet->version));
    buf_add_char(body, '}');
    reply_json(request->exchange, up ? 200 : 503, body, SLICE(""));
}

/* The process answers: nothing else is asked. */
void handle_live(struct request *request) {
    struct buf *body = http_body(request->exchange);

    buf_add_slice(body, SLICE("{\"status\":\"alive\"}"));
    reply_json(request->exchange, 200, body, SLICE(""));
}

/* Events that wait don't make a service unready: nothing is lost, and the outbox has room. */
static void add_events(struct buf *body, const struct gateway_backend *backend) {
    struct gateway_events events;

    if (!backend->events)
        return;
    backend->events(backend->events_ctx, &events);
    buf_add_slice(body, SLICE(",\"events\":{\"status\":"));
    json_add_string(body, events.connected ? SLICE("shipping") : slice_str(events.problem));
    buf_add_slice(body, SLICE(",\"lag_events\":"));
    buf_add_u64(body, events.queued);
    buf_printf(body, ",\"lag_seconds\":%.3f}", (double)events.lag_ms / 1000);
}

/* /readyz?verbose: what was configured and is not in force yet. */
static void add_pending(struct buf *body, const struct request *request) {
    const struct gateway_fleet *fleet = request->gateway->fleet;
    char keys[GATEWAY_DOWN_BYTES] = "";

    if (!slice_eq(request->http->query, SLICE("verbose")))
        return;
    if (fleet->pending)
        fleet->pending(fleet->pending_ctx, keys, sizeof(keys));
    buf_add_slice(body, SLICE(",\"pending_restart\":"));
    json_add_words(body, keys);
}

/* May traffic come here: the store answers and no drain is under way. Says what an
 * acknowledgement means on this store (RELIABILITY 1). */
void handle_ready(struct request *request) {
    const struct gateway_fleet *fleet = request->gateway->fleet;
    bool up = backend_up(fleet);
    bool draining = atomic_load(&fleet->draining);
    struct buf *body = http_body(request->exchange);
    struct gateway_promise promise;
    char status[GATEWAY_DOWN_BYTES] = "ready";

    fleet->backend.promise(fleet->backend.ctx, &promise);
    if (draining)
        (void)snprintf(status, sizeof(status), "draining");
    else if (!up)
        fleet->backend.down(fleet->backend.ctx, status, sizeof(status));
    buf_add_slice(body, SLICE("{\"status\":"));
    json_add_string(body, slice_str(status));
    buf_add_slice(body, SLICE(",\"durability\":"));
    json_add_string(body, slice_str(promise.durability));
    buf_add_slice(body, SLICE(",\"guarantee\":"));
    json_add_string(body, slice_str(promise.guarantee));
    add_events(body, &fleet->backend);
    add_pending(body, request);
    buf_add_char(body, '}');
    reply_json(request->exchange, up && !draining ? 200 : 503, body, SLICE(""));
}

static void collect_durability(struct gateway_fleet *fleet) {
    struct gateway_promise promise;

    fleet->backend.promise(fleet->backend.ctx, &promise);
    for (unsigned i = 0; i < GATEWAY_MODES; i++)
        metrics_set(fleet->metrics, fleet->scrape_shard, fleet->series.durability[i],
                    strcmp(promise.durability, gateway_modes[i]) == 0);
}

static uint64_t relaxed(const _Atomic uint64_t *figure) {
    return atomic_load_explicit(figure, memory_order_relaxed);
}

static void collect_penalties(struct gateway_fleet *fleet) {
    struct metrics *metrics = fleet->metrics;
    const struct flood_penalty_stats *stats;

    if (!fleet->penalty)
        return;
    stats = flood_penalty_stats(fleet->penalty);
    metrics_set(metrics, fleet->scrape_shard, fleet->series.penalties, relaxed(&stats->penalties));
    metrics_set(metrics, fleet->scrape_shard, fleet->series.penalty_delayed,
                relaxed(&stats->delayed));
    metrics_set(metrics, fleet->scrape_shard, fleet->series.penalty_refused,
                relaxed(&stats->refused));
}

static void collect_partitions(struct gateway_fleet *fleet) {
    uint32_t missing;
    uint32_t doubled;

    if (!fleet->analytics.partitions)
        return;
    fleet->analytics.partitions(fleet->analytics.ctx, &missing, &doubled);
    metrics_set(fleet->metrics, fleet->scrape_shard, fleet->series.missing_partitions, missing);
    metrics_set(fleet->metrics, fleet->scrape_shard, fleet->series.doubled_partitions, doubled);
}

/* Figures that other parts keep as plain atomics, copied into the metrics just before they are
 * rendered. The scrape shard has no other writer. */
static void collect(struct gateway *gateway) {
    struct gateway_fleet *fleet = gateway->fleet;
    uint64_t connections = 0;
    uint64_t refused = 0;

    for (unsigned i = 0; i < fleet->loops; i++) {
        const struct gateway_gauges *gauges = &fleet->gauges[i];

        if (!gauges->http)
            continue;
        connections += relaxed(&gauges->http->connections);
        refused += relaxed(&gauges->http->refused_total);
    }
    struct metrics *metrics = fleet->metrics;
    metrics_set(metrics, fleet->scrape_shard, fleet->series.connections, connections);
    metrics_set(metrics, fleet->scrape_shard, fleet->series.refused, refused);
    collect_penalties(fleet);
    metrics_set(metrics, fleet->scrape_shard, fleet->series.store_up, backend_up(fleet) ? 1 : 0);
    collect_durability(fleet);
    collect_partitions(fleet);
    gateway_collect_instances(fleet);
}

void handle_metrics(struct request *request) {
    struct gateway *gateway = request->gateway;
    struct buf *body = http_body(request->exchange);
    enum prom_format format = prom_format_for(http1_header(request->http, SLICE("Accept")));
    struct prom_process process;
    bool known = procinfo_read(&process) == ERR_OK;

    collect(gateway);
    prom_render(gateway->fleet->metrics, known ? &process : NULL, format, body);
    if (buf_failed(body)) {
        reply_problem(request->exchange, ERR_NO_MEMORY, (struct slice){NULL, 0}, SLICE(""));
        return;
    }
    http_reply(request->exchange, &(struct http_reply){.status = 200,
                                                       .content_type = prom_content_type(format),
                                                       .headers = SLICE("Vary: Accept\r\n"),
                                                       .body = buf_slice(body)});
}
