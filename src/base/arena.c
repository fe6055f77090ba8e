/* arena.c - chunks in a list, a bump pointer in the newest. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/spare.h"

#define ALIGN 16u

struct arena_chunk {
    struct arena_chunk *next;
    size_t bytes;
    _Alignas(ALIGN) char data[];
};

_Static_assert(sizeof(struct arena_chunk) == ARENA_CHUNK_HEAD, "callers count with it");

void arena_init(struct arena *arena, size_t chunk_bytes, size_t cap_bytes) {
    *arena = (struct arena){.chunk_bytes = chunk_bytes, .cap_bytes = cap_bytes};
}

void arena_init_spare(struct arena *arena, struct spare *spare, size_t chunk_bytes,
                      size_t cap_bytes) {
    arena_init(arena, chunk_bytes, cap_bytes);
    arena->spare = spare;
}

static void free_from(struct arena *arena, struct arena_chunk *chunk) {
    while (chunk) {
        struct arena_chunk *next = chunk->next;

        arena->held -= chunk->bytes;
        spare_give(arena->spare, chunk, sizeof(*chunk) + chunk->bytes);
        chunk = next;
    }
}

void arena_release(struct arena *arena) {
    free_from(arena, arena->first);
    arena_init_spare(arena, arena->spare, arena->chunk_bytes, arena->cap_bytes);
}

void arena_reset(struct arena *arena, size_t keep_bytes) {
    struct arena_chunk **link = &arena->first;
    size_t kept = 0;

    while (*link && kept + (*link)->bytes <= keep_bytes) {
        kept += (*link)->bytes;
        link = &(*link)->next;
    }
    free_from(arena, *link);
    *link = NULL;
    arena->now = arena->first;
    arena->used = 0;
    arena->overflowed = false;
}

/* Moves on to a chunk with room for 'bytes': a kept one or a new one. */
static bool next_chunk(struct arena *arena, size_t bytes) {
    struct arena_chunk *next = arena->now ? arena->now->next : arena->first;
    size_t want = bytes > arena->chunk_bytes ? bytes : arena->chunk_bytes;

    if (arena->spare)
        want = spare_room(sizeof(*next) + want) - sizeof(*next);
    if (next && next->bytes >= bytes) {
        arena->now = next;
        arena->used = 0;
        return true;
    }
    if (want > arena->cap_bytes || arena->held > arena->cap_bytes - want)
        return false;
    struct arena_chunk *fresh = arena->spare ? spare_take(arena->spare, sizeof(*fresh) + want)
                                             : malloc(sizeof(*fresh) + want);
    if (!fresh)
        return false;
    fresh->bytes = want;
    fresh->next = next;
    if (arena->now)
        arena->now->next = fresh;
    else
        arena->first = fresh;
    arena->held += want;
    arena->now = fresh;
    arena->used = 0;
    return true;
}

void *arena_alloc(struct arena *arena, size_t bytes) {
    if (bytes > arena->cap_bytes || bytes > SIZE_MAX - ALIGN) {
        arena->overflowed = true;
        return NULL;
    }
    size_t need = (bytes + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);

    if (!arena->now || need > arena->now->bytes - arena->used) {
        if (!next_chunk(arena, need)) {
            arena->overflowed = true;
            return NULL;
        }
    }
    void *out = arena->now->data + arena->used;
    arena->used += need;
    return out;
}

struct slice arena_copy(struct arena *arena, struct slice s) {
    char *copy = arena_alloc(arena, s.len + 1);

    if (!copy)
        return (struct slice){NULL, 0};
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return slice_of(copy, s.len);
}
