/* get.c - GET /api/v1/counter/{resource_id}/{counter_type}. */
#include "gateway/stale.h"

static void on_value(struct waiter *waiter, const struct answer *answer) {
    struct call *call = CONTAINER_OF(waiter, struct call, waiter);

    struct json_counter counter = call_counter(call, answer);

    call_learn(call, answer);
    if (answer->err != ERR_OK && !stale_answer(call->gateway, &counter)) {
        reply_failure(call->exchange, err_of_read(answer->err), (struct slice){NULL, 0});
        return;
    }
    if (counter.stale)
        stale_count(call->gateway, 1);
    struct buf *body = http_body(call->exchange);

    json_write_get(body, &counter);
    reply_json(call->exchange, 200, body, counter.stale ? STALE_HEADER : SLICE(""));
}

void handle_get(struct request *request) {
    call_start(request,
               &(struct op){.kind = OP_GET,
                            .resource_id = request->parts[0],
                            .counter_type = request->parts[1]},
               on_value);
}
