/* front.c - a call's question, and its answer as a message. */
#include "analytics/front_internal.h"

#include <stdlib.h>

#include "edge/analytics_codec.h"
#include "edge/totals_codec.h"

struct inquiry {
    struct analytics_ask ask;
    struct analytics_front *front;
    struct grpc_call *call;
    unsigned metrics;
};

static const struct slice paths[] = {
    {ANALYTICS_TOP_PATH, sizeof(ANALYTICS_TOP_PATH) - 1},
    {ANALYTICS_STATS_PATH, sizeof(ANALYTICS_STATS_PATH) - 1},
    {TOTALS_HOLD_PATH, sizeof(TOTALS_HOLD_PATH) - 1},
    {TOTALS_GET_PATH, sizeof(TOTALS_GET_PATH) - 1},
};

static void reply(struct inquiry *inquiry) {
    struct buf *message = &inquiry->front->message;

    buf_clear(message);
    if (inquiry->ask.kind == ASK_TOP)
        analytics_encode_top_answer(message, &inquiry->ask);
    else
        analytics_encode_stats_answer(message, &inquiry->ask, inquiry->metrics);
    grpc_reply(inquiry->call, message);
}

static void on_answer(struct analytics_ask *ask) {
    struct inquiry *inquiry = ask->ctx;

    if (ask->err == ERR_OK)
        reply(inquiry);
    else
        grpc_fail(inquiry->call, ask->err,
                  ask->err == ERR_UNAVAILABLE ? SLICE(ANALYTICS_AWAY) : SLICE(""));
    top_answer_release(&ask->top_answer);
    free(inquiry);
}

static enum err read_question(struct inquiry *inquiry, struct slice message,
                              struct proto_problem *problem) {
    /* A handler's bytes are borrowed, and the question is needed for longer. */
    struct slice copy = arena_copy(grpc_arena(inquiry->call), message);

    if (message.len && !copy.ptr)
        return ERR_NO_MEMORY;
    return inquiry->ask.kind == ASK_TOP
               ? analytics_decode_top(copy, &inquiry->ask.top, problem)
               : analytics_decode_stats(copy, &inquiry->ask.stats, &inquiry->metrics, problem);
}

static void handle(struct analytics_front *front, struct grpc_call *call, struct slice message,
                   bool top) {
    struct inquiry *inquiry = calloc(1, sizeof(*inquiry));
    struct proto_problem problem = {""};
    enum err err = ERR_NO_MEMORY;

    if (inquiry) {
        inquiry->front = front;
        inquiry->call = call;
        inquiry->ask.kind = top ? ASK_TOP : ASK_STATS;
        inquiry->ask.deadline_ms = grpc_deadline_ms(call);
        inquiry->ask.done = on_answer;
        inquiry->ask.ctx = inquiry;
        err = read_question(inquiry, message, &problem);
    }
    if (err == ERR_OK)
        err = analytics_ask(front->upstream, &inquiry->ask);
    if (err == ERR_OK)
        return;
    free(inquiry);
    grpc_fail(call, err, slice_str(problem.text));
}

static void on_top(void *ctx, struct grpc_call *call, struct slice message) {
    handle(ctx, call, message, true);
}

static void on_stats(void *ctx, struct grpc_call *call, struct slice message) {
    handle(ctx, call, message, false);
}

/* ---- composition ---- */

const struct slice *analytics_front_paths(size_t *out_count) {
    *out_count = ARRAY_LEN(paths);
    return paths;
}

void analytics_front_services(struct analytics_front *front, struct grpc_service *out) {
    out[0] = (struct grpc_service){
        .name = SLICE(ANALYTICS_SERVICE),
        .methods = {{.path = SLICE(ANALYTICS_TOP_PATH), .handle = on_top, .ctx = front},
                    {.path = SLICE(ANALYTICS_STATS_PATH), .handle = on_stats, .ctx = front}},
        .method_count = 2,
    };
    analytics_front_totals(front, &out[1]);
}

struct analytics_front *analytics_front_new(struct analytics_upstream *upstream) {
    struct analytics_front *front = calloc(1, sizeof(*front));

    if (front)
        front->upstream = upstream;
    return front;
}

void analytics_front_free(struct analytics_front *front) {
    if (!front)
        return;
    buf_release(&front->message);
    free(front);
}
