/* backend.h - the store behind the front's upstreams: what the front tells others of it.
 *
 * Threads    Its functions: any.
 */
#ifndef COUNTER_BACKEND_H
#define COUNTER_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What an acknowledgement means. */
struct counter_promise {
    char durability[32]; /* "local": the mode that is configured */
    char guarantee[512]; /* a sentence: what that means on this store */
};

struct counter_backend {
    void *ctx;
    /* Its identity: random, fixed at its first start; 0: it hasn't been reached yet. */
    uint64_t (*store_id)(void *ctx);
    void (*promise)(void *ctx, struct counter_promise *out);
    void (*down)(void *ctx, char *out, size_t size); /* why it can't be used, a sentence */
    int64_t clock_ahead_ms; /* the store's clock minus CLOCK_MONOTONIC; set before loops start */
    enum err clock_unknown; /* not ERR_OK: front_set_clock() tells, calls are refused with this
                               until then */
};

#endif
