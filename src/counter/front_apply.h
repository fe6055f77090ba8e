/* front_apply.h - a gateway's messages: counter.internal.Lanes, for one loop.
 *
 * A message goes to the store as it came, with its producer's identity, by a way of its own:
 * merged under another identity a gateway's retry would count twice (RELIABILITY 3.2).
 *
 *     Apply ─► read ─► upstream ─► store ─► answers or a status
 *       └──────┴──────────┴─► refused before the store saw it: a status, and "hgp-not-applied: 1"
 *
 * A status other than OK has the error's name as a trailer (edge/lanes_codec.h), so that the
 * gateway has the very error; per-operation errors travel in the answers.
 *
 * Threads    The loop's thread.
 * Ownership  A message under way is copied. Its call isn't finished before the store has answered,
 *            cancelled or not, so a drain of the server waits for it.
 * Limits     struct front_apply_conf; beyond, RESOURCE_EXHAUSTED. A connection has the server's
 *            limit of streams, twice: with and without those it has reset.
 */
#ifndef COUNTER_FRONT_APPLY_H
#define COUNTER_FRONT_APPLY_H

#include <stddef.h>

#include "core/batcher.h"
#include "counter/backend.h"
#include "edge/grpc_server.h"
#include "loop/loop.h"

struct front_apply;

#define FRONT_APPLY_METHODS 2 /* Apply, Hello: in this order */

struct front_apply_conf {
    struct loop *loop;
    struct upstream *upstream;             /* borrowed, */
    const struct counter_backend *backend; /* like this */
    const char *version;
    size_t message_bytes_max; /* of one message, as the server has it */
    /* At the store and not answered yet. The server counts a request's bytes only until it is
     * handed over, so what waits behind it has a bound of its own. One message alone may always
     * go, whatever its size. */
    size_t messages_max;
    size_t bytes_max;
};

/* NULL when memory runs out. 'conf' is copied. */
struct front_apply *front_apply_new(const struct front_apply_conf *conf);

/* Nothing may be under way: the server has been drained. NULL is fine. */
void front_apply_free(struct front_apply *apply);

/* The upstream's answers come in here. */
void front_apply_delivered(struct front_apply *apply, struct delivery *delivery);

/* As front_set_clock() and front_set_serving(): Hello refuses while the store can't be used, so
 * that a gateway looks elsewhere. */
void front_apply_set_clock(struct front_apply *apply, int64_t clock_ahead_ms);
void front_apply_set_serving(struct front_apply *apply, bool serving);

void front_apply_methods(struct front_apply *apply, struct grpc_method out[FRONT_APPLY_METHODS]);

#endif
