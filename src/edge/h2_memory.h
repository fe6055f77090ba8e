/* h2_memory.h - nghttp2's memory: what one stream gives back serves the next.
 *
 * nghttp2 asks for several pieces for each stream and frees them when it ends. Those that are
 * small are kept here, by size, so that a steady flow of streams doesn't call malloc.
 *
 * Threads    One owner at a time: the loop of the sessions that it serves.
 * Ownership  It outlives those sessions, and stays where it is.
 * Limits     Keeps H2_MEMORY_KEPT_MAX bytes at most; the rest is freed at once.
 */
#ifndef EDGE_H2_MEMORY_H
#define EDGE_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stddef.h>

#define H2_MEMORY_KEPT_MAX (256u * 1024)
#define H2_MEMORY_CLASSES  5u

struct h2_memory {
    nghttp2_mem mem; /* for nghttp2_session_*_new3() */
    struct h2_piece *kept[H2_MEMORY_CLASSES];
    size_t kept_bytes;
};

/* Allocates nothing yet. */
void h2_memory_init(struct h2_memory *memory);

/* Frees what is kept. A zeroed one is fine. */
void h2_memory_release(struct h2_memory *memory);

#endif
