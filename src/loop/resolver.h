/* resolver.h - names to addresses without blocking a loop.
 *
 * One thread for the process asks the system's resolver (getaddrinfo); answers come to the asking
 * loop as mail. Numeric addresses and "localhost" never leave the caller's thread.
 *
 * Threads    resolver_new/free by the process; the rest on the thread of the asking loop.
 * Ownership  A query lives from resolver_ask() until done() or resolver_cancel(). What done() gets
 *            is borrowed for the call.
 * Limits     One question at a time: a name server that doesn't answer holds up the others' names
 *            for as long as the system's resolver tries. Whoever asks has a deadline and cancels.
 */
#ifndef LOOP_RESOLVER_H
#define LOOP_RESOLVER_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

struct loop;
struct resolver;
struct resolver_query;

#define RESOLVER_ADDRESSES_MAX 16

struct resolved {
    struct sockaddr_storage addresses[RESOLVER_ADDRESSES_MAX];
    socklen_t lens[RESOLVER_ADDRESSES_MAX];
    size_t count;
};

/* NULL when memory or descriptors run out. */
struct resolver *resolver_new(void);
/* No query may be open; a cancelled one isn't waited for. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* Asks for "host:port" (also "[v6]:port", "localhost:port"). done() comes once, on a later turn:
 * the addresses in the resolver's order, or a sentence why there are none. NULL when memory runs
 * out. */
typedef void (*resolved_fn)(void *ctx, const struct resolved *resolved, const char *problem);
struct resolver_query *resolver_ask(struct resolver *resolver, struct loop *loop,
                                    struct slice address, resolved_fn done, void *ctx);

/* done() won't come. NULL is fine. */
void resolver_cancel(struct resolver_query *query);

#endif
