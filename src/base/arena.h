/* arena.h - a workspace: bump allocation with a hard cap and one reset.
 *
 * For what lives exactly as long as one request or one message. Grows by
 * chunks up to the cap and keeps its chunks over a reset, so that the steady
 * path doesn't call malloc.
 *
 * Threads    One owner at a time.
 * Ownership  What arena_alloc() returns lives until arena_reset() or
 *            arena_release().
 * Limits     Past the cap arena_alloc() returns NULL and arena_overflowed()
 *            stays true until the reset: check once, at the end of a step.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

struct arena_chunk;
struct spare;

/* Bytes of a chunk beside its own: together they are what a spare has, a power of two. */
#define ARENA_CHUNK_HEAD 16u

struct arena {
    struct arena_chunk *first; /* all chunks, in order of age */
    struct arena_chunk *now;   /* the one that allocates */
    size_t used;               /* bytes used in 'now' */
    size_t held;               /* bytes in all chunks */
    size_t chunk_bytes;
    size_t cap_bytes;
    struct spare *spare; /* where chunks come from, and go; NULL: malloc and free */
    bool overflowed;
};

/* Allocates nothing yet. Chunks of 'chunk_bytes' (more for a larger piece),
 * 'cap_bytes' in all. */
void arena_init(struct arena *arena, size_t chunk_bytes, size_t cap_bytes);
void arena_release(struct arena *arena);

/* Likewise, with chunks of what 'spare' keeps, which outlives the arena: sizes that fit it are
 * less ARENA_CHUNK_HEAD. */
void arena_init_spare(struct arena *arena, struct spare *spare, size_t chunk_bytes,
                      size_t cap_bytes);

/* Forgets every allocation. Keeps up to 'keep_bytes' of chunks for next time. */
void arena_reset(struct arena *arena, size_t keep_bytes);

/* Aligned for any object, not zeroed. NULL past the cap or out of memory. */
void *arena_alloc(struct arena *arena, size_t bytes) MUST_CHECK;

/* A copy of 's' with a NUL behind it that isn't counted; {NULL, 0} past the cap. */
struct slice arena_copy(struct arena *arena, struct slice s);

static inline bool arena_overflowed(const struct arena *arena) {
    return arena->overflowed;
}

#endif
