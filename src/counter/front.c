/* front.c - one loop's gRPC server, batcher, health and reflection, put together. */
#include "counter/front.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/random.h"
#include "counter/front_internal.h"
#include "counter/front_metrics.h"
#include "edge/grpc_health.h"
#include "edge/grpc_reflection.h"
#include "edge/lanes_codec.h"
#include "wire/descriptors.h"

#define KEEPALIVE_MIN_MS 10000 /* RELIABILITY 3.9 */

#define SERVICE "counter.CounterService"

/* Messages of gateways at the store. All fit into its mailbox from a few loops and into a loop's,
 * where they come back. The bytes are a few of the largest messages, or many usual ones. */
#define APPLY_MESSAGES_MAX 2048
#define APPLY_BYTES_MAX    (64u << 20)

static const struct slice served = {SERVICE, sizeof(SERVICE) - 1};

static const struct slice methods[FRONT_METHODS] = {
    [FRONT_INCREMENT] = {"/" SERVICE "/IncrementCounter",
                         sizeof("/" SERVICE "/IncrementCounter") - 1},
    [FRONT_GET] = {"/" SERVICE "/GetCounter", sizeof("/" SERVICE "/GetCounter") - 1},
    [FRONT_SET] = {"/" SERVICE "/SetCounter", sizeof("/" SERVICE "/SetCounter") - 1},
    [FRONT_DELETE] = {"/" SERVICE "/DeleteCounter", sizeof("/" SERVICE "/DeleteCounter") - 1},
    [FRONT_BATCH_GET] = {"/" SERVICE "/BatchGetCounters",
                         sizeof("/" SERVICE "/BatchGetCounters") - 1},
    [FRONT_BATCH_INCREMENT] = {"/" SERVICE "/BatchIncrementCounters",
                               sizeof("/" SERVICE "/BatchIncrementCounters") - 1},
    [FRONT_APPLY] = {LANES_APPLY_PATH, sizeof(LANES_APPLY_PATH) - 1},
    [FRONT_HELLO] = {LANES_HELLO_PATH, sizeof(LANES_HELLO_PATH) - 1},
};

/* What reflection lists: the services that really answer here. */
static const struct slice services[] = {
    {SERVICE, sizeof(SERVICE) - 1},
    {"counter.internal.Lanes", 22},
    {"grpc.health.v1.Health", 21},
    {"grpc.reflection.v1.ServerReflection", 35},
    {"grpc.reflection.v1alpha.ServerReflection", 40},
};

struct slice front_method_path(unsigned method) {
    return method < FRONT_METHODS ? methods[method] : SLICE("other");
}

void front_fail(struct grpc_call *call, enum err err, struct slice detail) {
    grpc_finish(call, (enum grpc_status)err_grpc(err),
                detail.len ? detail : slice_str(err_text(err)));
}

void front_reply(struct front *front, struct grpc_call *call) {
    if (buf_failed(&front->message)) {
        front_fail(call, ERR_NO_MEMORY, (struct slice){NULL, 0});
        return;
    }
    grpc_send(call, buf_slice(&front->message));
    grpc_finish(call, GRPC_OK, SLICE(""));
}

/* ---- composition ---- */

static void make_methods(struct front *front) {
    struct grpc_method *out = front->table;

    for (unsigned i = 0; i < FRONT_APPLY; i++) {
        front->entries[i] = (struct front_entry){front, (enum front_method)i};
        *out++ = (struct grpc_method){
            .path = methods[i],
            .handle = i < FRONT_BATCH_GET ? front_call : front_batch,
            .ctx = &front->entries[i],
        };
    }
    front_apply_methods(front->apply, out);
    out += FRONT_APPLY_METHODS;
    grpc_health_methods(front->health, out);
    grpc_reflection_methods(front->reflection, out + GRPC_HEALTH_METHODS);
}

