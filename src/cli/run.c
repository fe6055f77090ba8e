/* run.c - a role, from opening the store to the last fsync.
 *
 *     metrics ─► store or counters ─► sockets ─► workers ─► serve ─► drain ─► stop, in reverse
 *
 * Sockets that others have opened for us are taken before the store: whoever holds it may be the
 * one that hands them over.
 */
#include "cli/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/resident.h"
#include "cli/analytics.h"
#include "cli/backup.h"
#include "cli/discovery.h"
#include "cli/events.h"
#include "cli/exit.h"
#include "cli/handover.h"
#include "cli/listen.h"
#include "cli/recount.h"
#include "cli/secure.h"
#include "cli/serve.h"
#include "cli/store.h"
#include "cli/store_url.h"
#include "cli/traces.h"
#include "cli/welcome.h"
#include "cli/worker.h"
#include "edge/flood_penalty.h"
#include "gateway/canary.h"
#include "gateway/client_limit.h"

/* Behind a drain: how long events, windows and a store may take to be closed. */
#define RELEASE_MS 60000
/* For all threads together. */
#define TAKEOVER_MS 10000
#define COUNTERS_MS 1000

struct run {
    enum role role;
    struct role_parts parts;
    const struct config *config; /* reload->running */
    struct reload *reload;
    char kv[RELOAD_NAME_BYTES];
    /* A shard for each worker, the store thread, the scrape, the relay, analytics, discovery,
     * traces, reloads, a recount. */
    struct metrics *metrics;
    struct store store;
    struct events_part events;
    struct analytics_part analytics;
    int64_t drain_until_ms;
    struct secure secure;
    struct flood_penalty *penalty; /* NULL: none */
    struct resolver *resolver;
    struct ways ways;
    struct gateway_fleet fleet;
    struct front_fleet front;
    struct grpc_host_fleet host;
    struct discovery *discovery; /* NULL: none */
    struct worker *workers;
    unsigned count;
    struct listeners listeners;
    struct handover handover;
    enum config_loop back_end;
    struct serve serve;
};

/* ---- start ---- */

/* It counts in one, or reads its events. */
static bool has_redis(const struct run *run) {
    bool reads = run->role == ROLE_ANALYTICS && !events_in_kafka(run->config);

    return (run->parts.core || reads) && store_url_is_redis(run->config);
}

static int open_secure(struct run *run) {
    unsigned which = (run->parts.http ? SECURE_HTTP : 0u) | (run->parts.grpc ? SECURE_GRPC : 0u) |
                     (run->parts.core && !run->parts.counters ? 0u : SECURE_UPSTREAM) |
                     (has_redis(run) && store_url_is_tls(run->config) ? SECURE_REDIS : 0u);
    const char *problem = secure_open(&run->secure, run->config, which);

    return problem ? give_up("TLS can't be used", problem, EX_CONFIG) : EX_OK;
}

static int make_metrics(struct run *run, const char *version) {
    char labels[METRICS_LABELS_BYTES];

    run->metrics = metrics_new(run->count + 8);
    if (!run->metrics)
        return give_up("out of memory", "while making the metrics", EX_OSERR);
    (void)snprintf(labels, sizeof(labels), "version=\"%s\"", version);
    metrics_set(run->metrics, run->count + 1,
                metrics_series(run->metrics, METRIC_BUILD_INFO, labels), 1);
    if (run->parts.core)
        metrics_set(run->metrics, run->count + 1,
                    metrics_series(run->metrics, METRIC_OUTBOX_LIMIT, ""),
                    run->config->outbox_max_bytes);
    reload_count_in(run->reload, run->metrics, run->count + 6);
    return EX_OK;
}

static size_t add_paths(const struct slice *(*of)(size_t *out_count), struct slice *to) {
    size_t count;
    const struct slice *paths = of(&count);

    memcpy(to, paths, count * sizeof(*paths));
    return count;
}

/* Of all services that any role has on its gRPC port. */
static bool make_host_fleet(struct run *run) {
    struct slice paths[GRPC_HOST_METHODS_MAX];
    size_t count = 0;

    run->host.config = run->config;
    run->host.metrics = run->metrics;
    run->host.tls = run->secure.grpc;
    run->host.penalty = run->penalty;
    count += add_paths(front_paths, paths + count);
    count += add_paths(analytics_front_paths, paths + count);
    count += add_paths(handover_front_paths, paths + count);
    return grpc_host_fleet_init(&run->host, paths, count);
}

/* One for all listeners that clients reach. */
static int make_penalty(struct run *run) {
    const struct config *config = run->config;
    struct flood_penalty_conf conf = {
        .first_ms = config->flood_penalty_first_ms,
        .max_ms = config->flood_penalty_max_ms,
        .clients = config->flood_penalty_clients,
        .exempt = config->flood_penalty_exempt,
    };

    if (conf.first_ms == 0)
        return EX_OK;
    run->penalty = flood_penalty_new(&conf);
    return run->penalty ? EX_OK : give_up("out of memory", "while starting", EX_OSERR);
}

