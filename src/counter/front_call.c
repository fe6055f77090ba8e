/* front_call.c - IncrementCounter, GetCounter, SetCounter, DeleteCounter: one operation each. */
#include "counter/front_internal.h"

struct call_state { /* in the call's arena */
    struct waiter waiter;
    struct front *front;
    struct grpc_call *call;
    struct proto_item item;
    bool reads;
};

static const struct {
    enum op_kind kind;
    enum err (*read)(struct slice message, struct arena *arena, struct proto_item *out,
                     struct proto_problem *problem);
} methods[FRONT_METHODS] = {
    [FRONT_INCREMENT] = {OP_ADD, proto_read_increment},
    [FRONT_GET] = {OP_GET, proto_read_get},
    [FRONT_SET] = {OP_SET, proto_read_set},
    [FRONT_DELETE] = {OP_RESET, proto_read_delete},
};

static void on_answer(struct waiter *waiter, const struct answer *answer) {
    struct call_state *state = CONTAINER_OF(waiter, struct call_state, waiter);
    struct proto_counter counter = {
        .resource_id = state->item.resource_id,
        .counter_type = state->item.counter_type,
        .value = answer->value,
        .time_s = answer->time_ms / 1000,
        .replayed = answer->replayed,
    };

    if (answer->err != ERR_OK) {
        grpc_fail(state->call, state->reads ? err_of_read(answer->err) : answer->err,
                  (struct slice){NULL, 0});
        return;
    }
    buf_clear(&state->front->message);
    if (state->reads)
        proto_write_get(&state->front->message, &counter);
    else
        proto_write_increment(&state->front->message, &counter);
    grpc_reply(state->call, &state->front->message);
}

static enum err start(struct front *front, struct grpc_call *call, enum op_kind kind,
                      const struct proto_item *item) {
    struct call_state *state = arena_alloc(grpc_arena(call), sizeof(*state));
    struct op op = {
        .kind = kind,
        .arg = item->number,
        .resource_id = item->resource_id,
        .counter_type = item->counter_type,
        .key = item->idempotency_key,
    };

    if (!state)
        return ERR_NO_MEMORY;
    *state = (struct call_state){
        .waiter = {.done = on_answer, .deadline_ms = grpc_deadline_ms(call)},
        .front = front,
        .call = call,
        .item = *item,
        .reads = kind == OP_GET,
    };
    return loop_batcher_add(front->batcher, &op, &state->waiter);
}

void front_call(void *ctx, struct grpc_call *call, struct slice message) {
    const struct front_entry *entry = ctx;
    struct front *front = entry->front;
    struct proto_problem problem = {""};
    struct proto_item item;
    enum err err = methods[entry->method].read(message, grpc_arena(call), &item, &problem);

    if (err == ERR_OK && CONFIG_HOT(front->fleet->config, idempotency_required) &&
        !item.idempotency_key.ptr && entry->method != FRONT_GET) {
        grpc_fail(call, ERR_INVALID,
                  SLICE("idempotency_key: this server requires a key on writes"));
        return;
    }
    if (err == ERR_OK)
        err = start(front, call, methods[entry->method].kind, &item);
    if (err != ERR_OK)
        grpc_fail(call, err, slice_str(problem.text));
}
