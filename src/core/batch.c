/* batch.c - gathering, expiring and recycling one message. */
#include "core/batch.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (16u << 10)

struct batch *batch_new(size_t ops_max) {
    struct batch *batch = calloc(1, sizeof(*batch));

    if (!batch)
        return NULL;
    arena_init(&batch->arena, CHUNK_BYTES, BATCH_BYTES_MAX);
    batch->ops = calloc(ops_max, sizeof(*batch->ops));
    batch->waiters = calloc(ops_max, sizeof(*batch->waiters));
    if (!batch->ops || !batch->waiters) {
        batch_free(batch);
        return NULL;
    }
    list_init(&batch->node);
    batch_reset(batch);
    return batch;
}

void batch_free(struct batch *batch) {
    arena_release(&batch->arena);
    free(batch->ops);
    free(batch->waiters);
    free(batch);
}

void batch_reset(struct batch *batch) {
    arena_reset(&batch->arena, BATCH_BYTES_KEPT);
    batch->message = (struct message){.ops = batch->ops};
    batch->waiting = 0;
    batch->earliest_ms = INT64_MAX;
    batch->latest_ms = INT64_MIN;
    batch->trace = NULL;
    batch->current = NULL;
    batch->due_ms = INT64_MAX;
    batch->since_ms = 0;
    batch->attempts = 0;
    batch->unsure = 0;
    batch->out = 0;
    batch->resolved = false;
    batch->verdict = ERR_OK;
}

/* Absent ({NULL, 0}) stays absent: only a key may be, and empty is another thing. */
static struct slice put(char **at, struct slice s) {
    if (!s.ptr)
        return s;
    char *copy = *at;

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    *at += s.len;
    return slice_of(copy, s.len);
}

/* No room for it: then the message goes without. */
static const struct trace_context *copy_trace(struct arena *arena,
                                              const struct trace_context *trace) {
    struct trace_context *copy = arena_alloc(arena, sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *trace;
    copy->state = arena_copy(arena, trace->state);
    if (!copy->state.ptr)
        copy->state = SLICE("");
    return copy;
}

enum err batch_push(struct batch *batch, const struct op *op, struct waiter *waiter) {
    size_t i = batch->message.count;
    char *at = arena_alloc(&batch->arena, op->resource_id.len + op->counter_type.len + op->key.len);

    if (!at)
        return ERR_NO_MEMORY;
    batch->ops[i] = *op;
    batch->ops[i].resource_id = put(&at, op->resource_id);
    batch->ops[i].counter_type = put(&at, op->counter_type);
    batch->ops[i].key = put(&at, op->key);
    batch->waiters[i] = waiter;
    batch->message.count++;
    batch->waiting++;
    if (UNLIKELY(waiter->trace) &&
        (!batch->trace || (trace_sampled(waiter->trace) && !trace_sampled(batch->trace))))
        batch->trace = copy_trace(&batch->arena, waiter->trace);
    if (waiter->deadline_ms < batch->earliest_ms)
        batch->earliest_ms = waiter->deadline_ms;
    if (waiter->deadline_ms > batch->latest_ms)
        batch->latest_ms = waiter->deadline_ms;
    return ERR_OK;
}

struct waiter *batch_take_waiter(struct batch *batch, size_t i) {
    struct waiter *waiter = batch->waiters[i];

    if (waiter)
        batch->waiting--;
    batch->waiters[i] = NULL;
    return waiter;
}

size_t batch_expire(struct batch *batch, int64_t now_ms, struct waiter_queue *out_expired) {
    bool removable = batch->unsure == 0;
    size_t expired = 0;
    size_t kept = 0;

    batch->earliest_ms = INT64_MAX;
    for (size_t i = 0; i < batch->message.count; i++) {
        struct waiter *waiter = batch->waiters[i];

        if (waiter && waiter->deadline_ms <= now_ms) {
            waiter_queue_push(out_expired, batch_take_waiter(batch, i));
            expired++;
            if (removable)
                continue;
        } else if (waiter && waiter->deadline_ms < batch->earliest_ms) {
            batch->earliest_ms = waiter->deadline_ms;
        }
        batch->ops[kept] = batch->ops[i];
        batch->waiters[kept++] = batch->waiters[i];
    }
    batch->message.count = kept;
    return expired;
}
