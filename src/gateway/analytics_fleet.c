/* analytics_fleet.c - which analytics instances there are, and what is known of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/analytics_remote_internal.h"

bool analytics_are_found(const struct config *config) {
    return strcmp(config->gateway_analytics, "discovery") == 0 ||
           strncmp(config->discovery_url, "dns", 3) == 0;
}

static void read_addresses(struct analytics_fleet *fleet) {
    struct slice list = slice_str(fleet->config->gateway_analytics);
    struct instances set = {.count = 0};

    while (list.len) {
        struct slice address = config_next_upstream(&list);
        struct instance *to = &set.instance[set.count++];

        (void)snprintf(to->address, sizeof(to->address), "%.*s", SLICE_ARGS(address));
    }
    (void)analytics_fleet_set(fleet, &set); /* nobody has a place yet */
}

struct analytics_fleet *analytics_fleet_new(const struct config *config, struct resolver *resolver,
                                            struct tls *tls) {
    struct analytics_fleet *fleet = calloc(1, sizeof(*fleet));

    if (!fleet)
        return NULL;
    fleet->config = config;
    fleet->resolver = resolver;
    fleet->tls = tls;
    fleet->found = analytics_are_found(config);
    atomic_init(&fleet->updated_s, clock_wall_ms() / 1000);
    analytics_set_init(fleet);
    if (!fleet->found)
        read_addresses(fleet);
    return fleet;
}

void analytics_fleet_free(struct analytics_fleet *fleet) {
    if (!fleet)
        return;
    place_set_release(&fleet->places);
    free(fleet);
}

/* ---- what connections report ---- */

void analytics_fleet_ready(struct analytics_fleet *fleet, size_t index, int by) {
    struct analytics_instance *instance = &fleet->instances[index];

    atomic_store(&fleet->updated_s, clock_wall_ms() / 1000);
    if (atomic_fetch_add(&instance->ready, by) + by < atomic_load(&fleet->loops) || by < 0)
        return; /* some loop is without it */
    place_set_lock(&fleet->places);
    instance->problem[0] = '\0';
    place_set_unlock(&fleet->places);
    log_line(LOG_INFO, "analytics can be reached",
             LOG_STR("analytics", analytics_fleet_address(fleet, index)));
}

bool analytics_fleet_there(const struct analytics_fleet *fleet, size_t index) {
    return atomic_load(&fleet->instances[index].ready) > 0;
}

void analytics_fleet_problem(struct analytics_fleet *fleet, size_t index, const char *problem) {
    struct analytics_instance *instance = &fleet->instances[index];
    char text[ANALYTICS_PROBLEM_BYTES];

    (void)snprintf(text, sizeof(text), "%s", problem);
    place_set_lock(&fleet->places);
    bool news = strcmp(instance->problem, text) != 0;
    memcpy(instance->problem, text, sizeof(text));
    place_set_unlock(&fleet->places);
    if (news)
        log_line(LOG_WARN, "analytics can't be reached",
                 LOG_STR("analytics", analytics_fleet_address(fleet, index)),
                 LOG_STR("detail", text));
}

/* ---- what answers tell ---- */

static void log_coverage(const struct coverage *coverage, uint32_t missing, uint32_t doubled) {
    if (coverage->unlike)
        log_line(LOG_WARN, "analytics processes don't read the same topic: answers aren't exact");
    else if (missing || doubled)
        log_line(LOG_WARN,
                 "each partition must be counted by one analytics process: answers aren't exact, "
                 "and name those that aren't",
                 LOG_INT("partitions", coverage->of), LOG_INT("missing", missing),
                 LOG_INT("doubled", doubled));
    else
        log_line(LOG_INFO, "each partition is counted by one analytics process again",
                 LOG_INT("partitions", coverage->of));
}

