/* bytes_table.h - a set of byte strings, each with a small number; cleared as a whole.
 *
 * Open addressing over a bump store. Users keep what belongs to a string in an
 * array of their own at its number.
 *
 * Threads    One owner.
 * Ownership  Strings are copied in. bytes_table_key() is valid until the next add or clear.
 * Limits     Memory is kept over a clear, so a steady use allocates nothing.
 */
#ifndef CORE_BYTES_TABLE_H
#define CORE_BYTES_TABLE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define BYTES_TABLE_NONE UINT32_MAX

struct bytes_row {
    uint64_t hash;
    size_t at; /* in 'bytes' */
    size_t len;
};

/* A zeroed one is valid and empty. */
struct bytes_table {
    struct bytes_row *rows;
    uint32_t count;
    uint32_t cap;
    uint32_t *slots; /* row + 1, 0: free; twice 'cap' of them, a power of two */
    struct buf bytes;
};

void bytes_table_release(struct bytes_table *table);

/* BYTES_TABLE_NONE when it isn't there. */
uint32_t bytes_table_find(const struct bytes_table *table, uint64_t hash, struct slice key);

/* Must not be there yet. Numbers count up from 0. BYTES_TABLE_NONE when memory runs out. */
uint32_t bytes_table_add(struct bytes_table *table, uint64_t hash, struct slice key);

/* Hints for a lookup to come, in this order with other work between: on a table larger than the
 * processor's cache a find waits for memory three times. The second gives the row it guesses. */
void bytes_table_prefetch_slot(const struct bytes_table *table, uint64_t hash);
uint32_t bytes_table_prefetch_row(const struct bytes_table *table, uint64_t hash);
void bytes_table_prefetch_key(const struct bytes_table *table, uint32_t number);

struct slice bytes_table_key(const struct bytes_table *table, uint32_t number);
void bytes_table_clear(struct bytes_table *table);

#endif
