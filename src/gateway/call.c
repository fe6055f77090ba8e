/* call.c - what every handler of the counter API does with its request first. */
#include "base/clock.h"
#include "gateway/internal.h"

int64_t request_deadline(const struct gateway *gateway) {
    return loop_now_ms(gateway->loop) + gateway->fleet->config->timeouts_request_ms;
}

bool request_key(struct request *request, struct slice *out_key) {
    struct slice key = http1_header(request->http, SLICE("Idempotency-Key"));

    *out_key = (struct slice){NULL, 0};
    if (!key.ptr) {
        if (!request->gateway->fleet->config->idempotency_required)
            return true;
        reply_bad_request(request->exchange,
                          SLICE("Idempotency-Key: this server requires the header on writes"));
        return false;
    }
    if (key.len == 0 || key.len > IDEMPOTENCY_KEY_MAX) {
        reply_bad_request(request->exchange,
                          SLICE("Idempotency-Key: must have 1 to 255 bytes"));
        return false;
    }
    *out_key = arena_copy(http_arena(request->exchange), key);
    if (out_key->ptr)
        return true;
    reply_failure(request->exchange, ERR_NO_MEMORY, (struct slice){NULL, 0});
    return false;
}

bool request_readable(struct request *request, enum err err, const struct json_problem *problem) {
    if (LIKELY(err == ERR_OK))
        return true;
    if (err == ERR_INVALID)
        reply_bad_request(request->exchange, slice_str(problem->text));
    else
        reply_failure(request->exchange, err, (struct slice){NULL, 0});
    return false;
}

void call_start(struct request *request, const struct op *op, call_done done) {
    struct gateway *gateway = request->gateway;
    struct call *call = arena_alloc(http_arena(request->exchange), sizeof(*call));
    enum err err = ERR_NO_MEMORY;

    if (LIKELY(call)) {
        *call = (struct call){
            .waiter = {.done = done, .deadline_ms = request_deadline(gateway)},
            .exchange = request->exchange,
            .resource_id = arena_copy(http_arena(request->exchange), op->resource_id),
            .counter_type = arena_copy(http_arena(request->exchange), op->counter_type),
        };
        if (LIKELY(!arena_overflowed(http_arena(request->exchange))))
            err = batcher_add(gateway->batcher, op, &call->waiter);
    }
    if (UNLIKELY(err != ERR_OK))
        reply_failure(request->exchange, err, (struct slice){NULL, 0});
}

struct json_counter call_counter(const struct call *call, const struct answer *answer) {
    return (struct json_counter){
        .resource_id = call->resource_id,
        .counter_type = call->counter_type,
        .value = answer->value,
        .time_s = answer->time_ms / 1000,
        .err = answer->err,
        .replayed = answer->replayed,
    };
}

void call_reply_change(struct waiter *waiter, const struct answer *answer) {
    struct call *call = CONTAINER_OF(waiter, struct call, waiter);

    if (UNLIKELY(answer->err != ERR_OK)) {
        reply_failure(call->exchange, answer->err, (struct slice){NULL, 0});
        return;
    }
    struct json_counter counter = call_counter(call, answer);
    struct buf *body = http_body(call->exchange);

    json_write_increment(body, &counter);
    reply_json(call->exchange, 200, body, answer->replayed ? REPLAYED_HEADER : SLICE(""));
}
