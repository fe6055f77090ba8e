/* span_ring.c - a bounded queue of slots that take turns (Dmitry Vyukov, 2010).
 *
 *     turn == position            free for who takes that position
 *     turn == position + 1        holds a span
 *     turn == position + slots    free again, for the next round
 *
 * A slot's release and acquire order its span; positions themselves order nothing.
 */
#include "base/span_ring.h"

#include <stdatomic.h>
#include <stdlib.h>

struct slot {
    _Atomic size_t turn;
    struct span span;
};

struct span_ring {
    size_t mask;
    _Alignas(64) _Atomic size_t tail; /* the next position to push to; whoever pushes */
    _Alignas(64) size_t head;         /* the next one to pop; the reader's */
    struct slot slots[];
};

struct span_ring *span_ring_new(size_t slots) {
    size_t count = 1;

    while (count < slots)
        count *= 2;
    size_t size = sizeof(struct span_ring) + count * sizeof(struct slot);
    struct span_ring *ring = aligned_alloc(64, (size + 63) / 64 * 64);

    if (!ring)
        return NULL;
    ring->mask = count - 1;
    atomic_init(&ring->tail, 0);
    ring->head = 0;
    for (size_t i = 0; i < count; i++)
        atomic_init(&ring->slots[i].turn, i);
    return ring;
}

void span_ring_free(struct span_ring *ring) {
    free(ring);
}

bool span_ring_push(struct span_ring *ring, const struct span *span, size_t *out_pushed) {
    size_t at = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    for (;;) {
        struct slot *slot = &ring->slots[at & ring->mask];
        size_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);

        if (turn == at) {
            if (!atomic_compare_exchange_weak_explicit(&ring->tail, &at, at + 1,
                                                       memory_order_relaxed, memory_order_relaxed))
                continue; /* 'at' is what it is now */
            slot->span = *span;
            atomic_store_explicit(&slot->turn, at + 1, memory_order_release);
            *out_pushed = at;
            return true;
        }
        if ((ptrdiff_t)(turn - at) < 0)
            return false;
        at = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    }
}

size_t span_ring_pop(struct span_ring *ring, struct span *out, size_t max) {
    size_t got = 0;

    while (got < max) {
        struct slot *slot = &ring->slots[ring->head & ring->mask];

        if (atomic_load_explicit(&slot->turn, memory_order_acquire) != ring->head + 1)
            break;
        out[got++] = slot->span;
        atomic_store_explicit(&slot->turn, ring->head + ring->mask + 1, memory_order_release);
        ring->head++;
    }
    return got;
}
