/* op_batch.c - fan out, wait for all, finish once. */
#include "edge/op_batch.h"

struct op_batch_item {
    struct waiter waiter;
    struct op_batch *batch;
};

static void item_done(struct op_batch_item *item, const struct answer *answer) {
    struct op_batch *batch = item->batch;

    batch->answers[item - batch->items] = *answer;
    if (--batch->waiting == 0)
        batch->finish(batch);
}

static void on_answer(struct waiter *waiter, const struct answer *answer) {
    item_done(CONTAINER_OF(waiter, struct op_batch_item, waiter), answer);
}

enum err op_batch_start(struct loop_batcher *lb, struct arena *arena,
                        const struct op_batch_request *request) {
    size_t count = request->count;
    struct op_batch *batch = arena_alloc(arena, sizeof(*batch));
    struct op_batch_item *items = arena_alloc(arena, (count + 1) * sizeof(*items));
    struct answer *answers = arena_alloc(arena, (count + 1) * sizeof(*answers));

    if (!batch || !items || !answers)
        return ERR_NO_MEMORY;
    /* One more than there are operations: finish() can't run before all were added. */
    *batch = (struct op_batch){.count = count,
                               .answers = answers,
                               .ctx = request->ctx,
                               .finish = request->finish,
                               .items = items,
                               .waiting = count + 1};
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct op_batch_item){
            .waiter = {.done = on_answer,
                       .deadline_ms = request->deadline_ms,
                       .trace = request->trace},
            .batch = batch,
        };
        enum err err = loop_batcher_add(lb, &request->ops[i], &items[i].waiter);
        if (err != ERR_OK)
            item_done(&items[i], &(struct answer){.err = err});
    }
    if (--batch->waiting == 0)
        batch->finish(batch);
    return ERR_OK;
}

/* Errors of one operation; any other means the backend, and is the same for all. */
static bool is_items_own(enum err err) {
    return err == ERR_OK || err == ERR_RANGE || err == ERR_MISMATCH || err == ERR_INVALID;
}

enum err op_batch_failure(const struct op_batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (is_items_own(batch->answers[i].err))
            return ERR_OK;
    return batch->count ? batch->answers[0].err : ERR_OK;
}
