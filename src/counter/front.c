/* front.c - one loop's counter services: batcher, gateways' messages, what they are told. */
#include "counter/front.h"

#include <stdlib.h>

#include "counter/front_internal.h"
#include "edge/lanes_codec.h"
#include "edge/outbox_codec.h"

#define SERVICE "counter.CounterService"

/* Messages of gateways at the store. All fit into its mailbox from a few loops and into a loop's,
 * where they come back. The bytes are a few of the largest messages, or many usual ones. */
#define APPLY_MESSAGES_MAX 2048
#define APPLY_BYTES_MAX    (64u << 20)

static const struct slice served = {SERVICE, sizeof(SERVICE) - 1};

static const struct slice paths[FRONT_METHODS] = {
    [FRONT_INCREMENT] = {"/" SERVICE "/IncrementCounter",
                         sizeof("/" SERVICE "/IncrementCounter") - 1},
    [FRONT_GET] = {"/" SERVICE "/GetCounter", sizeof("/" SERVICE "/GetCounter") - 1},
    [FRONT_SET] = {"/" SERVICE "/SetCounter", sizeof("/" SERVICE "/SetCounter") - 1},
    [FRONT_DELETE] = {"/" SERVICE "/DeleteCounter", sizeof("/" SERVICE "/DeleteCounter") - 1},
    [FRONT_BATCH_GET] = {"/" SERVICE "/BatchGetCounters",
                         sizeof("/" SERVICE "/BatchGetCounters") - 1},
    [FRONT_BATCH_INCREMENT] = {"/" SERVICE "/BatchIncrementCounters",
                               sizeof("/" SERVICE "/BatchIncrementCounters") - 1},
    [FRONT_WATCH] = {"/" SERVICE "/Watch", sizeof("/" SERVICE "/Watch") - 1},
    [FRONT_APPLY] = {LANES_APPLY_PATH, sizeof(LANES_APPLY_PATH) - 1},
    [FRONT_HELLO] = {LANES_HELLO_PATH, sizeof(LANES_HELLO_PATH) - 1},
    [FRONT_FOLLOW] = {OUTBOX_FOLLOW_PATH, sizeof(OUTBOX_FOLLOW_PATH) - 1},
    [FRONT_VALUES] = {OUTBOX_VALUES_PATH, sizeof(OUTBOX_VALUES_PATH) - 1},
};

const struct slice *front_paths(size_t *out_count) {
    *out_count = FRONT_METHODS;
    return paths;
}

/* ---- composition ---- */

void front_services(struct front *front, struct grpc_service out[FRONT_SERVICES]) {
    out[0] = (struct grpc_service){.name = served, .method_count = FRONT_APPLY};
    for (unsigned i = 0; i < FRONT_APPLY; i++) {
        front->entries[i] = (struct front_entry){front, (enum front_method)i};
        out[0].methods[i] = (struct grpc_method){
            .path = paths[i],
            .handle = i < FRONT_BATCH_GET ? front_call : front_batch,
            .ctx = &front->entries[i],
        };
    }
    out[0].methods[FRONT_WATCH] = (struct grpc_method){
        .path = paths[FRONT_WATCH],
        .handle = front_watch,
        .gone = front_watch_gone,
        .long_lived = true,
        .ctx = &front->entries[FRONT_WATCH],
    };
    out[1] = (struct grpc_service){.name = SLICE("counter.internal.Lanes"),
                                   .internal = true,
                                   .method_count = FRONT_APPLY_METHODS};
    front_apply_methods(front->apply, out[1].methods);
    out[2] =
        (struct grpc_service){.name = SLICE(OUTBOX_SERVICE), .internal = true, .method_count = 2};
    front_outbox_method(front->outbox, &out[2].methods[0]);
    front_values_method(front->values, &out[2].methods[1]);
}

void front_attach(struct front *front, struct grpc_host *host) {
    front->host = host;
}

static bool owes(void *ctx) {
    const struct front *front = ctx;

    return front->host && grpc_host_owes(front->host);
}

static void on_published(void *ctx, const struct batcher_stats *now) {
    struct front *front = ctx;
    struct metrics *metrics = front->fleet->metrics;

    if (now->retries_total != front->reported.retries_total)
        metrics_add(metrics, front->shard, front->fleet->batch_retries,
                    now->retries_total - front->reported.retries_total);
    if (now->refused_total != front->reported.refused_total)
        metrics_add(metrics, front->shard, front->fleet->batch_refused,
                    now->refused_total - front->reported.refused_total);
    front->reported = *now;
}

