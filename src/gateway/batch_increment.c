/* batch_increment.c - POST /api/v1/counter/batch/increment.
 *
 * Items are applied one by one in order, not as a transaction: each has its
 * own result or error. An Idempotency-Key header K covers the whole batch as
 * K/0, K/1 … for the items without a key of their own (RELIABILITY 3.5).
 */
#include <stdio.h>

#include "edge/lanes_codec.h"
#include "gateway/batch.h"

#define KEY_SUFFIX 24 /* "/" and an index */

_Static_assert(IDEMPOTENCY_KEY_MAX + KEY_SUFFIX <= LANES_KEY_MAX, "a counter must take them");

static void reply(struct batch *batch) {
    bool replayed = batch->count > 0;

    if (batch->failure != ERR_OK) {
        reply_failure(batch->exchange, batch->failure, (struct slice){NULL, 0});
        return;
    }
    for (size_t i = 0; i < batch->count; i++)
        replayed = replayed && batch->results[i].replayed;
    struct buf *body = http_body(batch->exchange);

    json_write_batch_increment(body, batch->results, batch->count);
    reply_json(batch->exchange, 200, body, replayed ? REPLAYED_HEADER : SLICE(""));
}

static enum err item_key(struct request *request, const struct json_item *item, size_t index,
                         struct slice *out_key) {
    size_t size = request->key.len + KEY_SUFFIX;

    *out_key = item->idempotency_key;
    if (item->idempotency_key.ptr || !request->key.ptr)
        return ERR_OK;
    char *key = arena_alloc(http_arena(request->exchange), size);
    if (!key)
        return ERR_NO_MEMORY;
    int len = snprintf(key, size, "%.*s/%zu", SLICE_ARGS(request->key), index);
    *out_key = slice_of(key, (size_t)len);
    return ERR_OK;
}

static enum err make(struct request *request, const struct json_item *item, size_t index,
                     struct op *out) {
    out->kind = OP_ADD;
    out->arg = item->delta;
    return item_key(request, item, index, &out->key);
}

/* Every item must have a key where keys are required; the header gives all of them one. */
static bool keys_present(struct request *request, const struct json_item *items, size_t count) {
    char detail[80];

    if (!CONFIG_HOT(request->gateway->fleet->config, idempotency_required) || request->key.ptr)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (items[i].idempotency_key.ptr)
            continue;
        (void)snprintf(detail, sizeof(detail),
                       "items[%zu].idempotency_key: this server requires a key", i);
        reply_bad_request(request->exchange, slice_str(detail));
        return false;
    }
    return true;
}

void handle_batch_increment(struct request *request) {
    struct json_problem problem;
    struct json_item *items = NULL;
    size_t count = 0;
    enum err err = json_read_batch_increment(
        request->http->body, http_arena(request->exchange),
        (size_t)CONFIG_HOT(request->gateway->fleet->config, limits_batch_items), &items, &count,
        &problem);

    if (request_readable(request, err, &problem) && request_key(request) &&
        keys_present(request, items, count))
        batch_start(request, items, count, make, reply);
}
