/* batch.h - the batcher's message object: operations, their slices and their
 * waiters, gathered once, sent any number of times, then recycled whole.
 *
 * Threads    One owner (the batcher's loop).
 * Ownership  Operations' slices live in the batch's arena until batch_reset().
 *            Waiters are borrowed until they are answered.
 * Limits     'ops_max' operations and BATCH_BYTES_MAX bytes of slices. Up to
 *            BATCH_BYTES_KEPT stay over a reset, so the steady path doesn't malloc.
 */
#ifndef CORE_BATCH_H
#define CORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/list.h"
#include "core/batcher.h"

/* A gRPC peer refuses messages above 4 MiB by default; fields cost some framing. */
#define BATCH_BYTES_MAX  (3u << 20)
#define BATCH_BYTES_KEPT (128u << 10)

struct attempt;

struct batch {
    struct list node;
    struct message message;  /* immutable once an attempt may have been delivered */
    struct op *ops;          /* what 'message' points to */
    struct waiter **waiters; /* one per operation; NULL once answered */
    size_t waiting;          /* waiters not answered yet */
    int64_t earliest_ms;     /* no waiter's deadline is before; INT64_MAX: nobody waits */
    int64_t latest_ms;       /* none is after */
    const struct trace_context
        *trace; /* as struct delivery has it, but the request's; in the arena */
    struct arena arena;

    struct attempt *current; /* the attempt being waited for; NULL: not sent, or backing off */
    int64_t due_ms;          /* when to see whether 'current' is lost, or else a retry is due */
    int64_t lost_ms;         /* when 'current' counts as lost in any case */
    int64_t since_ms;        /* its first operation; 0: of this turn */
    unsigned attempts;
    unsigned unsure;  /* attempts that may have been applied without an answer */
    unsigned out;     /* deliveries the upstream still holds, lost ones included */
    bool resolved;    /* answered as a whole; only waits for 'out' to be 0 */
    enum err verdict; /* given up with this */
};

/* Waiters taken out of batches, to be called when no list is being walked. */
struct waiter_queue {
    struct waiter *first;
    struct waiter **last;
};

/* NULL when memory runs out. */
struct batch *batch_new(size_t ops_max);
void batch_free(struct batch *batch);

/* Empty again, as from batch_new(). */
void batch_reset(struct batch *batch);

/* Copies 'op' behind the others; the caller checks the number of operations.
 * ERR_NO_MEMORY: its slices don't fit (any more); the batch is as before. */
MUST_CHECK enum err batch_push(struct batch *batch, const struct op *op, struct waiter *waiter);

/* Moves the waiters whose deadline has come to 'out_expired' and returns how many. Their
 * operations leave the message as well unless an attempt may have been delivered. */
size_t batch_expire(struct batch *batch, int64_t now_ms, struct waiter_queue *out_expired);

/* Hands the waiter of operation 'i' over, once: NULL if it was answered before. */
struct waiter *batch_take_waiter(struct batch *batch, size_t i);

static inline void waiter_queue_init(struct waiter_queue *queue) {
    queue->first = NULL;
    queue->last = &queue->first;
}

static inline void waiter_queue_push(struct waiter_queue *queue, struct waiter *waiter) {
    waiter->next = NULL;
    *queue->last = waiter;
    queue->last = &waiter->next;
}

#endif