static struct loop_batcher *make_batcher(struct front *front, struct upstream *upstream) {
    const struct config *config = front->fleet->config;
    struct loop_batcher_conf conf = {
        .ops_max = config->batch_operations,
        .queue_max = config->batch_queue,
        .in_flight_max = config->batch_in_flight,
        .clock_ahead_ms = front->fleet->backend.clock_ahead_ms,
        .clock_unknown = front->fleet->backend.clock_unknown,
    };
    struct loop_batcher_user user = {.ctx = front, .owes = owes, .published = on_published};

    return loop_batcher_new(front->loop, &conf, upstream, &user);
}

static struct live *make_live(struct front *front) {
    struct live_conf conf = {
        .shared = &front->fleet->watches,
        .shard = front->shard,
        .read_ms = front->fleet->config->timeouts_request_ms,
    };

    return live_new(front->loop, &conf);
}

static struct front_apply *make_apply(struct front *front, struct upstream *upstream) {
    struct front_apply_conf conf = {
        .loop = front->loop,
        .upstream = upstream,
        .backend = &front->fleet->backend,
        .version = front->fleet->version,
        .message_bytes_max = front->fleet->config->limits_grpc_message_bytes,
        .messages_max = APPLY_MESSAGES_MAX,
        .bytes_max = APPLY_BYTES_MAX,
    };

    return front_apply_new(&conf);
}

/* A call answered by its deadline may leave its message with the store: that answer is waited for,
 * since it comes to this front. (A gateway's call lasts until then: the host waits for it.) */
static void check_drained(struct front *front) {
    if (front->drain.done && loop_batcher_idle(front->batcher) &&
        front_outbox_idle(front->outbox) && front_values_idle(front->values)) {
        front_values_rest(front->values);
        front->drain.done(front->drain.ctx);
        front->drain.done = NULL;
    }
}

static void reading_settled(void *ctx) {
    check_drained(ctx);
}

struct front *front_new(struct front_fleet *fleet, struct loop *loop, unsigned shard,
                        const struct front_upstreams *upstreams) {
    struct front *front = calloc(1, sizeof(*front));

    if (!front)
        return NULL;
    front->fleet = fleet;
    front->loop = loop;
    front->shard = shard;
    front->live = make_live(front);
    front->apply = make_apply(front, upstreams->messages);
    front->batcher = make_batcher(front, upstreams->calls);
    front->outbox = front_outbox_new(loop, upstreams->events, reading_settled, front);
    front->values =
        front_values_new(loop, upstreams->events, fleet->config->data, reading_settled, front);
    if (front->live && front->apply && front->batcher && front->outbox && front->values) {
        live_use(front->live, front->batcher);
        return front;
    }
    front_free(front);
    return NULL;
}

void front_free(struct front *front) {
    if (!front)
        return;
    loop_batcher_free(front->batcher);
    live_free(front->live);
    front_apply_free(front->apply);
    front_outbox_free(front->outbox);
    front_values_free(front->values);
    buf_release(&front->message);
    free(front);
}

void front_fleet_init(struct front_fleet *fleet) {
    fleet->batch_retries = metrics_series(fleet->metrics, METRIC_BATCH_RETRIES, "");
    fleet->batch_refused = metrics_series(fleet->metrics, METRIC_BATCH_REFUSED, "");
    live_shared_init(&fleet->watches, fleet->metrics, "grpc", fleet->config->stream_connections);
}

/* ---- the store ---- */

void front_set_clock(struct front *front, int64_t clock_ahead_ms) {
    loop_batcher_set_clock(front->batcher, clock_ahead_ms);
    front_apply_set_clock(front->apply, clock_ahead_ms);
}

void front_set_serving(struct front *front, bool serving) {
    grpc_host_set_serving(front->host, served, serving);
    front_apply_set_serving(front->apply, serving);
    /* A gateway says Hello again, here or elsewhere, and hears that it can't be served: it learns
     * without any traffic, and without asking again and again. */
    if (!serving)
        grpc_host_send_away(front->host);
}

/* ---- drain ---- */

void front_delivered(struct front *front, struct delivery *delivery) {
    loop_batcher_delivered(front->batcher, delivery);
    check_drained(front);
}

void front_message_delivered(struct front *front, struct delivery *delivery) {
    front_apply_delivered(front->apply, delivery);
}

void front_drain(struct front *front, void (*done)(void *ctx), void *ctx) {
    front->drain.done = done;
    front->drain.ctx = ctx;
    check_drained(front);
}
