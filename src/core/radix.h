/* radix.h - many numbers in order, each with a small number beside it.
 *
 * Least significant digit first, a byte at a time; a byte that all have in common costs one look.
 * Stable, so several keys are one sort after the other, the least one first.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef CORE_RADIX_H
#define CORE_RADIX_H

#include <stddef.h>
#include <stdint.h>

struct radix_item {
    uint32_t key;
    uint32_t index;
};

/* 'spare' has room for as many. */
void radix_sort(struct radix_item *items, struct radix_item *spare, size_t count);

#endif
