/* get.c - GET /api/v1/counter/{resource_id}/{counter_type}. */
#include "gateway/internal.h"

static void on_value(struct waiter *waiter, const struct answer *answer) {
    struct call *call = CONTAINER_OF(waiter, struct call, waiter);

    if (answer->err != ERR_OK) {
        reply_failure(call->exchange, answer->err, (struct slice){NULL, 0});
        return;
    }
    struct json_counter counter = call_counter(call, answer);
    struct buf *body = http_body(call->exchange);

    json_write_get(body, &counter);
    reply_json(call->exchange, 200, body, SLICE(""));
}

void handle_get(struct request *request) {
    call_start(request,
               &(struct op){.kind = OP_GET,
                            .resource_id = request->parts[0],
                            .counter_type = request->parts[1]},
               on_value);
}
