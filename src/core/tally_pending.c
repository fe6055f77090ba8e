/* tally_pending.c - two arrays that are filled from the front. */
#include "core/tally_pending.h"

#include <stdlib.h>

enum err tally_pending_init(struct tally_pending *pending, uint32_t cap) {
    *pending = (struct tally_pending){.cap = cap};
    pending->counters = malloc(cap * sizeof(*pending->counters));
    pending->rows = malloc(cap * sizeof(*pending->rows));
    return pending->counters && pending->rows ? ERR_OK : ERR_NO_MEMORY;
}

void tally_pending_release(struct tally_pending *pending) {
    free(pending->counters);
    free(pending->rows);
    buf_release(&pending->names);
    *pending = (struct tally_pending){0};
}

void tally_pending_clear(struct tally_pending *pending) {
    pending->counters_count = 0;
    pending->rows_count = 0;
    buf_clear(&pending->names);
}

static bool is_at(const struct tally_pending *pending, uint32_t number, uint32_t hint) {
    return hint < pending->counters_count && pending->counters[hint].number == number;
}

struct pending_counter *tally_pending_touch(struct tally_pending *pending, uint32_t number,
                                            uint32_t *hint) {
    if (is_at(pending, number, *hint))
        return &pending->counters[*hint];
    *hint = pending->counters_count++;
    pending->counters[*hint] = (struct pending_counter){.number = number, .rows = PENDING_NO_ROW};
    return &pending->counters[*hint];
}

enum err tally_pending_name(struct tally_pending *pending, struct pending_counter *counter,
                            struct slice name, uint32_t lane) {
    size_t at = pending->names.len;

    if (at + name.len > UINT32_MAX || !buf_reserve(&pending->names, name.len))
        return ERR_NO_MEMORY;
    buf_add_slice(&pending->names, name);
    counter->name_at = (uint32_t)at;
    counter->name_len = (uint32_t)name.len;
    counter->lane = lane;
    return ERR_OK;
}

static struct pending_row *row_of(struct tally_pending *pending,
                                  const struct pending_counter *counter, struct tally_cell cell,
                                  enum bucket_width widest) {
    for (uint32_t at = counter->rows; at != PENDING_NO_ROW; at = pending->rows[at].next) {
        struct pending_row *row = &pending->rows[at];

        if (row->bucket == (uint32_t)cell.bucket && row->width == (uint32_t)cell.width &&
            row->widest == (uint32_t)widest)
            return row;
    }
    return NULL;
}

/* Behind the first, unless it is of a later time: the bucket of now is found at once, however many
 * late events there were. */
static void link_row(struct tally_pending *pending, struct pending_counter *counter,
                     uint32_t number) {
    struct pending_row *row = &pending->rows[number];
    struct pending_row *first =
        counter->rows == PENDING_NO_ROW ? NULL : &pending->rows[counter->rows];
    bool leads = !first || (row->width == first->width && row->bucket > first->bucket);
    uint32_t *before = leads ? &counter->rows : &first->next;

    row->next = *before;
    *before = number;
}

void tally_pending_add(struct tally_pending *pending, struct pending_counter *counter,
                       struct tally_cell cell, enum bucket_width widest, struct tally more) {
    struct pending_row *row = row_of(pending, counter, cell, widest);

    if (!row) {
        uint32_t number = pending->rows_count++;

        row = &pending->rows[number];
        *row = (struct pending_row){.counter = cell.counter,
                                    .bucket = (uint32_t)cell.bucket,
                                    .width = (uint16_t)cell.width,
                                    .widest = (uint16_t)widest};
        link_row(pending, counter, number);
    }
    tally_add(&row->tally, more);
}

struct tally tally_pending_find(const struct tally_pending *pending, uint32_t hint,
                                struct tally_cell cell) {
    struct tally sum = {0};

    if (!is_at(pending, cell.counter, hint))
        return sum;
    for (uint32_t at = pending->counters[hint].rows; at != PENDING_NO_ROW;
         at = pending->rows[at].next) {
        const struct pending_row *row = &pending->rows[at];

        if (pending_row_has(row, cell.width) && pending_row_bucket(row, cell.width) == cell.bucket)
            tally_add(&sum, row->tally);
    }
    return sum;
}
