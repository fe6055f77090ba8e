/* tally_delta.c - open addressing over rows that stay in order. */
#include "core/tally_delta.h"

#include <stdlib.h>
#include <string.h>

/* width + 1 | bucket | counter: never 0. A bucket has 30 bits (time_range.h). */
#define WIDTH_SHIFT  62
#define BUCKET_SHIFT 32
#define BUCKET_MASK  ((UINT64_C(1) << (WIDTH_SHIFT - BUCKET_SHIFT)) - 1)

static uint64_t key_of(struct tally_cell cell) {
    return ((uint64_t)cell.width + 1) << WIDTH_SHIFT | (uint64_t)cell.bucket << BUCKET_SHIFT |
           cell.counter;
}

struct tally_cell tally_delta_cell(const struct tally_delta_row *row) {
    return (struct tally_cell){
        .width = (enum bucket_width)((row->key >> WIDTH_SHIFT) - 1),
        .bucket = (int64_t)(row->key >> BUCKET_SHIFT & BUCKET_MASK),
        .counter = (uint32_t)row->key,
    };
}

enum err tally_delta_init(struct tally_delta *delta, uint32_t rows) {
    *delta = (struct tally_delta){.cap = rows, .slot_bits = 1};
    while (UINT64_C(1) << delta->slot_bits < 2ull * rows)
        delta->slot_bits++;
    delta->rows = malloc(rows * sizeof(*delta->rows));
    delta->slots = calloc(UINT64_C(1) << delta->slot_bits, sizeof(*delta->slots));
    return delta->rows && delta->slots ? ERR_OK : ERR_NO_MEMORY;
}

void tally_delta_release(struct tally_delta *delta) {
    free(delta->rows);
    free(delta->slots);
    *delta = (struct tally_delta){0};
}

/* Numbers of counters and buckets are ours to give, so nobody can make them collide: Fibonacci
 * hashing (Knuth, volume 3, 6.4) spreads them. */
static size_t slot_of(const struct tally_delta *delta, uint64_t key) {
    size_t mask = ((size_t)1 << delta->slot_bits) - 1;
    size_t slot = (size_t)((key ^ key >> BUCKET_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) >>
                           (64 - delta->slot_bits));

    while (delta->slots[slot] && delta->rows[delta->slots[slot] - 1].key != key)
        slot = (slot + 1) & mask;
    return slot;
}

void tally_delta_add(struct tally_delta *delta, struct tally_cell cell, struct tally more) {
    uint64_t key = key_of(cell);
    size_t slot = slot_of(delta, key);

    if (!delta->slots[slot]) {
        delta->rows[delta->count++] = (struct tally_delta_row){.key = key};
        delta->slots[slot] = delta->count;
    }
    tally_add(&delta->rows[delta->slots[slot] - 1].tally, more);
}

struct tally tally_delta_find(const struct tally_delta *delta, struct tally_cell cell) {
    uint32_t row = delta->slots[slot_of(delta, key_of(cell))];

    return row ? delta->rows[row - 1].tally : (struct tally){0};
}

void tally_delta_clear(struct tally_delta *delta) {
    memset(delta->slots, 0, (sizeof(*delta->slots) << delta->slot_bits));
    delta->count = 0;
}
