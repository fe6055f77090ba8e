/* timer.c - one binary heap per loop; a timer knows its slot in it. */
#include "loop/timer.h"

#include <stdio.h>
#include <stdlib.h>

#include "loop/loop_private.h"

#define FIRST_CAPACITY 64

static bool before(const struct timer_entry *a, const struct timer_entry *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->seq < b->seq;
}

static void place(struct timer_heap *heap, size_t slot, struct timer_entry entry) {
    heap->entries[slot] = entry;
    entry.timer->slot = slot;
}

static void sift_up(struct timer_heap *heap, size_t slot, struct timer_entry entry) {
    while (slot > 1 && before(&entry, &heap->entries[slot / 2])) {
        place(heap, slot, heap->entries[slot / 2]);
        slot /= 2;
    }
    place(heap, slot, entry);
}

static void sift_down(struct timer_heap *heap, size_t slot, struct timer_entry entry) {
    for (size_t child; (child = slot * 2) <= heap->count; slot = child) {
        if (child < heap->count && before(&heap->entries[child + 1], &heap->entries[child]))
            child++;
        if (!before(&heap->entries[child], &entry))
            break;
        place(heap, slot, heap->entries[child]);
    }
    place(heap, slot, entry);
}

/* Puts 'entry' where 'slot' has become free. */
static void settle(struct timer_heap *heap, size_t slot, struct timer_entry entry) {
    if (slot > 1 && before(&entry, &heap->entries[slot / 2]))
        sift_up(heap, slot, entry);
    else
        sift_down(heap, slot, entry);
}

static void grow(struct timer_heap *heap) {
    size_t capacity = heap->capacity ? heap->capacity * 2 : FIRST_CAPACITY;
    struct timer_entry *entries = realloc(heap->entries, capacity * sizeof(*entries));

    if (!entries) {
        /* A deadline that silently never comes would be worse than a restart. */
        fputs("highgopress: no memory for a timer\n", stderr);
        abort();
    }
    heap->entries = entries;
    heap->capacity = capacity;
}

void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms) {
    struct timer_heap *heap = &loop->timers;
    struct timer_entry entry;

    loop_assert_thread(loop);
    timer->at_ms = loop->now_ms + (delay_ms > 0 ? delay_ms : 0);
    entry = (struct timer_entry){timer->at_ms, heap->next_seq++, timer};
    if (timer_armed(timer)) {
        settle(heap, timer->slot, entry);
        return;
    }
    if (heap->count + 1 >= heap->capacity)
        grow(heap);
    sift_up(heap, ++heap->count, entry);
}

static void take_out(struct timer_heap *heap, struct timer *timer) {
    size_t slot = timer->slot;
    struct timer_entry last = heap->entries[heap->count--];

    timer->slot = 0;
    if (last.timer != timer)
        settle(heap, slot, last);
}

void timer_stop(struct loop *loop, struct timer *timer) {
    if (!timer_armed(timer))
        return;
    loop_assert_thread(loop);
    take_out(&loop->timers, timer);
}

int64_t timers_next_ms(const struct timer_heap *heap) {
    return heap->count > 0 ? heap->entries[1].at_ms : -1;
}

void timers_fire(struct loop *loop) {
    struct timer_heap *heap = &loop->timers;
    /* What is started from here on fires next turn at the earliest, or a timer
     * that starts itself without delay would keep the loop from its sockets. */
    uint64_t end_seq = heap->next_seq;

    while (heap->count > 0 && heap->entries[1].at_ms <= loop->now_ms &&
           heap->entries[1].seq < end_seq) {
        struct timer *timer = heap->entries[1].timer;

        take_out(heap, timer);
        timer->fire(timer);
    }
}

void timers_release(struct timer_heap *heap) {
    free(heap->entries);
}
