/* rpc.c - runs its loop until the answer is there. */
#include "cli/rpc.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "edge/grpc_channel.h"
#include "loop/timer.h"

#define CONNECT_MS 5000
#define BYTES_MAX  (8u << 20)

struct rpc {
    struct resolver *resolver;
    struct loop *loop;
    struct grpc_channel *channel;
    struct grpc_out_call call;
    struct timer patience;
    int64_t answer_ms;
    struct buf *out;
    bool waiting;
    enum err err;
    char problem[512];
};

static void stop(struct rpc *rpc) {
    rpc->waiting = false;
    loop_stop(rpc->loop);
}

static void on_patience(struct timer *timer) {
    stop(CONTAINER_OF(timer, struct rpc, patience));
}

static void on_state(void *ctx, enum grpc_channel_state state) {
    struct rpc *rpc = ctx;

    if (state != GRPC_CHANNEL_CONNECTING)
        stop(rpc);
}

static void on_closed(void *ctx) {
    struct rpc *rpc = ctx;

    rpc->channel = NULL;
    stop(rpc);
}

static enum err err_of(enum grpc_status status) {
    switch (status) {
    case GRPC_OK:
        return ERR_OK;
    case GRPC_UNAVAILABLE:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_RESOURCE_EXHAUSTED:
        return ERR_UNREACHABLE;
    default:
        return ERR_INVALID;
    }
}

static void on_done(struct grpc_out_call *call, const struct grpc_result *result) {
    struct rpc *rpc = CONTAINER_OF(call, struct rpc, call);

    rpc->err = err_of(result->status);
    (void)snprintf(rpc->problem, sizeof(rpc->problem), "%.*s",
                   (int)(result->message.len < sizeof(rpc->problem) ? result->message.len
                                                                    : sizeof(rpc->problem) - 1),
                   result->message.len ? result->message.ptr : "");
    buf_clear(rpc->out);
    buf_add_slice(rpc->out, result->response);
    stop(rpc);
}

/* Until stop(). */
static void wait(struct rpc *rpc) {
    rpc->waiting = true;
    while (rpc->waiting && loop_run(rpc->loop) == ERR_OK)
        ;
}

static bool connected(struct rpc *rpc) {
    const char *why;

    rpc->patience.fire = on_patience;
    timer_start(rpc->loop, &rpc->patience, CONNECT_MS);
    while (grpc_channel_state(rpc->channel) != GRPC_CHANNEL_READY && timer_armed(&rpc->patience))
        wait(rpc);
    timer_stop(rpc->loop, &rpc->patience);
    why = grpc_channel_problem(rpc->channel);
    (void)snprintf(rpc->problem, sizeof(rpc->problem), "%s", why ? why : "nobody answers");
    return grpc_channel_state(rpc->channel) == GRPC_CHANNEL_READY;
}

enum err rpc_call(struct rpc *rpc, struct slice path, struct slice request, struct buf *out,
                  const char **out_problem) {
    *out_problem = rpc->problem;
    if (!connected(rpc))
        return ERR_UNREACHABLE;
    rpc->out = out;
    rpc->call = (struct grpc_out_call){.done = on_done};
    enum err err = grpc_channel_call(rpc->channel, &rpc->call, path, request,
                                     clock_mono_ms() + rpc->answer_ms);
    if (err != ERR_OK) {
        (void)snprintf(rpc->problem, sizeof(rpc->problem), "%s", err_text(err));
        return ERR_UNREACHABLE;
    }
    rpc->err = ERR_BUSY;
    while (rpc->err == ERR_BUSY)
        wait(rpc);
    if (rpc->err == ERR_OK && buf_failed(out))
        return ERR_NO_MEMORY;
    return rpc->err;
}

struct rpc *rpc_new(struct slice address, struct tls *tls, int64_t answer_ms) {
    struct rpc *rpc = calloc(1, sizeof(*rpc));

    if (!rpc)
        return NULL;
    struct grpc_channel_conf conf = {.address = address,
                                     .connect_ms = CONNECT_MS,
                                     .backoff_min_ms = 100,
                                     .backoff_max_ms = 1000,
                                     .keepalive_ms = 20000,
                                     .keepalive_timeout_ms = 10000,
                                     .message_bytes_max = BYTES_MAX,
                                     .tls = tls,
                                     .on_state = on_state,
                                     .ctx = rpc,
                                     .seed = random_u64()};
    rpc->answer_ms = answer_ms;
    rpc->resolver = resolver_new();
    conf.resolver = rpc->resolver;
    if (rpc->resolver && loop_new(&(struct loop_conf){.backend = LOOP_EPOLL}, &rpc->loop) == ERR_OK)
        rpc->channel = grpc_channel_new(rpc->loop, &conf);
    if (rpc->channel)
        return rpc;
    rpc_free(rpc);
    return NULL;
}

void rpc_free(struct rpc *rpc) {
    if (!rpc)
        return;
    if (rpc->channel)
        grpc_channel_close(rpc->channel, on_closed, rpc);
    while (rpc->channel)
        wait(rpc);
    if (rpc->loop)
        loop_free(rpc->loop);
    resolver_free(rpc->resolver);
    free(rpc);
}
