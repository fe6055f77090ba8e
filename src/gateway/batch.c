/* batch.c - items become operations, answers become results. */
#include "gateway/batch.h"

#include "gateway/stale.h"

static void finish(struct op_batch *ops) {
    struct batch *batch = ops->ctx;

    for (size_t i = 0; i < batch->count; i++) {
        struct json_counter *result = &batch->results[i];

        result->value = ops->answers[i].value;
        result->time_s = ops->answers[i].time_ms / 1000;
        result->err = ops->answers[i].err;
        result->replayed = ops->answers[i].replayed;
        stale_learn(batch->gateway, result->resource_id, result->counter_type, &ops->answers[i]);
    }
    batch->failure = op_batch_failure(ops);
    batch->reply(batch);
}

static enum err prepare(struct request *request, const struct json_item *items, struct batch *batch,
                        struct op *ops,
                        enum err (*make)(struct request *request, const struct json_item *item,
                                         size_t index, struct op *out)) {
    struct arena *arena = http_arena(request->exchange);
    enum err err = ERR_OK;

    for (size_t i = 0; i < batch->count && err == ERR_OK; i++) {
        ops[i] =
            (struct op){.resource_id = items[i].resource_id, .counter_type = items[i].counter_type};
        batch->results[i] = (struct json_counter){
            .resource_id = arena_copy(arena, items[i].resource_id),
            .counter_type = arena_copy(arena, items[i].counter_type),
        };
        err = make(request, &items[i], i, &ops[i]);
    }
    return arena_overflowed(arena) ? ERR_NO_MEMORY : err;
}

void batch_start(struct request *request, const struct json_item *items, size_t count,
                 enum err (*make)(struct request *request, const struct json_item *item,
                                  size_t index, struct op *out),
                 void (*reply)(struct batch *batch)) {
    struct arena *arena = http_arena(request->exchange);
    struct batch *batch = arena_alloc(arena, sizeof(*batch));
    struct op *ops = arena_alloc(arena, (count + 1) * sizeof(*ops));
    struct json_counter *results = arena_alloc(arena, (count + 1) * sizeof(*results));
    enum err err = ERR_NO_MEMORY;
    int64_t deadline_ms;

    if (!request_deadline(request, &deadline_ms))
        return;
    if (batch && ops && results) {
        *batch = (struct batch){.gateway = request->gateway,
                                .exchange = request->exchange,
                                .results = results,
                                .count = count,
                                .reply = reply};
        err = prepare(request, items, batch, ops, make);
    }
    if (err == ERR_OK && count > 0)
        err = loop_batcher_admit(request->batcher);
    if (err == ERR_OK)
        err = op_batch_start(request->batcher, arena,
                             &(struct op_batch_request){.ops = ops,
                                                        .count = count,
                                                        .deadline_ms = deadline_ms,
                                                        .trace = http_trace(request->exchange),
                                                        .finish = finish,
                                                        .ctx = batch});
    if (err != ERR_OK)
        reply_failure(request->exchange, err, (struct slice){NULL, 0});
}
