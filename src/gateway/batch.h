/* batch.h - a batch request on its way: its items' names kept for the reply.
 *
 * Ownership  All of it lives in the exchange's workspace.
 */
#ifndef GATEWAY_BATCH_H
#define GATEWAY_BATCH_H

#include "edge/op_batch.h"
#include "gateway/internal.h"

struct batch {
    struct gateway *gateway;
    struct http_exchange *exchange;
    struct json_counter *results; /* one per item, in the order of the request */
    size_t count;
    enum err failure; /* of the request as a whole; ERR_OK: look at the results */
    void (*reply)(struct batch *batch);
};

/* Sends one operation per item, with ids from the item; 'make' fills in the rest. reply() is called
 * once, when all have answered. */
void batch_start(struct request *request, const struct json_item *items, size_t count,
                 enum err (*make)(struct request *request, const struct json_item *item,
                                  size_t index, struct op *out),
                 void (*reply)(struct batch *batch));

#endif