static int make_fleets(struct run *run, const char *version) {
    int code = make_penalty(run);

    if (code != EX_OK)
        return code;
    run->fleet.config = run->config;
    run->fleet.metrics = run->metrics;
    run->fleet.version = version;
    run->fleet.tls = run->secure.http;
    run->fleet.penalty = run->penalty;
    run->fleet.loops = run->count;
    run->fleet.pending = reload_pending;
    run->fleet.pending_ctx = run->reload;
    run->fleet.scrape_shard = run->count + 1;
    run->fleet.has_canary = run->parts.core && run->parts.counters;
    run->front.config = run->config;
    run->front.version = version;
    run->front.metrics = run->metrics;
    front_fleet_init(&run->front);
    if (!gateway_fleet_init(&run->fleet) || (run->parts.grpc && !make_host_fleet(run)))
        return give_up("out of memory", "while making the metrics", EX_OSERR);
    return EX_OK;
}

static int open_store(struct run *run) {
    struct store_conf conf = {
        .config = run->config,
        .metrics = run->metrics,
        .resolver = run->resolver,
        .tls = run->secure.redis,
        .loops = run->count,
        .shard = run->count,
        .locked_hint = run->role == ROLE_GATEWAY
                           ? ". A gateway with --upstream direct counts itself, and this store has "
                             "one owner: stop the counter process first"
                           : NULL,
        .on_failed = serve_broken,
        .on_failed_ctx = &run->serve,
    };
    int code = store_open(&run->store, &conf);

    if (code != EX_OK || !run->parts.core) /* a reader is no back end */
        return code;
    run->fleet.backend = store_gateway_backend(&run->store);
    run->front.backend = store_front_backend(&run->store);
    run->ways.counter = run->store.counter;
    run->ways.redis = run->store.redis;
    return EX_OK;
}

static int start_events(struct run *run) {
    int code;

    if (!run->parts.core)
        return EX_OK;
    code = events_start(&run->events, run->config, &run->store, run->metrics, run->count + 2);
    if (run->events.shipper) {
        run->fleet.backend.events = events_status;
        run->fleet.backend.events_ctx = run->events.shipper;
    }
    return code;
}

/* Requests may take either way: both must end in the same store. */
static uint64_t own_store(void *ctx) {
    return redis_fleet_store_id(ctx);
}

/* And analytics, which a gateway has elsewhere like them. */
static int find_counters(struct run *run) {
    run->ways.remotes =
        remote_fleet_new(run->config, run->metrics, run->resolver, run->secure.upstream);
    if (!run->ways.remotes)
        return give_up("out of memory", "while preparing for the counters", EX_OSERR);
    if (run->fleet.has_canary) {
        run->fleet.canary = remote_fleet_backend(run->ways.remotes);
        remote_fleet_only(run->ways.remotes, own_store, run->ways.redis);
    } else {
        run->fleet.backend = remote_fleet_backend(run->ways.remotes);
    }
    if (strcmp(run->config->gateway_analytics, "none") == 0)
        return EX_OK;
    run->ways.analytics = analytics_fleet_new(run->config, run->resolver, run->secure.upstream);
    if (!run->ways.analytics)
        return give_up("out of memory", "while preparing for analytics", EX_OSERR);
    run->fleet.analytics = analytics_fleet_service(run->ways.analytics);
    return EX_OK;
}

static int find_store(struct run *run) {
    if (!run->parts.core || has_redis(run)) {
        run->resolver = resolver_new();
        if (!run->resolver)
            return give_up("out of memory", "while starting", EX_OSERR);
    }
    int code = run->parts.core || has_redis(run) ? open_store(run) : EX_OK;

    return code == EX_OK && run->parts.counters ? find_counters(run) : code;
}

static struct analytics_part_conf analytics_conf(struct run *run) {
    return (struct analytics_part_conf){
        .config = run->config,
        .store = run->parts.core || has_redis(run) ? &run->store : NULL,
        .resolver = run->resolver,
        .tls = run->secure.upstream,
        .metrics = run->metrics,
        .shard = run->count + 3,
        .recount_shard = run->count + 7,
    };
}

static int forget_analytics(struct run *run) {
    struct analytics_part_conf conf = analytics_conf(run);

    return analytics_part_forget(&run->analytics, &conf);
}

static int open_analytics(struct run *run) {
    struct analytics_part_conf conf = analytics_conf(run);
    int code = analytics_part_open(&run->analytics, &conf);

    if (code == EX_OK)
        run->fleet.recount = recount_gateway(run->analytics.recount);
    return code;
}

