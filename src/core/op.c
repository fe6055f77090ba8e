/* op.c - what an operation may be; arithmetic of counters. */
#include "core/op.h"

#include "base/counter_name.h"

enum err counter_add(int64_t *value, int64_t delta) {
    int64_t sum;

    if (delta == 0)
        return ERR_INVALID;
    if (__builtin_add_overflow(*value, delta, &sum))
        return ERR_RANGE;
    *value = sum;
    return ERR_OK;
}

/* An id with a zero byte would be another counter's id as well. */
static bool is_text(struct slice s) {
    return s.len > 0 && !memchr(s.ptr, 0, s.len);
}

static bool fits_an_event(const struct op *op) {
    return op->kind == OP_GET || op->resource_id.len + op->counter_type.len <= COUNTER_NAME_MAX;
}

bool op_valid(const struct op *op) {
    return op->kind >= OP_ADD && op->kind <= OP_GET && is_text(op->resource_id) &&
           is_text(op->counter_type) && (op->kind != OP_ADD || op->arg != 0) && fits_an_event(op);
}
