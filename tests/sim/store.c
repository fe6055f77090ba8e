/* store.c - one or the other. */
#include "store.h"

#include "owner.h"
#include "redis.h"
#include "redis_client.h"
#include "world.h"

void store_new(struct world *world) {
    if (!world->profile.redis) {
        world->owner = owner_new(world);
        return;
    }
    world->redis = redis_new(world);
    for (unsigned i = 0; i < PROCESSES_MAX; i++)
        world->redis_clients[i] = redis_client_new(world, i);
}

void store_free(struct world *world) {
    for (unsigned i = 0; i < PROCESSES_MAX && world->redis; i++)
        redis_client_free(world->redis_clients[i]);
    if (world->redis)
        redis_free(world->redis);
    else
        owner_free(world->owner);
}

void store_receive(struct world *world, unsigned process, struct job *job) {
    if (world->redis)
        redis_client_receive(world->redis_clients[process], job);
    else
        owner_receive(world->owner, job);
}

bool store_reachable(const struct world *world, unsigned process) {
    return world->redis ? redis_client_usable(world->redis_clients[process])
                        : owner_running(world->owner);
}

void store_user_died(struct world *world, unsigned process) {
    if (world->redis)
        redis_client_die(world->redis_clients[process]);
}

int64_t store_clock_ahead_ms(const struct world *world) {
    return world->redis ? redis_clock_ahead_ms(world->redis) : owner_clock_ahead_ms(world->owner);
}

struct kv *store_last_look(struct world *world) {
    return world->redis ? redis_last_look(world->redis) : owner_last_restart(world->owner);
}

size_t store_crashes(const struct world *world) {
    return world->redis ? redis_crashes(world->redis) : owner_crashes(world->owner);
}
