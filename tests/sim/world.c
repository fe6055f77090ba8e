/* world.c - a seed's profile, its run, and the calm at the end. */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "clients.h"
#include "counter.h"
#include "gateway.h"
#include "kafka.h"
#include "relays.h"
#include "store.h"

/* 2025-01-01, as the store's clock has to be far from 0. */
#define WALL_START_MS INT64_C(1735689600000)
#define CALM_AFTER_MS INT64_C(3600000)

static void start(struct world *world, uint64_t seed, enum sim_suite suite, bool keep) {
    *world = (struct world){.seed = seed, .rng = {seed * 0x9e3779b97f4a7c15u + 1}};
    world->wall_ahead_ms = WALL_START_MS;
    trace_init(&world->trace, keep, &world->agenda.now_ms);
    world->profile = profile_make(&world->rng, suite);
    TRACE(&world->trace, "seed %" PRIu64, seed);
    profile_trace(&world->profile, &world->trace);
    history_init(&world->history, &world->trace, world->profile.groups);
    store_new(world);
    for (unsigned i = 0; i < world->profile.counters; i++)
        world->counters[i] =
            counter_new(world, i, world->profile.foreign && i + 1 == world->profile.counters);
    for (unsigned i = 0; i < world->profile.gateways; i++)
        world->gateways[i] = gateway_new(world, i);
    world->clients = clients_new(world);
    if (world->profile.relays) {
        world->kafka = kafka_new(world);
        world->relays = relays_new(world);
    }
}

static bool gateways_idle(const struct world *world) {
    for (unsigned i = 0; i < world->profile.gateways; i++)
        if (!world->gateways[i]->batcher || !batcher_idle(world->gateways[i]->batcher))
            return false;
    return true;
}

/* Troubles end when the last operation was begun; then everything has to come to rest, and
 * what is still under way in the network arrives. */
static void run(struct world *world) {
    int64_t end_ms = INT64_MAX;

    while (agenda_step(&world->agenda) ||
           (world->relays && world->agenda.count == 0 && relays_go_on(world->relays))) {
        if (!world->calm && clients_begun(world->clients)) {
            TRACE(&world->trace, "calm");
            world->calm = true;
            end_ms = world_now(world) + CALM_AFTER_MS;
        }
        /* Only housekeeping is left. */
        if (world->calm && world->agenda.count <= 1 && clients_done(world->clients) &&
            gateways_idle(world))
            world->over = true;
        if (world_now(world) > end_ms && !world->over) {
            trace_violation(&world->trace, -1, "doesn't come to rest");
            world->over = true;
        }
    }
}

static void stop(struct world *world) {
    if (world->relays) {
        relays_free(world->relays);
        kafka_free(world->kafka);
    }
    for (unsigned i = 0; i < world->profile.gateways; i++)
        gateway_free(world->gateways[i]);
    for (unsigned i = 0; i < world->profile.counters; i++)
        counter_free(world->counters[i]);
    store_free(world);
    clients_free(world->clients);
    history_release(&world->history);
    agenda_release(&world->agenda);
    trace_release(&world->trace);
}

static void first_line(const struct buf *lines, char *out, size_t bytes) {
    (void)snprintf(out, bytes, "%.*s", (int)strcspn(lines->ptr, "\n"), lines->ptr);
}

struct world_result world_run(uint64_t seed, enum sim_suite suite, size_t timeline) {
    struct world world;
    struct world_result result = {0};

    start(&world, seed, suite, timeline > 0);
    run(&world);
    result.events = check_store(&world.history, store_last_look(&world));
    if (world.kafka) {
        kafka_check(world.kafka);
        result.records = kafka_records(world.kafka);
    }
    result.violations = world.trace.violations;
    result.operations = world.history.ops_count;
    result.crashes = store_crashes(&world);
    result.moves = store_moves(&world);
    for (size_t i = 0; i < world.history.ops_count; i++)
        result.acked += world.history.ops[i]->belief == BELIEF_ACKED;
    if (result.violations)
        first_line(&world.trace.kept, result.first, sizeof(result.first));
    if (timeline && result.violations) {
        printf("seed %" PRIu64 ": ", seed);
        trace_print(&world.trace, timeline);
    }
    stop(&world);
    return result;
}
