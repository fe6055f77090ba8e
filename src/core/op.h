/* op.h - what can be done to a counter, and what is answered.
 *
 * Threads    Plain data.
 * Ownership  Slices borrow from the message the operation travels in.
 */
#ifndef CORE_OP_H
#define CORE_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

enum op_kind {
    OP_ADD,   /* value += arg */
    OP_SET,   /* value = arg */
    OP_RESET, /* value = 0 */
    OP_GET    /* reads; takes no number in the outbox and has no dedup record */
};

struct op {
    enum op_kind kind;
    int64_t arg;               /* OP_ADD: never 0. OP_SET: the new value */
    struct slice resource_id;  /* never empty; with counter_type, but for OP_GET, at most */
    struct slice counter_type; /* COUNTER_NAME_MAX bytes; never empty */
    struct slice key;          /* a client's idempotency key; {NULL, 0}: none */
};

struct answer {
    enum err err;    /* ERR_OK, ERR_RANGE, ERR_MISMATCH, ERR_TOO_OLD, ... */
    bool replayed;   /* the key's first answer again */
    int64_t value;   /* right after this operation; OP_GET: committed or earlier in the message */
    int64_t time_ms; /* event time by the store's clock; OP_GET: of the last change, 0 if never */
};

/* '*value' += 'delta'. ERR_RANGE past int64, ERR_INVALID for 0; '*value'
 * stays as it was on any error. */
MUST_CHECK enum err counter_add(int64_t *value, int64_t delta);

/* A store may be asked to do it: the rules beside the fields above. */
bool op_valid(const struct op *op);

/* The argument after defaults: a reset has none. */
static inline int64_t op_arg(const struct op *op) {
    return op->kind == OP_RESET ? 0 : op->arg;
}

/* The delta an increment means: absent or 0 is 1 (CONTRACT A). */
static inline int64_t counter_delta(int64_t given) {
    return given == 0 ? 1 : given;
}

#endif
