/* message.h - a producer's numbered batch of operations, the unit that travels
 * from a gateway loop to the counter core (RELIABILITY 3.2).
 *
 * A message is immutable once sent: every retry carries the same producer and
 * number and the same operations in the same order.
 */
#ifndef CORE_MESSAGE_H
#define CORE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/op.h"

/* Random, one per producer incarnation. */
struct producer_id {
    uint64_t hi;
    uint64_t lo;
};

struct message {
    struct producer_id producer;
    uint64_t number;   /* 1, 2, 3 ... per producer; sparse per lane */
    int64_t issued_ms; /* the store's clock (applier.h) when first sent, as the producer knows it */
    const struct op *ops;
    size_t count;
};

/* A producer never sends number n + MESSAGE_WINDOW while n is unresolved. */
#define MESSAGE_WINDOW 64
/* A lane refuses a message issued longer ago than this ... */
#define MESSAGE_MAX_AGE_MS 60000
/* ... or this far ahead of its clock ... */
#define MESSAGE_MAX_AHEAD_MS 300000
/* ... and remembers a silent producer at least this long. */
#define PRODUCER_KEEP_MS 120000

#endif
