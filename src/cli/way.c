/* way.c - three ways with one face. */
#include "cli/way.h"

static bool open_ports(struct way *way, struct counter_service *counter, struct loop *loop,
                       const struct way_user *user) {
    for (unsigned i = 0; i < WAY_SENDERS; i++) {
        if (!user->delivered[i])
            continue;
        way->ports[i] =
            counter_port_new(counter, loop_mailbox(loop), user->delivered[i], user->ctx);
        if (!way->ports[i])
            return false;
    }
    return true;
}

static bool open_redis(struct way *way, struct redis_fleet *fleet, struct loop *loop,
                       unsigned shard, const struct way_user *user) {
    struct redis_store_user own = {
        .ctx = user->ctx, .clock_learned = user->clock_learned, .changed = user->changed};

    way->redis = redis_store_new(fleet, loop, shard, &own);
    for (unsigned i = 0; way->redis && i < WAY_SENDERS; i++)
        if (user->delivered[i])
            redis_port_init(&way->redis_ports[i], way->redis, user->delivered[i], user->ctx);
    return way->redis != NULL;
}

static bool open_remote(struct way *way, struct remote_fleet *fleet, struct loop *loop,
                        unsigned shard, const struct remote_user *user) {
    way->remote = remote_new(fleet, loop, shard, user);
    return way->remote != NULL;
}

static bool open_analytics(struct way *way, struct analytics_fleet *fleet, struct loop *loop) {
    way->analytics = analytics_remote_new(fleet, loop);
    return way->analytics != NULL;
}

bool way_open(struct way *way, const struct ways *ways, struct loop *loop, unsigned shard,
              const struct way_user *user) {
    if (ways->analytics && user->delivered[WAY_GATEWAY] &&
        !open_analytics(way, ways->analytics, loop))
        return false;
    struct remote_user only = {user->ctx, user->delivered[WAY_GATEWAY], user->clock_learned,
                               user->changed};
    struct remote_user canary = {user->ctx, user->canary_delivered, user->canary_clock_learned,
                                 NULL};
    if (ways->redis && !open_redis(way, ways->redis, loop, shard, user))
        return false;
    if (ways->remotes && (!ways->redis || canary.delivered))
        return open_remote(way, ways->remotes, loop, shard, ways->redis ? &canary : &only);
    if (ways->redis)
        return true;
    way->nowhere = !ways->counter;
    return way->nowhere || open_ports(way, ways->counter, loop, user);
}

/* Of a process that counts nothing. */
static enum err send_nowhere(struct upstream *upstream, struct delivery *delivery) {
    (void)upstream, (void)delivery;
    return ERR_NOT_IMPL;
}

static struct upstream nowhere = {.send = send_nowhere};

struct upstream *way_upstream(struct way *way, enum way_sender sender) {
    if (way->nowhere)
        return &nowhere;
    if (way->redis)
        return way->redis_ports[sender].store ? &way->redis_ports[sender].upstream : NULL;
    if (way->remote)
        return sender == WAY_GATEWAY ? remote_upstream(way->remote) : NULL;
    return way->ports[sender] ? counter_port_upstream(way->ports[sender]) : NULL;
}

struct analytics_upstream *way_analytics(struct way *way) {
    return way->analytics ? analytics_remote_upstream(way->analytics) : NULL;
}

struct upstream *way_canary(struct way *way) {
    return way->redis && way->remote ? remote_upstream(way->remote) : NULL;
}

bool way_connect(struct way *way) {
    if (way->remote)
        remote_connect(way->remote);
    return !way->redis || redis_store_connect(way->redis);
}

bool way_tells(const struct way *way) {
    return way->redis || way->remote;
}

bool way_must_close(const struct way *way) {
    return way->redis || way->remote || way->analytics;
}

static void on_closed(void *ctx) {
    struct way *way = ctx;

    if (--way->closing > 0)
        return;
    way->redis = NULL;
    way->remote = NULL;
    way->analytics = NULL;
    way->closed(way->closed_ctx);
}

void way_close(struct way *way, void (*closed)(void *ctx), void *ctx) {
    way->closed = closed;
    way->closed_ctx = ctx;
    way->closing = (way->redis ? 1u : 0u) + (way->remote ? 1u : 0u) + (way->analytics ? 1u : 0u);
    if (way->analytics)
        analytics_remote_close(way->analytics, on_closed, way);
    if (way->redis)
        redis_store_close(way->redis, on_closed, way);
    if (way->remote)
        remote_close(way->remote, on_closed, way);
}

void way_release(struct way *way) {
    for (unsigned i = 0; i < WAY_SENDERS; i++)
        counter_port_free(way->ports[i]);
}