static struct grpc_server *make_server(struct front *front) {
    const struct config *config = front->fleet->config;
    struct grpc_server_conf conf = {
        .methods = front->table,
        .method_count = FRONT_TABLE,
        .connections_max = config->limits_connections,
        .connections = &front->fleet->connections,
        .message_bytes_max = config->limits_grpc_message_bytes,
        .streams_max = config->limits_grpc_streams,
        .deadline_max_ms = config->timeouts_request_ms,
        .idle_ms = config->timeouts_idle_ms,
        .write_ms = config->timeouts_write_ms,
        .keepalive_min_ms = KEEPALIVE_MIN_MS,
        .tls = front->fleet->tls,
        .span_seed = random_u64(),
        .finished = front_finished,
        .finished_ctx = front,
    };

    return grpc_server_new(front->loop, &conf);
}

static bool owes(void *ctx) {
    const struct front *front = ctx;

    return grpc_server_owes(front->server);
}

static void on_published(void *ctx, const struct batcher_stats *now) {
    front_batcher_metrics(ctx, now);
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

static bool set_up(struct front *front, const struct front_upstreams *upstreams, int fd) {
    front->health = grpc_health_new(&served, 1);
    front->reflection = grpc_reflection_new(&descriptors, services, ARRAY_LEN(services));
    front->apply = make_apply(front, upstreams->messages);
    if (!front->health || !front->reflection || !front->apply) {
        close(fd);
        return false;
    }
    make_methods(front);
    front->server = make_server(front);
    if (!front->server) {
        close(fd);
        return false;
    }
    if (grpc_server_listen(front->server, fd) != ERR_OK)
        return false;
    front->batcher = make_batcher(front, upstreams->calls);
    if (!front->batcher)
        return false;
    front_set_serving(front, true);
    return true;
}

struct front *front_new(struct front_fleet *fleet, struct loop *loop, unsigned shard,
                        const struct front_upstreams *upstreams, int fd) {
    struct front *front = calloc(1, sizeof(*front));

    if (!front) {
        close(fd);
        return NULL;
    }
    front->fleet = fleet;
    front->loop = loop;
    front->shard = shard;
    if (set_up(front, upstreams, fd))
        return front;
    front_free(front);
    return NULL;
}

void front_free(struct front *front) {
    if (!front)
        return;
    grpc_server_free(front->server);
    loop_batcher_free(front->batcher);
    front_apply_free(front->apply);
    grpc_health_free(front->health);
    grpc_reflection_free(front->reflection);
    buf_release(&front->message);
    free(front);
}

/* ---- the store ---- */

void front_set_clock(struct front *front, int64_t clock_ahead_ms) {
    loop_batcher_set_clock(front->batcher, clock_ahead_ms);
    front_apply_set_clock(front->apply, clock_ahead_ms);
}

void front_set_serving(struct front *front, bool serving) {
    grpc_health_set(front->health, SLICE(""), serving);
    grpc_health_set(front->health, served, serving);
    front_apply_set_serving(front->apply, serving);
    /* A gateway says Hello again, here or elsewhere, and hears that it can't be served: it learns
     * without any traffic, and without asking again and again. */
    if (!serving)
        grpc_server_send_away(front->server);
}

/* ---- drain ---- */

/* A call answered by its deadline may leave its message with the store: that answer is waited for,
 * since it comes to this front. (A gateway's call lasts until then: the server waits for it.) */
static void check_drained(struct front *front) {
    if (front->drain.done && front->drain.server_done && loop_batcher_idle(front->batcher)) {
        front->drain.done(front->drain.ctx);
        front->drain.done = NULL;
    }
}

void front_delivered(struct front *front, struct delivery *delivery) {
    loop_batcher_delivered(front->batcher, delivery);
    check_drained(front);
}

void front_message_delivered(struct front *front, struct delivery *delivery) {
    front_apply_delivered(front->apply, delivery);
}

static void server_drained(void *ctx) {
    struct front *front = ctx;

    front->drain.server_done = true;
    check_drained(front);
}

void front_drain(struct front *front, void (*done)(void *ctx), void *ctx) {
    front->drain.done = done;
    front->drain.ctx = ctx;
    grpc_health_drain(front->health);
    grpc_server_drain(front->server, server_drained, front);
}

void front_abort(struct front *front) {
    grpc_health_end_watches(front->health);
    grpc_server_abort(front->server);
}
