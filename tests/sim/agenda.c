/* agenda.c - a binary heap. */
#include "agenda.h"

#include <stdlib.h>

void agenda_release(struct agenda *agenda) {
    free(agenda->heap);
    *agenda = (struct agenda){0};
}

static bool before(const struct agenda_item *a, const struct agenda_item *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void agenda_at(struct agenda *agenda, int64_t at_ms, agenda_fn fn, void *self, uint64_t arg) {
    struct agenda_item item = {.at_ms = at_ms < agenda->now_ms ? agenda->now_ms : at_ms,
                               .order = agenda->entered++,
                               .fn = fn,
                               .self = self,
                               .arg = arg};

    if (agenda->count == agenda->cap) {
        agenda->cap = agenda->cap ? agenda->cap * 2 : 256;
        agenda->heap = realloc(agenda->heap, agenda->cap * sizeof(*agenda->heap));
        if (!agenda->heap)
            abort();
    }
    size_t at = agenda->count++;

    for (; at > 0 && before(&item, &agenda->heap[(at - 1) / 2]); at = (at - 1) / 2)
        agenda->heap[at] = agenda->heap[(at - 1) / 2];
    agenda->heap[at] = item;
}

static struct agenda_item pop(struct agenda *agenda) {
    struct agenda_item *heap = agenda->heap;
    struct agenda_item first = heap[0];
    struct agenda_item last = heap[--agenda->count];
    size_t at = 0;

    for (size_t child = 1; child < agenda->count; child = 2 * at + 1) {
        if (child + 1 < agenda->count && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

bool agenda_step(struct agenda *agenda) {
    if (agenda->count == 0)
        return false;
    struct agenda_item item = pop(agenda);

    agenda->now_ms = item.at_ms;
    item.fn(item.self, item.arg);
    return true;
}
