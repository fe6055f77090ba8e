/* remote.h - the counter core in other processes: an upstream over gRPC, one per gateway loop.
 *
 * Keeps a channel to every counter address, asks each for its store (Hello) and sends messages only
 * to those of one and the same store; which one is core/peers.h's choice. Turns answers, lost
 * connections and deadlines into deliveries; the batcher retries, with the message's own number.
 *
 * Threads    A remote belongs to its loop; the shared part is read by all, its atomics say more.
 */
#ifndef GATEWAY_REMOTE_H
#define GATEWAY_REMOTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/metrics.h"
#include "core/batcher.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct remote;

/* What the remotes of one process share. */
struct remote_fleet;

/* NULL when memory runs out or config->counter holds no address. */
struct remote_fleet *remote_fleet_new(const struct config *config, struct metrics *metrics,
                                      struct resolver *resolver);
/* All remotes are closed. NULL is fine. */
void remote_fleet_free(struct remote_fleet *fleet);

/* Some counter can be reached, from at least one loop. Any thread. */
bool remote_fleet_up(const struct remote_fleet *fleet);

/* The upstream for a loop's batcher; answers come to 'delivered'. NULL when memory runs out. */
struct remote *remote_new(struct remote_fleet *fleet, struct loop *loop, unsigned shard,
                          void (*delivered)(void *ctx, struct delivery *delivery), void *ctx);
struct upstream *remote_upstream(struct remote *remote);

/* The store's clock minus the loop's, as best known; 0 before the first Hello (nothing can be sent
 * before it). */
int64_t remote_clock_ahead_ms(const struct remote *remote);

/* Closes the channels, then calls closed() once; every delivery has come back by then. The remote
 * is gone. */
void remote_close(struct remote *remote, void (*closed)(void *ctx), void *ctx);

#endif
