/* world.c - a seed's profile, its run, and the calm at the end. */
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "clients.h"
#include "gateway.h"
#include "owner.h"

/* 2025-01-01, as the store's clock has to be far from 0. */
#define WALL_START_MS        INT64_C(1735689600000)
#define CALM_AFTER_MS        INT64_C(3600000)
#define DOUBLES_SOON_MS      3000
#define DOUBLES_LATE_MS      40000
#define DOUBLES_VERY_LATE_MS 240000

static unsigned one_of(struct rng *rng, const unsigned *choices, size_t count) {
    return choices[rng_next(rng) % count];
}

#define ONE_OF(rng, ...)                                                                           \
    one_of((rng), (const unsigned[]){__VA_ARGS__},                                                 \
           sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

static struct profile make_profile(struct rng *rng) {
    struct profile profile = {
        .local = rng_chance(rng, 60),
        .gateways = ONE_OF(rng, 1, 2, 3),
        .groups = ONE_OF(rng, 1, 1, 2, 3),
        .lanes = ONE_OF(rng, 1, 2, 8),
        .cache_counters = ONE_OF(rng, 1, 4, 64),
        .coalesce = rng_chance(rng, 75),
        .ops = (unsigned)rng_in(rng, 50, 400),
        .ops_max = ONE_OF(rng, 1, 2, 8, 32),
        .in_flight_max = ONE_OF(rng, 1, 2, 8, 32),
        .attempt_ms = ONE_OF(rng, 0, 150, 400, 400, 1000),
        .refuse_percent = ONE_OF(rng, 0, 0, 5, 30),
        .lose_percent = ONE_OF(rng, 0, 2, 10, 30),
        .slow_percent = ONE_OF(rng, 0, 5, 20),
        .double_percent = ONE_OF(rng, 0, 5, 20),
        .double_max_ms =
            ONE_OF(rng, DOUBLES_SOON_MS, DOUBLES_LATE_MS, DOUBLES_LATE_MS, DOUBLES_VERY_LATE_MS),
        .crash_permille = ONE_OF(rng, 0, 5, 20, 60),
        .power_percent = ONE_OF(rng, 0, 50, 100),
        .fail_commit_permille = ONE_OF(rng, 0, 0, 10, 30),
        .fail_read_permille = ONE_OF(rng, 0, 0, 0, 10),
        .gateway_trouble_permille = ONE_OF(rng, 0, 0, 5, 20),
        .clock_steps = rng_chance(rng, 30),
        .silences = rng_chance(rng, 30),
    };

    /* Many small messages past one that is stuck: what the window's span is for. */
    if (rng_chance(rng, 20)) {
        profile.gateways = 1;
        profile.ops_max = 1;
        profile.in_flight_max = ONE_OF(rng, 4, 32);
        profile.lose_percent = 20;
        profile.attempt_ms = 400;
    }
    return profile;
}

static void trace_profile(struct world *world) {
    const struct profile *p = &world->profile;

    TRACE(&world->trace,
          "seed %" PRIu64 ": %s, %u gateways, %u lanes, %u operations, %u per message, %u in "
          "flight, attempts of %" PRId64 " ms, coalesce %d, cache %u",
          world->seed, p->local ? "local" : "fast", p->gateways, p->lanes, p->ops, p->ops_max,
          p->in_flight_max, p->attempt_ms, p->coalesce, p->cache_counters);
    TRACE(&world->trace,
          "troubles: refuse %u%%, lose %u%%, slow %u%%, double %u%% within %" PRId64
          " ms, crash %u/1000, power %u%%, failing commits %u/1000, failing reads %u/1000, "
          "gateways %u/1000, "
          "clock steps %d, silences %d",
          p->refuse_percent, p->lose_percent, p->slow_percent, p->double_percent, p->double_max_ms,
          p->crash_permille, p->power_percent, p->fail_commit_permille, p->fail_read_permille,
          p->gateway_trouble_permille, p->clock_steps, p->silences);
}

static void start(struct world *world, uint64_t seed, bool keep) {
    *world = (struct world){.seed = seed, .rng = {seed * 0x9e3779b97f4a7c15u + 1}};
    world->wall_ahead_ms = WALL_START_MS;
    trace_init(&world->trace, keep, &world->agenda.now_ms);
    world->profile = make_profile(&world->rng);
    trace_profile(world);
    history_init(&world->history, &world->trace, world->profile.groups);
    world->owner = owner_new(world);
    for (unsigned i = 0; i < world->profile.gateways; i++)
        world->gateways[i] = gateway_new(world, i);
    world->clients = clients_new(world);
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

    while (agenda_step(&world->agenda)) {
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
    for (unsigned i = 0; i < world->profile.gateways; i++)
        gateway_free(world->gateways[i]);
    owner_free(world->owner);
    clients_free(world->clients);
    history_release(&world->history);
    agenda_release(&world->agenda);
    trace_release(&world->trace);
}

static void first_line(const struct buf *lines, char *out, size_t bytes) {
    (void)snprintf(out, bytes, "%.*s", (int)strcspn(lines->ptr, "\n"), lines->ptr);
}

struct world_result world_run(uint64_t seed, size_t timeline) {
    struct world world;
    struct world_result result = {0};

    start(&world, seed, timeline > 0);
    run(&world);
    result.events = check_store(&world.history, owner_last_restart(world.owner));
    result.violations = world.trace.violations;
    result.operations = world.history.ops_count;
    result.crashes = owner_crashes(world.owner);
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
