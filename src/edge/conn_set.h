/* conn_set.h - the connections of one server: accepting, their limit, the drain.
 *
 * Threads    The loop's thread, but for the counters it writes.
 * Ownership  Part of its server, which releases it when no connection is left.
 * Limits     CONN_SET_HELD_MAX connections of penalised clients wait; more are closed.
 * Order      Connections that have something to write are flushed at the tick's end.
 */
#ifndef EDGE_CONN_SET_H
#define EDGE_CONN_SET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/list.h"
#include "base/spare.h"
#include "edge/conn.h"
#include "loop/loop.h"
#include "loop/stream.h"

struct flood_penalty;

/* One for each loop of a process that had more of them (cli/listen.h). */
#define CONN_SET_LISTENERS_MAX 256

/* Each waits as it came, unread, and is served when its client's penalty is over. */
#define CONN_SET_HELD_MAX 16

/* Of memory that no request needs just now: what 100 batches of 20 take at once. */
#define CONN_SET_SPARE_BYTES (1u << 20)

struct conn_set_conf {
    size_t connections_max;        /* of all sets that share 'connections'; more are closed */
    _Atomic size_t *connections;   /* open now */
    _Atomic uint64_t *open;        /* of them, this set's */
    _Atomic uint64_t *refused;     /* closed at once */
    _Atomic uint64_t *busy;        /* with work under way; NULL: not counted */
    const _Atomic uint64_t *owed;  /* answers that a drain waits for */
    struct tls *tls;               /* NULL: plain */
    struct flood_penalty *penalty; /* NULL: none */
    bool (*opened)(struct conn *); /* calls conn_speak(), or returns false: out of memory */
};

struct conn_set {
    struct loop *loop;
    struct conn_set_conf conf;
    struct listener *listeners[CONN_SET_LISTENERS_MAX];
    size_t listener_count; /* until they have stopped */
    struct list conns;
    struct list dirty; /* connections with something to write at the tick's end */
    struct list held;  /* accepted, and their clients have to wait */
    size_t held_count;
    struct loop_hook flush;
    struct spare spare; /* for their buffers, and their requests' memory; released by its owner */
    bool draining;
    struct {
        void (*done)(void *ctx);
        void *ctx;
    } drained;
    struct timer drained_timer; /* calls drained.done on a turn of its own */
};

void conn_set_init(struct conn_set *set, struct loop *loop, const struct conn_set_conf *conf);
void conn_set_release(struct conn_set *set);

/* Serves what 'fd' (listening, taken over, also on failure) accepts; once for each socket. */
MUST_CHECK enum err conn_set_listen(struct conn_set *set, int fd);

/* Each connection is drained; clients may come back at once. */
void conn_set_send_away(struct conn_set *set);
/* Stops accepting, drains each connection, also those that the kernel has accepted already; then,
 * with none left and nothing owed, calls 'done' once, on a later turn. */
void conn_set_drain(struct conn_set *set, void (*done)(void *ctx), void *ctx);
/* Closes what is still open. */
void conn_set_abort(struct conn_set *set);
/* Something that was owed to nobody any more has been given. */
void conn_set_check_drained(struct conn_set *set);
/* For conn.c: nothing is left of it but its memory. */
void conn_set_gone(struct conn_set *set, struct conn *conn);

static inline bool conn_set_owes(const struct conn_set *set) {
    return !list_empty(&set->dirty);
}

/* One writing thread: a plain load and store is enough and cheaper than a locked add. */
static inline void conn_stat_add(_Atomic uint64_t *stat, uint64_t n) {
    atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

#endif
