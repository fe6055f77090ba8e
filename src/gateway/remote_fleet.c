/* remote_fleet.c - which store this process counts into, and who serves it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/remote_internal.h"

_Static_assert(CONFIG_UPSTREAMS_MAX <= INSTANCES_MAX && INSTANCES_MAX <= PEERS_MAX,
               "every address that can be configured is a peer");

static void read_addresses(struct remote_fleet *fleet) {
    struct slice list = slice_str(fleet->config->counter);
    struct instances counters = {.count = 0};

    while (list.len) {
        struct slice address = config_next_upstream(&list);
        struct instance *to = &counters.instance[counters.count++];

        (void)snprintf(to->address, sizeof(to->address), "%.*s", SLICE_ARGS(address));
        to->weight = 1;
    }
    (void)remote_fleet_set(fleet, &counters); /* nobody has a place yet */
}

struct remote_fleet *remote_fleet_new(const struct config *config, struct metrics *metrics,
                                      struct resolver *resolver, struct tls *tls) {
    struct remote_fleet *fleet = calloc(1, sizeof(*fleet));

    if (!fleet)
        return NULL;
    fleet->config = config;
    fleet->metrics = metrics;
    fleet->resolver = resolver;
    fleet->tls = tls;
    fleet->promise = (struct gateway_promise){"unknown", "no counter has been reached yet"};
    atomic_init(&fleet->updated_s, clock_wall_ms() / 1000);
    remote_set_init(fleet);
    if (strcmp(config->discovery_url, "static") == 0)
        read_addresses(fleet);
    if (remote_series_make(fleet))
        return fleet;
    remote_fleet_free(fleet);
    return NULL;
}

void remote_fleet_free(struct remote_fleet *fleet) {
    if (!fleet)
        return;
    place_set_release(&fleet->places);
    free(fleet->series.requests);
    free(fleet);
}

/* ---- what connections report ---- */

void remote_fleet_only(struct remote_fleet *fleet, uint64_t (*of)(void *ctx), void *ctx) {
    fleet->only_store = of;
    fleet->only_store_ctx = ctx;
}

bool remote_fleet_knows_store(const struct remote_fleet *fleet) {
    return !fleet->only_store || fleet->only_store(fleet->only_store_ctx) != 0;
}

bool remote_fleet_same_store(struct remote_fleet *fleet, uint64_t store_id) {
    uint64_t ours = 0;

    if (store_id == 0)
        return false; /* a store's id is never 0: whoever says so has none */
    if (fleet->only_store)
        return store_id == fleet->only_store(fleet->only_store_ctx);
    return atomic_compare_exchange_strong(&fleet->store_id, &ours, store_id) || ours == store_id;
}

static void copy_text(char *out, size_t size, struct slice text) {
    (void)snprintf(out, size, "%.*s", SLICE_ARGS(text));
}

void remote_fleet_learn(struct remote_fleet *fleet, const struct lanes_hello *hello) {
    struct gateway_promise *promise = &fleet->promise;

    place_set_lock(&fleet->places);
    copy_text(promise->durability, sizeof(promise->durability), hello->durability);
    copy_text(promise->guarantee, sizeof(promise->guarantee), hello->guarantee);
    place_set_unlock(&fleet->places);
}

void remote_fleet_usable(struct remote_fleet *fleet, size_t index, bool usable) {
    struct remote_counter *counter = &fleet->counter[index];

    atomic_store(&fleet->updated_s, clock_wall_ms() / 1000);
    if (!usable) {
        atomic_fetch_sub(&fleet->usable, 1);
        atomic_fetch_sub(&counter->usable, 1);
        return;
    }
    atomic_fetch_add(&fleet->usable, 1);
    if (atomic_fetch_add(&counter->usable, 1) != 0)
        return; /* another loop's connection was the news */
    place_set_lock(&fleet->places);
    bool news = !counter->known || counter->problem[0];
    counter->known = true;
    counter->problem[0] = '\0';
    counter->answers = false;
    place_set_unlock(&fleet->places);
    if (news)
        log_line(LOG_INFO, "a counter can be used",
                 LOG_STR("counter", remote_fleet_address(fleet, index)));
}

