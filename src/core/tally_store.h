/* tally_store.h - what analytics needs of its store: ordered keys, sums that are added to without
 * being read, one atomic batch at a time, which is written beside its owner.
 *
 *     begin ─► fill(): put, merge, del_range ─► on disk ─► ended() ─► end
 *              └────── a thread of the store's ─────────────┘
 *
 * Threads    One owner thread; what 'fill' does runs on the store's.
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

/* A walk over records as they were when it began, whatever is written meanwhile. */
struct tally_cursor;

/* How a batch comes about; lives until end() has said that it has ended. */
struct tally_batch {
    /* Stages it. Anything but ERR_OK: it isn't written, and is what end() gives. */
    enum err (*fill)(struct tally_batch *batch, struct tally_store *store);
    /* end() doesn't wait any more, or hardly; it is the store's thread that says so. */
    void (*ended)(struct tally_batch *batch);
};

struct tally_store_ops {
    /* What the batches have written that end() has given: not the one that is under way.
     * ERR_NOT_FOUND: '*out' untouched. */
    enum err (*get)(struct tally_store *store, struct slice key, struct buf *out);
    /* Likewise, of the records in [from, to), in order of memcmp. Before the store is closed it is.
     * NULL: no memory. */
    struct tally_cursor *(*cursor)(struct tally_store *store, struct slice from, struct slice to);
    /* Each record until 'take' says no more, which has had that one then; '*out_more': the end
     * wasn't reached. */
    enum err (*walk)(struct tally_cursor *cursor,
                     bool (*take)(void *ctx, struct slice key, struct slice value), void *ctx,
                     bool *out_more);
    void (*close)(struct tally_cursor *cursor);
    /* All of it at once. */
    enum err (*scan)(struct tally_store *store, struct slice from, struct slice to,
                     bool (*take)(void *ctx, struct slice key, struct slice value), void *ctx);

    /* All of the batch or nothing, on disk before it ends. One at a time. */
    void (*begin)(struct tally_store *store, struct tally_batch *batch);
    /* How it ended; ERR_BUSY: it is under way, and not to be waited for; ERR_OK where there is
     * none. After an error the store is finished. */
    enum err (*end)(struct tally_store *store, bool wait);

    /* Only inside 'fill'; never fail. */
    void (*put)(struct tally_store *store, struct slice key, struct slice value);
    /* The record is a group (core/tally_group.h) and takes this one on top; none is an empty one.
     */
    void (*merge)(struct tally_store *store, struct slice key, struct slice group);
    void (*del_range)(struct tally_store *store, struct slice from, struct slice to);
};

/* Before groups each counter of a bucket had a record of its own, with a key that begins so: a
 * tally that grew by tallies. Stores that were made then may have some, until analytics_regroup().
 */
#define TALLY_ALONE 'B'

/* A tally alone: two numbers, big endian. */
#define TALLY_BYTES 16

void tally_encode(struct tally tally, char out[TALLY_BYTES]);

/* ERR_CORRUPT. */
MUST_CHECK enum err tally_decode(struct slice record, struct tally *out);

#endif
