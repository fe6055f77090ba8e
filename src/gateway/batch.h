/* batch.h - many operations in one request: each waits on its own, one reply.
 *
 * Ownership  All of it lives in the exchange's workspace.
 */
#ifndef GATEWAY_BATCH_H
#define GATEWAY_BATCH_H

#include "gateway/internal.h"

struct batch;

struct batch_item {
    struct waiter waiter;
    struct batch *batch;
    struct slice resource_id;
    struct slice counter_type;
};

struct batch {
    struct gateway *gateway;
    struct http_exchange *exchange;
    struct batch_item *items;
    struct json_counter *results; /* one per item, in the order of the request */
    size_t count;
    size_t waiting;
    void (*finish)(struct batch *batch); /* all have answered; replies */
};

/* Sends one operation per item. 'make' fills in all of the operation but the ids. 'finish' is
 * called once, never before this returns unless there are no items or none could be taken. */
void batch_start(struct request *request, const struct json_item *items, size_t count,
                 enum err (*make)(struct request *request, const struct json_item *item,
                                  size_t index, struct op *out),
                 void (*finish)(struct batch *batch));

/* The failure that all items share and that fails the request as a whole (the store away, a
 * deadline, overload); ERR_OK when there is a result worth sending. */
enum err batch_failure(const struct batch *batch);

#endif
