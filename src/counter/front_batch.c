/* front_batch.c - BatchGetCounters and BatchIncrementCounters. */
#include <stdio.h>

#include "counter/front_internal.h"
#include "edge/op_batch.h"

struct batch_state { /* in the call's arena */
    struct front *front;
    struct grpc_call *call;
    struct proto_counter *counters;
    bool reads;
};

static void take_answers(struct batch_state *state, const struct op_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        struct proto_counter *counter = &state->counters[i];

        counter->value = batch->answers[i].value;
        counter->time_s = batch->answers[i].time_ms / 1000;
        counter->err = batch->answers[i].err;
        counter->replayed = batch->answers[i].replayed;
    }
}

/* A read has no result but a value: one that failed fails the whole. */
static enum err failure(const struct batch_state *state, const struct op_batch *batch) {
    if (!state->reads)
        return op_batch_failure(batch);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->answers[i].err != ERR_OK)
            return err_of_read(batch->answers[i].err);
    return ERR_OK;
}

static void finish(struct op_batch *batch) {
    struct batch_state *state = batch->ctx;
    struct buf *message = &state->front->message;
    enum err err = failure(state, batch);

    if (err != ERR_OK) {
        grpc_fail(state->call, err, (struct slice){NULL, 0});
        return;
    }
    take_answers(state, batch);
    buf_clear(message);
    if (state->reads)
        proto_write_batch_get(message, state->counters, batch->count);
    else
        proto_write_batch_increment(message, state->counters, batch->count);
    grpc_reply(state->call, &state->front->message);
}

static enum err start(struct front *front, struct grpc_call *call, bool reads,
                      const struct proto_item *items, size_t count) {
    struct arena *arena = grpc_arena(call);
    struct batch_state *state = arena_alloc(arena, sizeof(*state));
    struct proto_counter *counters = arena_alloc(arena, (count + 1) * sizeof(*counters));
    struct op *ops = arena_alloc(arena, (count + 1) * sizeof(*ops));

    if (!state || !counters || !ops)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        ops[i] = (struct op){.kind = reads ? OP_GET : OP_ADD,
                             .arg = items[i].number,
                             .resource_id = items[i].resource_id,
                             .counter_type = items[i].counter_type,
                             .key = reads ? (struct slice){NULL, 0} : items[i].idempotency_key};
        counters[i] = (struct proto_counter){.resource_id = items[i].resource_id,
                                             .counter_type = items[i].counter_type};
    }
    *state = (struct batch_state){front, call, counters, reads};
    return op_batch_start(front->batcher, arena,
                          &(struct op_batch_request){.ops = ops,
                                                     .count = count,
                                                     .deadline_ms = grpc_deadline_ms(call),
                                                     .finish = finish,
                                                     .ctx = state});
}

/* Every item must have a key where keys are required. */
static bool keys_present(struct front *front, struct grpc_call *call,
                         const struct proto_item *items, size_t count) {
    char detail[80];

    for (size_t i = 0; CONFIG_HOT(front->fleet->config, idempotency_required) && i < count; i++) {
        if (items[i].idempotency_key.ptr)
            continue;
        (void)snprintf(detail, sizeof(detail),
                       "requests[%zu].idempotency_key: this server requires a key", i);
        grpc_fail(call, ERR_INVALID, slice_str(detail));
        return false;
    }
    return true;
}

void front_batch(void *ctx, struct grpc_call *call, struct slice message) {
    const struct front_entry *entry = ctx;
    struct front *front = entry->front;
    bool reads = entry->method == FRONT_BATCH_GET;
    struct proto_problem problem = {""};
    struct proto_item *items = NULL;
    size_t count = 0;
    enum err err = (reads ? proto_read_batch_get : proto_read_batch_increment)(
        message, grpc_arena(call), CONFIG_HOT(front->fleet->config, limits_batch_items), &items,
        &count, &problem);

    if (err == ERR_OK && !reads && !keys_present(front, call, items, count))
        return;
    if (err == ERR_OK)
        err = start(front, call, reads, items, count);
    if (err != ERR_OK)
        grpc_fail(call, err, slice_str(problem.text));
}
