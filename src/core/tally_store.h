/* tally_store.h - what analytics needs of its store: ordered keys, sums that are added to without
 * being read, one atomic batch.
 *
 * Threads    One owner thread for all calls.
 * Ownership  Keys and values given are copied; what 'take' is given lives until it returns.
 */
#ifndef CORE_TALLY_STORE_H
#define CORE_TALLY_STORE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "core/tally.h"

struct tally_store {
    const struct tally_store_ops *ops;
};

struct tally_store_ops {
    /* Committed state only. ERR_NOT_FOUND: '*out' untouched. */
    enum err (*get)(struct tally_store *store, struct slice key, struct buf *out);
    /* Every committed record in [from, to), in order of memcmp, until 'take' says no more. */
    enum err (*scan)(struct tally_store *store, struct slice from, struct slice to,
                     bool (*take)(void *ctx, struct slice key, struct slice value), void *ctx);
    /* Stage into the current batch; never fail. */
    void (*put)(struct tally_store *store, struct slice key, struct slice value);
    /* The record is a tally (tally_decode()) and grows by this one; none is an empty one. */
    void (*add)(struct tally_store *store, struct slice key, struct tally more);
    void (*del_range)(struct tally_store *store, struct slice from, struct slice to);
    /* All that is staged or nothing, on disk before it returns. After an error the store is
     * finished. */
    enum err (*commit)(struct tally_store *store);
};

/* A stored tally: two numbers, big endian. */
#define TALLY_BYTES 16

void tally_encode(struct tally tally, char out[TALLY_BYTES]);

/* ERR_CORRUPT. */
MUST_CHECK enum err tally_decode(struct slice record, struct tally *out);

#endif
