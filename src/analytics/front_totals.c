/* front_totals.c - analytics.internal.Totals: a hold, and totals at positions. */
#include <stdlib.h>

#include "analytics/front_internal.h"
#include "edge/totals_codec.h"

struct request {
    struct analytics_ask ask;
    struct analytics_front *front;
    struct grpc_call *call;
    struct buf items; /* struct total */
};

static void end(struct request *request) {
    buf_release(&request->items);
    free(request);
}

static void on_answer(struct analytics_ask *ask) {
    struct request *request = ask->ctx;
    struct buf *message = &request->front->message;

    buf_clear(message);
    if (ask->err != ERR_OK)
        grpc_fail(request->call, ask->err,
                  ask->err == ERR_UNAVAILABLE ? SLICE(ANALYTICS_AWAY) : SLICE(""));
    else if (ask->kind == ASK_HOLD)
        totals_write_hold_answer(message, &ask->hold);
    else
        totals_write_answer(message, &ask->totals);
    if (ask->err == ERR_OK)
        grpc_reply(request->call, message);
    end(request);
}

static enum err read_totals(struct request *request, struct slice message) {
    /* A handler's bytes are borrowed, and the question is needed for longer. */
    struct slice copy = arena_copy(grpc_arena(request->call), message);

    if (message.len && !copy.ptr)
        return ERR_NO_MEMORY;
    return totals_read_question(copy, &request->items, &request->ask.totals);
}

static void handle(struct analytics_front *front, struct grpc_call *call, struct slice message,
                   bool hold) {
    struct request *request = calloc(1, sizeof(*request));
    enum err err = ERR_NO_MEMORY;

    if (request) {
        request->front = front;
        request->call = call;
        request->ask.kind = hold ? ASK_HOLD : ASK_TOTALS;
        request->ask.deadline_ms = grpc_deadline_ms(call);
        request->ask.done = on_answer;
        request->ask.ctx = request;
        err = hold ? ERR_OK : read_totals(request, message);
    }
    if (err == ERR_OK)
        err = analytics_ask(front->upstream, &request->ask);
    if (err == ERR_OK)
        return;
    if (request)
        end(request);
    grpc_fail(call, err, SLICE(""));
}

static void on_hold(void *ctx, struct grpc_call *call, struct slice message) {
    handle(ctx, call, message, true);
}

static void on_get(void *ctx, struct grpc_call *call, struct slice message) {
    handle(ctx, call, message, false);
}

void analytics_front_totals(struct analytics_front *front, struct grpc_service *out) {
    *out = (struct grpc_service){
        .name = SLICE(TOTALS_SERVICE),
        .internal = true,
        .methods = {{.path = SLICE(TOTALS_HOLD_PATH), .handle = on_hold, .ctx = front},
                    {.path = SLICE(TOTALS_GET_PATH), .handle = on_get, .ctx = front}},
        .method_count = 2,
    };
}
