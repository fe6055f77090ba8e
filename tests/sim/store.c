/* store.c - one or the other. */
#include "store.h"

#include "cluster.h"
#include "owner.h"
#include "redis_client.h"
#include "world.h"

void store_new(struct world *world) {
    if (!world->profile.masters) {
        world->owner = owner_new(world);
        return;
    }
    world->cluster = cluster_new(world);
    for (unsigned i = 0; i < PROCESSES_MAX; i++)
        world->redis_clients[i] = redis_client_new(world, i);
}

void store_free(struct world *world) {
    for (unsigned i = 0; i < PROCESSES_MAX && world->cluster; i++)
        redis_client_free(world->redis_clients[i]);
    if (world->cluster)
        cluster_free(world->cluster);
    else
        owner_free(world->owner);
}

void store_receive(struct world *world, unsigned process, struct job *job) {
    if (world->cluster)
        redis_client_receive(world->redis_clients[process], job);
    else
        owner_receive(world->owner, job);
}

bool store_reachable(const struct world *world, unsigned process) {
    return world->cluster ? redis_client_usable(world->redis_clients[process])
                          : owner_running(world->owner);
}

void store_user_died(struct world *world, unsigned process) {
    if (world->cluster)
        redis_client_die(world->redis_clients[process]);
}

int64_t store_clock_ahead_ms(const struct world *world) {
    return world->cluster ? cluster_clock_ahead_ms(world->cluster)
                          : owner_clock_ahead_ms(world->owner);
}

struct kv *store_last_look(struct world *world) {
    return world->cluster ? cluster_last_look(world->cluster) : owner_last_restart(world->owner);
}

size_t store_crashes(const struct world *world) {
    return world->cluster ? cluster_crashes(world->cluster) : owner_crashes(world->owner);
}

size_t store_moves(const struct world *world) {
    return world->cluster ? cluster_moves(world->cluster) : 0;
}
