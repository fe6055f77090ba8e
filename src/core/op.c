/* op.c - arithmetic of counters. */
#include "core/op.h"

enum err counter_add(int64_t *value, int64_t delta) {
    int64_t sum;

    if (delta == 0)
        return ERR_INVALID;
    if (__builtin_add_overflow(*value, delta, &sum))
        return ERR_RANGE;
    *value = sum;
    return ERR_OK;
}
