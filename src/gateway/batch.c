/* batch.c - fan out, wait for all, finish once. */
#include "gateway/batch.h"

static void item_done(struct batch_item *item, const struct answer *answer) {
    struct batch *batch = item->batch;

    batch->results[item - batch->items] = (struct json_counter){
        .resource_id = item->resource_id,
        .counter_type = item->counter_type,
        .value = answer->value,
        .time_s = answer->time_ms / 1000,
        .err = answer->err,
        .replayed = answer->replayed,
    };
    if (--batch->waiting == 0)
        batch->finish(batch);
}

static void on_answer(struct waiter *waiter, const struct answer *answer) {
    item_done(CONTAINER_OF(waiter, struct batch_item, waiter), answer);
}

static enum err add_item(struct request *request, struct batch_item *item,
                         const struct json_item *from, size_t index,
                         enum err (*make)(struct request *request, const struct json_item *item,
                                          size_t index, struct op *out)) {
    struct arena *arena = http_arena(request->exchange);
    struct op op = {.resource_id = from->resource_id, .counter_type = from->counter_type};
    enum err err = make(request, from, index, &op);

    *item = (struct batch_item){
        .waiter = {.done = on_answer, .deadline_ms = request_deadline(request->gateway)},
        .batch = item->batch,
        .resource_id = arena_copy(arena, from->resource_id),
        .counter_type = arena_copy(arena, from->counter_type),
    };
    if (err != ERR_OK)
        return err;
    if (arena_overflowed(arena))
        return ERR_NO_MEMORY;
    return batcher_add(request->gateway->batcher, &op, &item->waiter);
}

void batch_start(struct request *request, const struct json_item *items, size_t count,
                 enum err (*make)(struct request *request, const struct json_item *item,
                                  size_t index, struct op *out),
                 void (*finish)(struct batch *batch)) {
    struct arena *arena = http_arena(request->exchange);
    struct batch *batch = arena_alloc(arena, sizeof(*batch));
    struct batch_item *own = arena_alloc(arena, (count + 1) * sizeof(*own));
    struct json_counter *results = arena_alloc(arena, (count + 1) * sizeof(*results));

    if (!batch || !own || !results) {
        reply_failure(request->exchange, ERR_NO_MEMORY, (struct slice){NULL, 0});
        return;
    }
    /* One more than there are items: finish() can't run before all were added. */
    *batch = (struct batch){.gateway = request->gateway,
                            .exchange = request->exchange,
                            .items = own,
                            .results = results,
                            .count = count,
                            .waiting = count + 1,
                            .finish = finish};
    for (size_t i = 0; i < count; i++) {
        own[i].batch = batch;
        enum err err = add_item(request, &own[i], &items[i], i, make);
        if (err != ERR_OK)
            item_done(&own[i], &(struct answer){.err = err});
    }
    if (--batch->waiting == 0)
        finish(batch);
}

/* Errors of one operation; any other means the backend, and is the same for all. */
static bool is_items_own(enum err err) {
    return err == ERR_OK || err == ERR_RANGE || err == ERR_MISMATCH || err == ERR_INVALID;
}

enum err batch_failure(const struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (is_items_own(batch->results[i].err))
            return ERR_OK;
    return batch->count ? batch->results[0].err : ERR_OK;
}
