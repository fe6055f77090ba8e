/* spare.h - memory that one request gives back for the next, by size.
 *
 * What a connection or a call needs beyond the little that it keeps while it is idle: there is one
 * for all of a loop's, so what is kept doesn't grow with their number, and a steady flow of larger
 * requests doesn't call malloc.
 *
 * Threads    One owner.
 * Ownership  A piece is malloc's, whoever has it. All functions take NULL for "none is kept".
 * Limits     Keeps 'kept_max' bytes at most, of pieces up to SPARE_LARGEST; the rest is freed at
 *            once.
 */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H

#include <stddef.h>

#include "base/attr.h"

#define SPARE_LEAST   256u
#define SPARE_CLASSES 9u
#define SPARE_LARGEST (SPARE_LEAST << (SPARE_CLASSES - 1))

struct spare_piece;

struct spare {
    struct spare_piece *kept[SPARE_CLASSES];
    size_t kept_bytes;
    size_t kept_max;
};

/* Allocates nothing yet. */
void spare_init(struct spare *spare, size_t kept_max);

/* Frees what is kept. A zeroed one is fine. */
void spare_release(struct spare *spare);

/* The size to ask for when 'bytes' are needed: a power of two, or past SPARE_LARGEST just that. */
size_t spare_room(size_t bytes);

/* 'room' is spare_room()'s. NULL when memory runs out; not zeroed. */
MUST_CHECK void *spare_take(struct spare *spare, size_t room);
void spare_give(struct spare *spare, void *piece, size_t room);

/* The size of the largest piece that is kept, if that is more than 'room'; else that. */
size_t spare_larger(const struct spare *spare, size_t room);

/* A larger piece with the first 'used' bytes of 'piece', which is given back; on failure NULL, and
 * nothing has changed. */
MUST_CHECK void *spare_grow(struct spare *spare, void *piece, size_t room, size_t used,
                            size_t larger);

#endif