static bool asks_for_analytics(const struct config *config) {
    return config->analytics_enabled &&
           config->source[CONFIG_KEY_analytics_enabled].layer != CONFIG_DEFAULT;
}

/* Of the processes on one Redis, those run it, or give it up, whose configuration says so. */
static int start_analytics_of_redis(struct run *run) {
    if (!run->config->analytics_enabled)
        return forget_analytics(run);
    return run->parts.http && asks_for_analytics(run->config) ? open_analytics(run) : EX_OK;
}

/* Beside the store, or for it elsewhere, or not at all; or by itself. */
static int start_analytics(struct run *run) {
    struct counter_service *counter = run->store.counter;

    if (run->role == ROLE_ANALYTICS) {
        int code = open_analytics(run);

        run->fleet.backend = analytics_part_backend(&run->analytics);
        return code;
    }
    if (run->store.redis)
        return start_analytics_of_redis(run);
    if (!counter)
        return EX_OK;
    if (!run->config->analytics_enabled)
        return forget_analytics(run);
    if (run->parts.http)
        return open_analytics(run);
    run->ways.events = counter;
    return EX_OK;
}

static void on_configured(void *ctx, struct slice text) {
    struct run *run = ctx;

    if (reload_offer_kv(run->reload, text))
        serve_ask_reload(&run->serve);
}

static int start_discovery(struct run *run, const char *version) {
    struct discovery_conf conf = {
        .kv = run->kv,
        .configured = on_configured,
        .ctx = run,
        .config = run->config,
        .version = version,
        .fleet = run->ways.remotes,
        .analytics =
            run->ways.analytics && analytics_are_found(run->config) ? run->ways.analytics : NULL,
        .metrics = run->metrics,
        .shard = run->count + 4,
    };

    reload_kv_path(run->config, run->role, run->kv);
    return discovery_start(&conf, &run->discovery);
}

static int make_workers(struct run *run) {
    run->workers = calloc(run->count, sizeof(*run->workers));
    if (!run->workers)
        return give_up("out of memory", "while starting", EX_OSERR);
    for (unsigned i = 0; i < run->count; i++) {
        run->workers[i] = (struct worker){
            .fleet = &run->fleet,
            .front_fleet = &run->front,
            .host_fleet = &run->host,
            .ways = &run->ways,
            .analytics = run->analytics.service,
            .index = i,
            .listeners = &run->listeners,
            .back_end = run->back_end,
            .busy_poll_us = run->config->busy_poll_us,
            .drained = serve_drained,
            .failed = serve_broken,
            .ctx = &run->serve,
        };
    }
    return EX_OK;
}

/* ---- serve ---- */

/* Ends the first 'started' workers in good order. */
static void end_workers(struct run *run, unsigned started) {
    run->drain_until_ms = clock_mono_ms() + run->config->timeouts_drain_ms;
    handover_close(&run->handover);
    listen_close(&run->listeners);
    serve_drain(&run->serve, run->workers, started, run->config->timeouts_drain_ms);
    for (unsigned i = 0; i < started; i++)
        worker_stop_and_join(&run->workers[i]);
}

/* First of all others are told not to come any more: while they hear of it everybody is served. */
static void leave(struct run *run) {
    if (atomic_load(&run->serve.taken))
        return; /* somebody is there for them, at the same address and under the same name */
    atomic_store(&run->fleet.draining, true);
    if (discovery_leave(run->discovery))
        serve_linger(&run->serve, run->config->consul_leave_ms);
}

/* Whoever takes over has to be able to serve; others begin without counters, too, but not before
 * these have had a moment to answer. A Redis says so itself. */
static void set_patience(const struct run *run, struct worker *worker, int64_t began_ms) {
    int64_t all_ms = TAKEOVER_MS;

    worker->must_be_up = handover_found(&run->handover);
    worker->patience_ms = -1;
    if (!worker->must_be_up && !run->parts.counters)
        return;
    if (!worker->must_be_up)
        all_ms = COUNTERS_MS;
    worker->patience_ms = began_ms + all_ms - clock_mono_ms();
    if (worker->patience_ms < 0)
        worker->patience_ms = 0;
}

static int start_workers(struct run *run) {
    int64_t began_ms = clock_mono_ms();

    for (unsigned i = 0; i < run->count; i++) {
        set_patience(run, &run->workers[i], began_ms);
        const char *problem = worker_start(&run->workers[i]);

        if (!problem)
            continue;
        atomic_store(&run->fleet.draining, true);
        end_workers(run, i);
        return give_up("can't serve", problem, EX_UNAVAILABLE);
    }
    return EX_OK;
}

static void on_hot_change(void *ctx) {
    struct run *run = ctx;

    client_limit_changed(run->fleet.limit, run->config);
    if (run->fleet.canary_rule)
        canary_changed(run->fleet.canary_rule, run->config);
}