void analytics_fleet_cover(struct analytics_fleet *fleet, const struct coverage *coverage) {
    uint32_t missing = coverage_missing(coverage);
    uint32_t doubled = coverage_doubled(coverage);

    if (coverage->moving || (coverage->of == 0 && coverage_whole(coverage)))
        return; /* it says so itself, for a while; or nobody knows */
    if (missing == atomic_load(&fleet->partitions.missing) &&
        doubled == atomic_load(&fleet->partitions.doubled) &&
        coverage->unlike == atomic_load(&fleet->partitions.unlike))
        return;
    place_set_lock(&fleet->places);
    bool news = atomic_exchange(&fleet->partitions.missing, missing) != missing;
    news |= atomic_exchange(&fleet->partitions.doubled, doubled) != doubled;
    news |= atomic_exchange(&fleet->partitions.unlike, coverage->unlike) != coverage->unlike;
    place_set_unlock(&fleet->places);
    if (news)
        log_coverage(coverage, missing, doubled);
}

/* ---- what the gateway asks ---- */

struct reached {
    size_t wanted;
    size_t reached; /* by every loop: one without a connection fails what comes to it */
    uint64_t connections;
    size_t away; /* the first that isn't; INSTANCES_MAX: all are */
};

/* Under the lock. */
static struct reached look(const struct analytics_fleet *fleet) {
    struct reached all = {.away = INSTANCES_MAX};

    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        int ready = atomic_load(&fleet->instances[i].ready);
        bool is = ready >= atomic_load(&fleet->loops);

        if (!fleet->places.place[i].wanted)
            continue;
        all.wanted++;
        all.reached += is;
        all.connections += (uint64_t)ready;
        if (!is && all.away == INSTANCES_MAX)
            all.away = i;
    }
    return all;
}

static struct reached look_locked(struct analytics_fleet *fleet) {
    place_set_lock(&fleet->places);
    struct reached all = look(fleet);
    place_set_unlock(&fleet->places);
    return all;
}

static bool up(void *ctx) {
    struct reached all = look_locked(ctx);

    return all.wanted > 0 && all.reached == all.wanted;
}

static void pool(void *ctx, struct gateway_pool *out) {
    struct analytics_fleet *fleet = ctx;
    struct reached all = look_locked(fleet);

    *out = (struct gateway_pool){.known = all.wanted,
                                 .instances = all.reached,
                                 .connections = all.connections,
                                 .updated_s = atomic_load(&fleet->updated_s)};
}

static bool problem(void *ctx, size_t index, struct gateway_problem *out) {
    struct analytics_fleet *fleet = ctx;

    if (index >= INSTANCES_MAX)
        return false;
    *out = (struct gateway_problem){.open = 0};
    place_set_lock(&fleet->places);
    if (fleet->places.place[index].wanted) {
        (void)snprintf(out->address, sizeof(out->address), "%s",
                       analytics_fleet_address(fleet, index));
        (void)snprintf(out->text, sizeof(out->text), "%s", fleet->instances[index].problem);
    }
    place_set_unlock(&fleet->places);
    return true;
}

static const char *why_away(const struct analytics_fleet *fleet, size_t index) {
    const char *problem = fleet->instances[index].problem;

    return problem[0] ? problem : "not connected yet";
}

static void down(void *ctx, char *out, size_t size) {
    struct analytics_fleet *fleet = ctx;

    (void)snprintf(out, size, "no analytics service can be reached");
    place_set_lock(&fleet->places);
    struct reached all = look(fleet);

    if (all.wanted == 0)
        (void)snprintf(out, size, "discovery has found no analytics service yet");
    else if (all.away < INSTANCES_MAX)
        (void)snprintf(out, size, "the analytics service at %s can't be reached: %s",
                       analytics_fleet_address(fleet, all.away), why_away(fleet, all.away));
    else if (fleet->found && atomic_load(&fleet->partitions.missing))
        (void)snprintf(out, size,
                       "%u partitions are counted by no analytics service that discovery has found",
                       atomic_load(&fleet->partitions.missing));
    place_set_unlock(&fleet->places);
}

static void partitions(void *ctx, uint32_t *out_missing, uint32_t *out_doubled) {
    const struct analytics_fleet *fleet = ctx;

    *out_missing = atomic_load(&fleet->partitions.missing);
    *out_doubled = atomic_load(&fleet->partitions.doubled);
}

struct gateway_service analytics_fleet_service(struct analytics_fleet *fleet) {
    return (struct gateway_service){
        .ctx = fleet,
        .up = up,
        .pool = pool,
        .problem = problem,
        .down = down,
        .partitions = partitions,
    };
}
