/* span_ring.h - spans on their way from any thread to the one that exports them.
 *
 * Threads    span_ring_push() any; span_ring_pop() one; new and free while nobody else is there.
 * Limits     Never blocks, never allocates after span_ring_new(). A span that finds it full is the
 *            caller's to count.
 */
#ifndef BASE_SPAN_RING_H
#define BASE_SPAN_RING_H

#include <stddef.h>

#include "base/attr.h"
#include "base/span.h"

struct span_ring;

/* Room for 'slots', rounded up to a power of two. NULL when memory runs out. */
struct span_ring *span_ring_new(size_t slots);
/* NULL is fine. */
void span_ring_free(struct span_ring *ring);

/* False: full. 'out_pushed' becomes the number of spans pushed before this one. */
MUST_CHECK bool span_ring_push(struct span_ring *ring, const struct span *span, size_t *out_pushed);

/* At most 'max' of the oldest; how many. */
size_t span_ring_pop(struct span_ring *ring, struct span *out, size_t max);

#endif
