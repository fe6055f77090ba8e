/* kv.h - what the core needs of an embedded store: ordered keys, one atomic batch.
 *
 * Implemented by RocksDB (edge/rocks_kv) and by the simulator's disk. Writes
 * are staged and become visible and durable together at commit.
 *
 * Threads    One owner thread for all calls.
 * Ownership  Keys and values given are copied. A value read is appended to the
 *            caller's buffer.
 */
#ifndef CORE_KV_H
#define CORE_KV_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Key spaces ("column families"); each is ordered by memcmp on its own. */
enum kv_space {
    KV_META,    /* layout, and one record per lane */
    KV_COUNTER, /* counter -> value, time of last change */
    KV_WINDOW,  /* lane, producer, number -> the answers of that part */
    KV_KEY,     /* generation, lane, counter, idempotency key -> first answer */
    KV_OUTBOX,  /* lane, epoch, last seq -> events */
    KV_SPACES
};

struct kv {
    const struct kv_ops *ops;
};

/* A view for threads beside the owner's: committed state only. Any thread, also several at once.
 * RocksDB has one; what it reads may be newer than what is durable. Not of KV_COUNTER, whose
 * records are overwritten in place. */
struct kv_scanner {
    /* Every record at or behind 'from', in order, until 'take' says no more; what it is given
     * lives until it returns. ERR_OK also at the end. */
    enum err (*scan)(const struct kv_scanner *scanner, enum kv_space space, struct slice from,
                     bool (*take)(void *ctx, struct slice key, struct slice value), void *ctx);
};

struct kv_ops {
    /* Committed state only: staged writes are not seen. ERR_NOT_FOUND: '*out' untouched. */
    enum err (*get)(struct kv *kv, enum kv_space space, struct slice key, struct buf *out);
    /* The first committed record at or behind 'from'; both are replaced. ERR_NOT_FOUND at the end.
     */
    enum err (*seek)(struct kv *kv, enum kv_space space, struct slice from, struct buf *out_key,
                     struct buf *out_value);
    /* Stage into the current batch; never fail (memory running out fails the commit). */
    void (*put)(struct kv *kv, enum kv_space space, struct slice key, struct slice value);
    void (*del)(struct kv *kv, enum kv_space space, struct slice key);
    /* Every key in [from, to). Not in KV_COUNTER. */
    void (*del_range)(struct kv *kv, enum kv_space space, struct slice from, struct slice to);
    /* All staged writes or none. 'durable': on disk (fsync) before it returns; else in the
     * operating system's hands (survives our crash, not the machine's). After ERR_IO the store
     * is finished: nothing more may be staged or committed, the outcome is unknown. */
    enum err (*commit)(struct kv *kv, bool durable);
    /* Makes every earlier commit durable. */
    enum err (*sync)(struct kv *kv);
};

MUST_CHECK static inline enum err kv_get(struct kv *kv, enum kv_space space, struct slice key,
                                         struct buf *out) {
    return kv->ops->get(kv, space, key, out);
}

MUST_CHECK static inline enum err kv_seek(struct kv *kv, enum kv_space space, struct slice from,
                                          struct buf *out_key, struct buf *out_value) {
    return kv->ops->seek(kv, space, from, out_key, out_value);
}

static inline void kv_put(struct kv *kv, enum kv_space space, struct slice key,
                          struct slice value) {
    kv->ops->put(kv, space, key, value);
}

static inline void kv_del(struct kv *kv, enum kv_space space, struct slice key) {
    kv->ops->del(kv, space, key);
}

static inline void kv_del_range(struct kv *kv, enum kv_space space, struct slice from,
                                struct slice to) {
    kv->ops->del_range(kv, space, from, to);
}

MUST_CHECK static inline enum err kv_commit(struct kv *kv, bool durable) {
    return kv->ops->commit(kv, durable);
}

MUST_CHECK static inline enum err kv_sync(struct kv *kv) {
    return kv->ops->sync(kv);
}

#endif
