/* batch_get.c - POST /api/v1/counter/batch: many reads, in the order asked. */
#include "gateway/batch.h"
#include "gateway/stale.h"

static void reply(struct batch *batch) {
    /* A read has no result but a value: one that failed fails the whole, since the old shape has
     * no place for it and a made-up 0 would lie. */
    size_t stale = 0;

    for (size_t i = 0; i < batch->count; i++) {
        struct json_counter *result = &batch->results[i];

        if (result->err != ERR_OK && !stale_answer(batch->gateway, result)) {
            reply_failure(batch->exchange, err_of_read(result->err), (struct slice){NULL, 0});
            return;
        }
        stale += result->stale;
    }
    if (stale)
        stale_count(batch->gateway, stale);
    struct buf *body = http_body(batch->exchange);

    json_write_batch_get(body, batch->results, batch->count);
    reply_json(batch->exchange, 200, body, stale ? STALE_HEADER : SLICE(""));
}

static enum err make(struct request *request, const struct json_item *item, size_t index,
                     struct op *out) {
    (void)request;
    (void)item;
    (void)index;
    out->kind = OP_GET;
    return ERR_OK;
}

void handle_batch_get(struct request *request) {
    struct json_problem problem;
    struct json_item *items = NULL;
    size_t count = 0;
    enum err err =
        json_read_batch_get(request->http->body, http_arena(request->exchange),
                            (size_t)CONFIG_HOT(request->gateway->fleet->config, limits_batch_items),
                            &items, &count, &problem);

    if (request_readable(request, err, &problem))
        batch_start(request, items, count, make, reply);
}
