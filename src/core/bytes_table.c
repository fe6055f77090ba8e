/* bytes_table.c - linear probing, at most half full, nothing is ever removed alone. */
#include "core/bytes_table.h"

#include <stdlib.h>

#define FIRST_CAP 64u
#define CAP_MAX   (1u << 30)

void bytes_table_release(struct bytes_table *table) {
    free(table->rows);
    free(table->slots);
    buf_release(&table->bytes);
    *table = (struct bytes_table){0};
}

static size_t slot_mask(const struct bytes_table *table) {
    return (size_t)table->cap * 2 - 1;
}

struct slice bytes_table_key(const struct bytes_table *table, uint32_t number) {
    const struct bytes_row *row = &table->rows[number];

    return slice_of(table->bytes.ptr + row->at, row->len);
}

uint32_t bytes_table_find(const struct bytes_table *table, uint64_t hash, struct slice key) {
    size_t mask = slot_mask(table);

    if (table->count == 0)
        return BYTES_TABLE_NONE;
    for (size_t at = hash & mask; table->slots[at]; at = (at + 1) & mask) {
        uint32_t number = table->slots[at] - 1;

        if (table->rows[number].hash == hash && slice_eq(bytes_table_key(table, number), key))
            return number;
    }
    return BYTES_TABLE_NONE;
}

void bytes_table_prefetch_slot(const struct bytes_table *table, uint64_t hash) {
    if (table->count)
        __builtin_prefetch(&table->slots[hash & slot_mask(table)]);
}

uint32_t bytes_table_prefetch_row(const struct bytes_table *table, uint64_t hash) {
    uint32_t slot = table->count ? table->slots[hash & slot_mask(table)] : 0;

    if (slot == 0)
        return BYTES_TABLE_NONE;
    __builtin_prefetch(&table->rows[slot - 1]);
    return slot - 1;
}

void bytes_table_prefetch_key(const struct bytes_table *table, uint32_t number) {
    __builtin_prefetch(table->bytes.ptr + table->rows[number].at);
}

static void occupy(struct bytes_table *table, uint32_t number) {
    size_t mask = slot_mask(table);
    size_t at = table->rows[number].hash & mask;

    while (table->slots[at])
        at = (at + 1) & mask;
    table->slots[at] = number + 1;
}

static bool grow(struct bytes_table *table) {
    uint32_t cap = table->cap ? table->cap * 2 : FIRST_CAP;

    if (cap > CAP_MAX)
        return false;
    struct bytes_row *rows = realloc(table->rows, cap * sizeof(*rows));
    if (!rows)
        return false;
    table->rows = rows;
    uint32_t *slots = calloc((size_t)cap * 2, sizeof(*slots));
    if (!slots)
        return false;
    free(table->slots);
    table->slots = slots;
    table->cap = cap;
    for (uint32_t i = 0; i < table->count; i++)
        occupy(table, i);
    return true;
}

uint32_t bytes_table_add(struct bytes_table *table, uint64_t hash, struct slice key) {
    if (table->count == table->cap && !grow(table))
        return BYTES_TABLE_NONE;
    if (!buf_reserve(&table->bytes, key.len)) {
        table->bytes.failed = false;
        return BYTES_TABLE_NONE;
    }
    uint32_t number = table->count++;
    table->rows[number] = (struct bytes_row){hash, table->bytes.len, key.len};
    buf_add_slice(&table->bytes, key);
    occupy(table, number);
    return number;
}

/* Newest first: what a row's probe passed was there before it, so is still there. */
static void free_slots_one_by_one(struct bytes_table *table) {
    size_t mask = slot_mask(table);

    for (uint32_t i = table->count; i-- > 0;) {
        size_t at = table->rows[i].hash & mask;

        while (table->slots[at] != i + 1)
            at = (at + 1) & mask;
        table->slots[at] = 0;
    }
}

void bytes_table_clear(struct bytes_table *table) {
    /* One large group must not make every later small one pay for its slots. */
    if (table->count < table->cap / 8)
        free_slots_one_by_one(table);
    else if (table->slots)
        memset(table->slots, 0, (size_t)table->cap * 2 * sizeof(*table->slots));
    table->count = 0;
    buf_clear(&table->bytes);
}