void remote_fleet_problem(struct remote_fleet *fleet, size_t index, const char *problem,
                          bool answers) {
    struct remote_counter *counter = &fleet->counter[index];
    char text[REMOTE_PROBLEM_BYTES];

    (void)snprintf(text, sizeof(text), "%s", problem);
    place_set_lock(&fleet->places);
    bool news = strcmp(counter->problem, text) != 0;
    memcpy(counter->problem, text, sizeof(text));
    counter->answers = answers;
    place_set_unlock(&fleet->places);
    if (news)
        log_line(LOG_WARN, "a counter can't be used",
                 LOG_STR("counter", remote_fleet_address(fleet, index)), LOG_STR("detail", text));
}

void remote_fleet_breaker(struct remote_fleet *fleet, size_t index, unsigned shard,
                          enum peer_state from, enum peer_state to) {
    struct remote_counter *counter = &fleet->counter[index];

    if (from != PEER_CLOSED) {
        atomic_fetch_sub(&counter->breakers[from], 1);
        metrics_add(fleet->metrics, shard, fleet->series.breakers[from], (uint64_t)-1);
    }
    if (to != PEER_CLOSED) {
        atomic_fetch_add(&counter->breakers[to], 1);
        metrics_add(fleet->metrics, shard, fleet->series.breakers[to], 1);
    }
    metrics_add(fleet->metrics, shard, fleet->series.transitions[to], 1);
    log_line(to == PEER_OPEN ? LOG_WARN : LOG_INFO, "a counter's breaker has moved",
             LOG_STR("counter", remote_fleet_address(fleet, index)),
             LOG_STR("from", remote_breaker_name(from)), LOG_STR("to", remote_breaker_name(to)));
}

/* ---- what the gateway asks ---- */

static bool up(void *ctx) {
    const struct remote_fleet *fleet = ctx;

    /* Each loop has connections of its own: one without any fails what comes to it. */
    unsigned loops = atomic_load_explicit(&fleet->loops, memory_order_relaxed);

    return loops > 0 && atomic_load_explicit(&fleet->loops_up, memory_order_relaxed) == loops;
}

static void promise(void *ctx, struct gateway_promise *out) {
    struct remote_fleet *fleet = ctx;

    place_set_lock(&fleet->places);
    *out = fleet->promise;
    place_set_unlock(&fleet->places);
}

static void pool(void *ctx, struct gateway_pool *out) {
    struct remote_fleet *fleet = ctx;

    *out = (struct gateway_pool){
        .known = place_set_count(&fleet->places),
        .connections = atomic_load_explicit(&fleet->usable, memory_order_relaxed),
        .updated_s = atomic_load_explicit(&fleet->updated_s, memory_order_relaxed),
    };
    for (size_t i = 0; i < INSTANCES_MAX; i++)
        if (atomic_load_explicit(&fleet->counter[i].usable, memory_order_relaxed))
            out->instances++;
}

static bool problem(void *ctx, size_t index, struct gateway_problem *out) {
    struct remote_fleet *fleet = ctx;

    if (index >= INSTANCES_MAX)
        return false;
    out->open = atomic_load(&fleet->counter[index].breakers[PEER_OPEN]);
    out->half_open = atomic_load(&fleet->counter[index].breakers[PEER_HALF_OPEN]);
    place_set_lock(&fleet->places);
    (void)snprintf(out->address, sizeof(out->address), "%s", remote_fleet_address(fleet, index));
    (void)snprintf(out->text, sizeof(out->text), "%s", fleet->counter[index].problem);
    place_set_unlock(&fleet->places);
    return true;
}

static void down(void *ctx, char *out, size_t size) {
    struct remote_fleet *fleet = ctx;

    (void)snprintf(out, size, "no counter service can be reached");
    place_set_lock(&fleet->places);
    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        const struct remote_counter *counter = &fleet->counter[i];

        if (!counter->answers)
            continue;
        (void)snprintf(out, size, "no counter service can be used: %s: %s",
                       remote_fleet_address(fleet, i), counter->problem);
        break;
    }
    place_set_unlock(&fleet->places);
}

struct gateway_backend remote_fleet_backend(struct remote_fleet *fleet) {
    return (struct gateway_backend){
        .ctx = fleet,
        .up = up,
        .promise = promise,
        .pool = pool,
        .problem = problem,
        .down = down,
        .clock_unknown = ERR_UNREACHABLE,
        /* Half of what a request has: a counter that hangs leaves the other half for another one,
         * and its own late answer still counts. Attempts that fail at once have all three tries. */
        .attempt_ms = fleet->config->timeouts_request_ms / 2,
    };
}
