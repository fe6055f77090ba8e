/* profile.c - dice before the run. */
#include "profile.h"

#include <inttypes.h>

#define DOUBLES_SOON_MS      3000
#define DOUBLES_LATE_MS      40000
#define DOUBLES_VERY_LATE_MS 240000

static unsigned one_of(struct rng *rng, const unsigned *choices, size_t count) {
    return choices[rng_next(rng) % count];
}

#define ONE_OF(rng, ...)                                                                           \
    one_of((rng), (const unsigned[]){__VA_ARGS__},                                                 \
           sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

/* One store owner that gateways reach over connections, or two front ends of a shared store. */
static void make_split(struct profile *profile, struct rng *rng) {
    profile->split = rng_chance(rng, 70);
    if (!profile->split)
        return;
    profile->shared = rng_chance(rng, 60);
    profile->foreign = rng_chance(rng, 20);
    profile->counters = 1u + profile->shared + profile->foreign;
    profile->break_permille = ONE_OF(rng, 0, 5, 20, 80);
    profile->counter_trouble_permille = ONE_OF(rng, 0, 5, 20, 60);
}

static struct profile make_embedded(struct rng *rng) {
    struct profile profile = {
        .local = rng_chance(rng, 60),
        .gateways = ONE_OF(rng, 1, 2, 3),
        .groups = ONE_OF(rng, 1, 1, 2, 3),
        .lanes = ONE_OF(rng, 1, 2, 8),
        .cache_counters = ONE_OF(rng, 1, 4, 64),
        .coalesce = rng_chance(rng, 75),
        .ops = (unsigned)rng_in(rng, 50, 400),
        .ops_max = ONE_OF(rng, 1, 2, 8, 32),
        .read_percent = 15,
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

    make_split(&profile, rng);
    /* Many small messages past one that is stuck: what the window's span is for. */
    if (rng_chance(rng, 20)) {
        profile.gateways = 1;
        profile.ops_max = 1;
        profile.in_flight_max = ONE_OF(rng, 4, 32);
        profile.lose_percent = 20;
        profile.break_permille = 20;
        profile.attempt_ms = 400;
    }
    return profile;
}

/* Gateways with the store's clients inside, or gateways and counters. */
static void make_redis(struct profile *profile, struct rng *rng) {
    static const int64_t pauses_ms[] = {0, 400, 1500, 1500, 5000};

    profile->masters = 1;
    profile->ack = (enum sim_ack)ONE_OF(rng, SIM_FAST, SIM_LOCAL, SIM_REPLICATED, SIM_REPLICATED,
                                        SIM_REPLICATED);
    profile->redis_syncs = profile->ack != SIM_FAST || rng_chance(rng, 30);
    profile->redis_lines = ONE_OF(rng, 1, 2, 2, 3);
    profile->redis_response_ms = ONE_OF(rng, 300, 1000, 1000, 2500);
    profile->redis_trouble_ms = pauses_ms[rng_next(rng) % ARRAY_LEN(pauses_ms)];
    profile->redis_lag_percent = ONE_OF(rng, 0, 5, 30);
    profile->crash_permille = ONE_OF(rng, 0, 0, 5, 20);
    profile->relays = ONE_OF(rng, 0, 1, 2, 3);
    profile->read_percent = ONE_OF(rng, 15, 15, 60);
    if (!profile->split)
        return;
    profile->shared = true;
    profile->counters = 2u + profile->foreign;
}

/* Several masters, lanes that move between them, messages that touch several. */
static void make_cluster(struct profile *profile, struct rng *rng) {
    static const int64_t pauses_ms[] = {0, 300, 1500, 4000};
    static const int64_t troubles_ms[] = {0, 1500, 5000, 10000};

    profile->masters = ONE_OF(rng, 2, 3);
    profile->redis_lines = profile->masters; /* one to each */
    profile->lanes = ONE_OF(rng, 3, 8, 8);
    profile->ops_max = ONE_OF(rng, 2, 8, 32);
    profile->move_ms = pauses_ms[rng_next(rng) % ARRAY_LEN(pauses_ms)];
    profile->redis_trouble_ms = troubles_ms[rng_next(rng) % ARRAY_LEN(troubles_ms)];
    /* "Keep them within seconds" (ADR 12): an hour's step and a failover would part the nodes'. */
    profile->clock_steps = false;
    /* Without the split the calls are made where the messages are: nothing comes twice. With it a
     * connection that has broken leaves its messages' outcome unknown. */
    if (!profile->split)
        profile->double_percent = 0;
}

struct profile profile_make(struct rng *rng, enum sim_suite suite) {
    struct profile profile = make_embedded(rng);

    if (suite != SUITE_EMBEDDED)
        make_redis(&profile, rng);
    if (suite == SUITE_CLUSTER)
        make_cluster(&profile, rng);
    return profile;
}

void profile_trace(const struct profile *p, struct trace *trace) {
    static const char *const acks[] = {"fast", "local", "replicated"};

    TRACE(trace,
          "%s, %u gateways, %u lanes, %u operations, %u per message, %u in flight, attempts of "
          "%" PRId64 " ms, coalesce %d, cache %u",
          p->local ? "local" : "fast", p->gateways, p->lanes, p->ops, p->ops_max, p->in_flight_max,
          p->attempt_ms, p->coalesce, p->cache_counters);
    if (p->split)
        TRACE(trace, "split: %u counters%s%s; break %u/1000, counters %u/1000", p->counters,
              p->shared ? ", the store outside" : "", p->foreign ? ", the last one foreign" : "",
              p->break_permille, p->counter_trouble_permille);
    if (p->masters)
        TRACE(trace,
              "redis: %u masters, a move every %" PRId64
              " ms, %s, appendfsync %s, %u connections, answers within %" PRId64
              " ms, a trouble every %" PRId64 " ms, lag %u%%, %u relays",
              p->masters, p->move_ms, acks[p->ack], p->redis_syncs ? "always" : "everysec",
              p->redis_lines, p->redis_response_ms, p->redis_trouble_ms, p->redis_lag_percent,
              p->relays);
    TRACE(trace,
          "troubles: refuse %u%%, lose %u%%, slow %u%%, double %u%% within %" PRId64
          " ms, crash %u/1000, power %u%%, failing commits %u/1000, failing reads %u/1000, "
          "gateways %u/1000, clock steps %d, silences %d",
          p->refuse_percent, p->lose_percent, p->slow_percent, p->double_percent, p->double_max_ms,
          p->crash_permille, p->power_percent, p->fail_commit_permille, p->fail_read_permille,
          p->gateway_trouble_permille, p->clock_steps, p->silences);
}
