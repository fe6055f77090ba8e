/* remote.h - the counter core in other processes: an upstream over gRPC, one per gateway loop.
 *
 * Keeps a channel to every counter address, asks each for its store (Hello) and sends messages only
 * to those of one and the same store; which one is core/peers.h's choice. Addresses may come and
 * go: one that goes gets no more messages, and its channel is closed when the last one is answered.
 * Turns answers, lost connections and deadlines into deliveries; the batcher retries, with the
 * message's own number.
 *
 * Threads    A remote belongs to its loop. The fleet is what the remotes of one process share; any
 *            thread may ask it.
 * Ownership  Borrows loop, fleet, config, metrics and resolver.
 * Callbacks  Never inside the function that leads to them, but for what remote_close() says.
 */
#ifndef GATEWAY_REMOTE_H
#define GATEWAY_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/instance.h"
#include "base/metrics.h"
#include "core/batcher.h"
#include "gateway/gateway.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct remote;
struct remote_fleet;
struct tls;

/* To the counters of config->counter, unless discovery is to find others, under 'tls' (NULL:
 * plain). Before any loop starts. NULL when memory runs out. */
struct remote_fleet *remote_fleet_new(const struct config *config, struct metrics *metrics,
                                      struct resolver *resolver, struct tls *tls);
/* All remotes are closed. NULL is fine. */
void remote_fleet_free(struct remote_fleet *fleet);

/* These are the counters from now on; loops hear of it by mail. Any thread, one call at
 * a time, also while loops run. False: not all have found a place, because others that are leaving
 * still have theirs, or there are more than INSTANCES_MAX; call again later. */
bool remote_fleet_set(struct remote_fleet *fleet, const struct instances *counters);

/* Counters of this store only ('of' says which; 0: it isn't known yet), instead of that of the
 * first one seen. Before any loop starts. */
void remote_fleet_only(struct remote_fleet *fleet, uint64_t (*of)(void *ctx), void *ctx);

/* What a gateway that counts through this fleet says of its store. */
struct gateway_backend remote_fleet_backend(struct remote_fleet *fleet);

struct remote_user {
    void *ctx;
    /* An attempt has come back, well or not. */
    void (*delivered)(void *ctx, struct delivery *delivery);
    /* The store's clock minus the loop's, as best known: before the first message can be sent, and
     * whenever an answer has told more. */
    void (*clock_learned)(void *ctx, int64_t ahead_ms);
    /* The first counter can be used; or each of them has been tried in vain, which is told once.
     * NULL: nobody waits for it. */
    void (*changed)(void *ctx, bool up);
};

/* On the loop's thread. 'shard' is the loop's in the metrics. NULL when memory runs out. */
struct remote *remote_new(struct remote_fleet *fleet, struct loop *loop, unsigned shard,
                          const struct remote_user *user);

/* Begins to connect. Once, behind the making of the batcher that sends through it: channels write
 * at a tick's end, in the order of making, and what the batcher sends shall leave in the same tick.
 */
void remote_connect(struct remote *remote);

/* For the loop's batcher. send() answers ERR_UNREACHABLE while no counter is usable; for
 * most of timeouts.request_ms from the moment the last one went, its batcher waits instead. */
struct upstream *remote_upstream(struct remote *remote);

/* Closes the channels, then calls closed() once, on a later turn (or before it returns, when there
 * is no channel). Every delivery has come back by then, and the remote is gone. */
void remote_close(struct remote *remote, void (*closed)(void *ctx), void *ctx);

#endif
