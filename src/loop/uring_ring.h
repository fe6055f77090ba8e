/* uring_ring.h - setting up a ring: flags, receive buffers, and a probe.
 *
 * Private to src/loop.
 *
 * Threads    The loop's thread, from setup to release (SINGLE_ISSUER).
 * Ownership  A buffer the kernel picked is ours until uring_recycle().
 */
#ifndef LOOP_URING_RING_H
#define LOOP_URING_RING_H

#include <liburing.h>

#include "base/attr.h"
#include "base/err.h"

/* The tests are also built with a tiny ring, where everything runs out. */
#ifndef URING_SQ_ENTRIES
#define URING_SQ_ENTRIES 1024
/* A turn may complete far more than it submits (multishot). */
#define URING_CQ_ENTRIES 8192
/* 1,024 requests may come in one turn without anybody running out of buffers. */
#define URING_BUFFERS 1024
/* Of every receive, IORING_RECV... */
#define URING_RECV_FLAGS 0
#endif
/* A request is rarely longer; one that is just comes in parts. */
#define URING_BUFFER_BYTES 2048
#define URING_BUFFER_GROUP 0

struct uring_ring {
    struct io_uring ring;
    struct io_uring_buf_ring *shelf; /* what the kernel may pick from */
    char *bytes;
    int returned; /* put back, not yet shown to the kernel */
};

/* ERR_UNAVAILABLE  the kernel or its policy refuses, or it is too old (6.0).
 * ERR_NO_MEMORY    memory or descriptors ran out. */
MUST_CHECK enum err uring_setup(struct uring_ring *r);
void uring_release(struct uring_ring *r);

static inline char *uring_buffer(const struct uring_ring *r, unsigned id) {
    return r->bytes + (size_t)id * URING_BUFFER_BYTES;
}

static inline void uring_recycle(struct uring_ring *r, unsigned id) {
    io_uring_buf_ring_add(r->shelf, uring_buffer(r, id), URING_BUFFER_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(URING_BUFFERS), r->returned++);
}

/* Shows the kernel what was recycled, one store for many buffers. */
static inline void uring_publish(struct uring_ring *r) {
    if (r->returned > 0)
        io_uring_buf_ring_advance(r->shelf, r->returned);
    r->returned = 0;
}

#endif
