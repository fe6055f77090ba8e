/* op_batch.h - many operations of one request: each waits on its own, one answer for all.
 *
 * Threads    The loop's.
 * Ownership  Everything lives in the arena given, which lives until finish() has run.
 * Callbacks  finish() exactly once, when all have answered; never inside op_batch_start() unless
 *            there is nothing to wait for.
 */
#ifndef EDGE_OP_BATCH_H
#define EDGE_OP_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "core/op.h"
#include "edge/loop_batcher.h"

struct op_batch {
    size_t count;
    struct answer *answers; /* in the order of the operations */
    void *ctx;              /* the caller's */
    void (*finish)(struct op_batch *batch);
    struct op_batch_item *items; /* private */
    size_t waiting;              /* private */
};

struct op_batch_request {
    const struct op *ops;
    size_t count;
    int64_t deadline_ms;
    struct trace_context *trace; /* the request's; NULL: none */
    void (*finish)(struct op_batch *batch);
    void *ctx;
};

/* Sends all operations on their way; one that can't be taken has its error as answer.
 * ERR_NO_MEMORY: the arena is full, nothing was sent and finish() won't run. */
MUST_CHECK enum err op_batch_start(struct loop_batcher *lb, struct arena *arena,
                                   const struct op_batch_request *request);

/* The error that all of them share and that fails the request as a whole (the store away, a
 * deadline, overload); ERR_OK when there is a result worth sending. */
enum err op_batch_failure(const struct op_batch *batch);

#endif
