/* way.h - how what one loop sends reaches the store, wherever that is.
 *
 *     the gateway's batches ──┐         ┌─► ports ───► the store's thread in this process
 *     batches of gRPC calls ──┼─► way ──┼─► ports ───► a Redis
 *     gateways' messages ─────┘         └─► remote ──► counters elsewhere (the first row alone)
 *
 * Threads    The loop's.
 * Order      open ─► senders are made ─► connect … close (the senders have drained) ─► release
 */
#ifndef CLI_WAY_H
#define CLI_WAY_H

#include "base/attr.h"
#include "counter/redis_store.h"
#include "counter/service.h"
#include "gateway/analytics_remote.h"
#include "gateway/remote.h"

/* Of the process; one of the first three, the others are NULL, but with a canary redis and remotes.
 * None: it counts nothing. */
struct ways {
    struct counter_service *counter;
    struct redis_fleet *redis;
    struct remote_fleet *remotes;
    struct counter_service *events;    /* the counter, if others may follow its events */
    struct analytics_fleet *analytics; /* where questions go; NULL: not elsewhere */
};

enum way_sender { WAY_GATEWAY, WAY_CALLS, WAY_MESSAGES, WAY_SENDERS };

struct way_user {
    void *ctx;
    void (*delivered[WAY_SENDERS])(void *ctx, struct delivery *delivery); /* NULL: no such sender */
    void (*clock_learned)(void *ctx, int64_t ahead_ms);
    /* With a canary: of its way through counters elsewhere. */
    void (*canary_delivered)(void *ctx, struct delivery *delivery);
    void (*canary_clock_learned)(void *ctx, int64_t ahead_ms);
    /* As struct redis_store_user, struct remote_user; never where way_tells() is false. */
    void (*changed)(void *ctx, bool up);
};

struct way { /* zeroed: not open */
    struct counter_port *ports[WAY_SENDERS];
    struct redis_store *redis;
    struct redis_port redis_ports[WAY_SENDERS];
    struct remote *remote;
    bool nowhere; /* what is sent is refused */
    struct analytics_remote *analytics;
    unsigned closing; /* of the three above, those that still close */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* False when memory runs out: close and release it all the same. */
MUST_CHECK bool way_open(struct way *way, const struct ways *ways, struct loop *loop,
                         unsigned shard, const struct way_user *user);

/* NULL: no questions go elsewhere. */
struct analytics_upstream *way_analytics(struct way *way);

/* NULL: not open for this sender. */
struct upstream *way_upstream(struct way *way, enum way_sender sender);

/* The canary's way for the gateway; NULL: there is none. */
struct upstream *way_canary(struct way *way);

/* False when memory runs out. */
MUST_CHECK bool way_connect(struct way *way);

/* changed() will be called, as soon as it is known whether what is elsewhere can be used. */
bool way_tells(const struct way *way);

/* There is something that takes turns of the loop to close. */
bool way_must_close(const struct way *way);

/* Only then. Every delivery comes back, then closed() runs once. */
void way_close(struct way *way, void (*closed)(void *ctx), void *ctx);

void way_release(struct way *way);

#endif