static void reload(void *ctx, bool signal) {
    struct run *run = ctx;

    if (signal)
        secure_reload(&run->secure);
    reload_now(run->reload, on_hot_change, run);
}

static void back_up(void *ctx) {
    struct run *run = ctx;

    backup_make(run->config, &run->store, &run->analytics);
}

static int serve(struct run *run) {
    int code = start_workers(run);

    if (code != EX_OK)
        return code;
    welcome_print(&(struct welcome){
        .role = run->role,
        .parts = run->parts,
        .config = run->config,
        .backend = &run->fleet.backend,
        .names = &run->listeners.names,
        .loop = loop_backend_name(run->workers[0].loop),
        .threads = run->count,
        .https = run->secure.http,
        .grpcs = run->secure.grpc,
    });
    discovery_join(run->discovery, run->role, run->parts, &run->listeners.names,
                   run->fleet.backend.up(run->fleet.backend.ctx));
    code = handover_offer(&run->handover, &run->listeners, loop_backend_name(run->workers[0].loop),
                          serve_taken, &run->serve);
    resident_trim();
    if (code == EX_OK)
        serve_wait(&run->serve, run->workers, run->count, reload, back_up, run);
    leave(run);
    end_workers(run, run->count);
    return code;
}

/* ---- the whole ---- */

static unsigned worker_count(const struct config *config) {
    unsigned count = config->threads ? config->threads : cpus_usable();

    return count < GATEWAY_MAX_LOOPS ? count : GATEWAY_MAX_LOOPS;
}

/* Every connection is a descriptor: take what the system allows without asking. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int start_traces(struct run *run) {
    return traces_open(run->config, role_name(run->role), run->metrics, run->count + 5);
}

static int open_and_serve(struct run *run) {
    int code = listen_open(&run->listeners, run->config, run->parts, run->count);

    return code == EX_OK ? serve(run) : code;
}

/* Of which no two processes may have it open. */
static bool owns_a_folder(const struct run *run) {
    const struct config *config = run->config;

    if (run->role == ROLE_ANALYTICS)
        return true;
    return run->parts.core && (!store_url_is_redis(config) || asks_for_analytics(config));
}

static int find_sockets(struct run *run) {
    int code = listen_inherit(&run->listeners, run->parts);

    if (code == EX_OK && listen_any(&run->listeners) && run->config->handover[0])
        return give_up("no hand-over", "handover: systemd holds the listeners of this process",
                       EX_CONFIG);
    if (code == EX_OK)
        code = handover_ask(&run->handover, run->config, &run->listeners, &run->back_end);
    if (code == EX_OK && handover_found(&run->handover) && owns_a_folder(run))
        code = handover_wait(&run->handover, run->config->timeouts_drain_ms + RELEASE_MS);
    return code;
}

static void release(struct run *run) {
    int64_t left_ms = run->drain_until_ms - clock_mono_ms();

    free(run->workers);
    listen_close(&run->listeners);
    discovery_stop(run->discovery);
    events_stop(&run->events, left_ms > 0 ? left_ms : 0);
    analytics_part_close(&run->analytics);
    store_close(&run->store);
    remote_fleet_free(run->ways.remotes);
    analytics_fleet_free(run->ways.analytics);
    resolver_free(run->resolver);
    traces_close();
    grpc_host_fleet_release(&run->host);
    gateway_fleet_release(&run->fleet);
    metrics_free(run->metrics);
    flood_penalty_free(run->penalty);
    secure_close(&run->secure);
    handover_close(&run->handover);
}

int run_role(enum role role, struct reload *reload, const char *version) {
    const struct config *config = reload->running;
    struct run run = {.role = role,
                      .parts = role_parts(role, config),
                      .config = config,
                      .reload = reload,
                      .handover = HANDOVER_NONE,
                      .count = worker_count(config)};

    serve_init(&run.serve);
    raise_descriptor_limit();
    int code = open_secure(&run);
    if (code == EX_OK)
        code = make_metrics(&run, version);
    if (code == EX_OK)
        code = start_traces(&run);
    if (code == EX_OK)
        code = make_fleets(&run, version);
    if (code == EX_OK)
        code = find_sockets(&run);
    if (code == EX_OK)
        code = find_store(&run);
    if (code == EX_OK)
        code = start_events(&run);
    if (code == EX_OK)
        code = start_analytics(&run);
    if (code == EX_OK)
        code = start_discovery(&run, version);
    if (code == EX_OK)
        code = make_workers(&run);
    if (code == EX_OK)
        code = open_and_serve(&run);
    release(&run);
    if (code == EX_OK && atomic_load(&run.serve.broken)) /* the last fsync is in release() */
        code = EX_IOERR;
    if (code == EX_OK)
        log_line(LOG_INFO, "stopped: everything acknowledged is in the store");
    return code;
}
