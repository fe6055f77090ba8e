/* run.c - a role, from opening the store to the last fsync.
 *
 *     store ─► counter thread ─► sockets ─► workers ─► serve ─► drain ─► stop, in reverse
 */
#include "cli/run.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "cli/secure.h"
#include "cli/worker.h"
#include "edge/rocks_kv.h"
#include "loop/stream.h"

#define BIND_RETRY_MS        2000
#define FORCE_AFTER_ABORT_MS 3000
#define ADDRESS_BYTES        64

struct run {
    enum role role;
    const struct config *config;
    struct rocks_kv *rocks;
    struct secure secure;
    struct counter_service *counter;
    struct gateway_fleet fleet;
    struct front_fleet front;
    struct worker *workers;
    unsigned count;
    pthread_t main_thread;
    atomic_uint draining;     /* workers that still drain */
    atomic_bool broken;       /* the store or a loop failed */
    char name[ADDRESS_BYTES]; /* of the listener for clients */
    char admin_name[ADDRESS_BYTES];
};

static int give_up(const char *what, const char *why, int code) {
    log_line(LOG_ERROR, what, LOG_STR("detail", why));
    return code;
}

static int exit_code(enum err err) {
    switch (err) {
    case ERR_LOCKED:
        return EX_UNAVAILABLE;
    case ERR_LAYOUT:
        return EX_CONFIG;
    case ERR_CORRUPT:
    case ERR_NEWER:
        return EX_DATAERR;
    case ERR_IO:
        return EX_IOERR;
    default:
        return EX_OSERR;
    }
}

/* Wakes the main thread out of sigtimedwait(); the signal itself means "look". */
static void wake_main(struct run *run) {
    (void)pthread_kill(run->main_thread, SIGUSR1);
}

static void on_broken(void *ctx) {
    struct run *run = ctx;

    atomic_store(&run->broken, true);
    wake_main(run);
}

static void on_drained(void *ctx) {
    struct run *run = ctx;

    if (atomic_fetch_sub(&run->draining, 1) == 1)
        wake_main(run);
}

static bool store_up(void *ctx) {
    return counter_up(((struct run *)ctx)->counter);
}

/* ---- start ---- */

static int open_secure(struct run *run) {
    unsigned which = run->role == ROLE_COUNTER ? SECURE_GRPC : SECURE_HTTP;
    const char *problem = secure_open(&run->secure, run->config, which);

    return problem ? give_up("TLS can't be served", problem, EX_CONFIG) : EX_OK;
}

static int open_store(struct run *run) {
    const struct config *config = run->config;
    struct rocks_kv_conf conf = {
        .block_cache_bytes = config->rocksdb_block_cache_bytes,
        .write_buffer_bytes = config->rocksdb_write_buffer_bytes,
    };
    const char *detail = NULL;
    enum err err = rocks_kv_open(config->data, &conf, &run->rocks, &detail);

    return err == ERR_OK ? EX_OK : give_up("the store can't be opened", detail, exit_code(err));
}

static int start_counter(struct run *run) {
    const struct config *config = run->config;
    struct counter_conf conf = {
        .kv = rocks_kv_view(run->rocks),
        .applier = {.lanes = config->lanes,
                    .key_ttl_ms = config->idempotency_ttl_ms,
                    .outbox_max_bytes = config->outbox_max_bytes,
                    .outbox_max_age_ms = config->outbox_max_age_ms,
                    .cache_counters = config->cache_counters,
                    .coalesce = config->events_coalesce,
                    .hash_seed = {random_u64(), random_u64()}},
        .durability =
            config->durability_mode == CONFIG_DURABILITY_FAST ? DURABILITY_FAST : DURABILITY_LOCAL,
        .metrics = run->fleet.metrics,
        .shard = run->count,
        .on_failed = on_broken,
        .on_failed_ctx = run,
    };
    const char *detail = NULL;

    enum err err = counter_start(&conf, &run->counter, &detail);
    if (err != ERR_OK)
        return give_up("the store can't be used", detail, exit_code(err));
    run->fleet.backend.clock_ahead_ms = counter_clock_ahead_ms(run->counter);
    run->front.clock_ahead_ms = run->fleet.backend.clock_ahead_ms;
    return EX_OK;
}

static int make_fleet(struct run *run, const char *version) {
    bool fast = run->config->durability_mode == CONFIG_DURABILITY_FAST;
    char labels[128];

    run->fleet.config = run->config;
    run->fleet.version = version;
    run->fleet.loops = run->count;
    run->fleet.scrape_shard = run->count + 1;
    run->fleet.backend = (struct gateway_backend){
        .ctx = run,
        .up = store_up,
        .durability = fast ? "fast" : "local",
        .guarantee = fast ? "acknowledged increments survive a crash of this process; up to "
                            "1 second of them may be lost when the machine loses power"
                          : "acknowledged increments survive a crash of this process and a "
                            "power loss of this machine",
    };
    run->fleet.metrics = metrics_new(run->count + 2);
    run->front.config = run->config;
    run->front.metrics = run->fleet.metrics;
    run->fleet.tls = run->secure.http;
    run->front.tls = run->secure.grpc;
    if (!run->fleet.metrics || !gateway_fleet_init(&run->fleet) ||
        (run->role == ROLE_COUNTER && !front_fleet_init(&run->front)))
        return give_up("out of memory", "while making the metrics", EX_OSERR);
    (void)snprintf(labels, sizeof(labels), "version=\"%s\"", version);
    metrics_set(run->fleet.metrics, run->fleet.scrape_shard,
                metrics_series(run->fleet.metrics, METRIC_BUILD_INFO, labels), 1);
    return EX_OK;
}

static int listen_on(const char *address, const char *key, int *out_fd) {
    char detail[160];
    enum err err = socket_listen(slice_str(address), BIND_RETRY_MS, out_fd);

    if (err == ERR_OK)
        return EX_OK;
    (void)snprintf(detail, sizeof(detail), "%s: %s: %s", key, address,
                   err == ERR_INVALID  ? "this is not an address like 127.0.0.1:8080 or :8080"
                   : err == ERR_LOCKED ? "the address is in use by another process"
                                       : strerror(errno));
    return give_up("can't listen", detail, err == ERR_INVALID ? EX_CONFIG : EX_UNAVAILABLE);
}

/* What clients of this role connect to. */
static const char *clients_key(const struct run *run) {
    return run->role == ROLE_COUNTER ? "grpc" : "http";
}

static const char *clients_address(const struct run *run) {
    return run->role == ROLE_COUNTER ? run->config->grpc : run->config->http;
}

static int *clients_fd(const struct run *run, unsigned worker) {
    return run->role == ROLE_COUNTER ? &run->workers[worker].grpc_fd
                                     : &run->workers[worker].http_fd;
}

/* Each worker has a socket of its own on the same port: the kernel spreads the connections. */
static int open_sockets(struct run *run) {
    int first = -1;
    int code = listen_on(clients_address(run), clients_key(run), &first);

    if (code != EX_OK)
        return code;
    *clients_fd(run, 0) = first;
    socket_name(first, run->name, sizeof(run->name));
    for (unsigned i = 1; i < run->count; i++)
        if (socket_listen_beside(first, clients_fd(run, i)) != ERR_OK)
            return give_up("can't listen", strerror(errno), EX_UNAVAILABLE);
    code = listen_on(run->config->admin, "admin", &run->workers[0].admin_fd);
    if (code == EX_OK)
        socket_name(run->workers[0].admin_fd, run->admin_name, sizeof(run->admin_name));
    return code;
}

static void close_sockets(struct run *run, unsigned from) {
    for (unsigned i = from; i < run->count; i++) {
        if (*clients_fd(run, i) >= 0)
            close(*clients_fd(run, i));
        if (run->workers[i].admin_fd >= 0)
            close(run->workers[i].admin_fd);
    }
}

static int start_workers(struct run *run) {
    for (unsigned i = 0; i < run->count; i++) {
        struct worker *worker = &run->workers[i];

        worker->fleet = &run->fleet;
        worker->front_fleet = &run->front;
        worker->counter = run->counter;
        worker->index = i;
        worker->drained = on_drained;
        worker->failed = on_broken;
        worker->ctx = run;
    }
    for (unsigned i = 0; i < run->count; i++) {
        const char *problem = worker_start(&run->workers[i]);

        if (!problem)
            continue;
        close_sockets(run, i + 1);
        while (i-- > 0)
            worker_stop_and_join(&run->workers[i]);
        return give_up("can't serve", problem, EX_UNAVAILABLE);
    }
    return EX_OK;
}

/* ---- serve ---- */

/* ":8080" is announced as 0.0.0.0 or [::], which nobody can type into a browser. */
static void print_try_line(const struct run *run) {
    const char *port = strrchr(run->name, ':');
    bool any = strncmp(run->name, "0.0.0.0:", 8) == 0 || strncmp(run->name, "[::]:", 5) == 0;
    const char *host = any ? "localhost" : "";
    const char *rest = any ? port : run->name;

    if (run->role == ROLE_COUNTER)
        printf("grpcurl %s-d '{\"resource_id\":\"post-1\",\"counter_type\":\"like\"}' "
               "%s%s counter.CounterService/IncrementCounter\n",
               run->secure.grpc ? "" : "-plaintext ", host, rest);
    else
        printf("curl -d '{\"resource_id\":\"post-1\",\"counter_type\":\"like\"}' "
               "http%s://%s%s/api/v1/counter/increment\n",
               run->secure.http ? "s" : "", host, rest);
}

static void print_welcome(const struct run *run) {
    printf("data   %s\n", run->config->data);
    printf("%s   listening on %s\n", clients_key(run), run->name);
    printf("admin  listening on %s\n", run->admin_name);
    print_try_line(run);
    printf("ready\n");
    (void)fflush(stdout);
    log_line(
        LOG_INFO, "serving", LOG_STR("role", role_name(run->role)),
        LOG_STR(clients_key(run), run->name), LOG_STR("admin", run->admin_name),
        LOG_STR("data", run->config->data), LOG_STR("durability", run->fleet.backend.durability),
        LOG_STR("guarantee", run->fleet.backend.guarantee),
        LOG_STR("loop", loop_backend_name(run->workers[0].loop)), LOG_INT("threads", run->count));
}

static void end_signals(sigset_t *out) {
    sigemptyset(out);
    sigaddset(out, SIGINT);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGUSR1);
    sigaddset(out, SIGHUP);
}

/* The next of our signals, 0 when 'until_ms' (monotonic) has come. */
static int next_signal(int64_t until_ms) {
    sigset_t set;

    end_signals(&set);
    for (;;) {
        int64_t left_ms = until_ms - clock_mono_ms();
        struct timespec wait = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
        int got;

        if (until_ms == INT64_MAX)
            got = sigwaitinfo(&set, NULL);
        else
            got = left_ms > 0 ? sigtimedwait(&set, NULL, &wait) : 0;
        if (got >= 0)
            return got;
        if (errno == EAGAIN)
            return 0;
    }
}

/* Waits until all workers have drained. A second signal ends the process at once: what was
 * acknowledged is in the store, the rest was never promised. */
static bool wait_drained(struct run *run, int64_t until_ms) {
    while (atomic_load(&run->draining) > 0) {
        int got = next_signal(until_ms);

        if (got == SIGINT || got == SIGTERM) {
            log_line(LOG_WARN, "a second signal: ending at once");
            _exit(128 + got);
        }
        if (got == 0)
            return false;
    }
    return true;
}

static void drain(struct run *run) {
    int64_t until_ms = clock_mono_ms() + run->config->timeouts_drain_ms;

    atomic_store(&run->fleet.draining, true);
    atomic_store(&run->draining, run->count);
    for (unsigned i = 0; i < run->count; i++)
        worker_drain(&run->workers[i]);
    if (wait_drained(run, until_ms))
        return;
    log_line(LOG_WARN, "the drain took too long: closing what clients still hold open",
             LOG_INT("drain_ms", run->config->timeouts_drain_ms));
    for (unsigned i = 0; i < run->count; i++)
        worker_abort(&run->workers[i]);
    if (wait_drained(run, clock_mono_ms() + FORCE_AFTER_ABORT_MS))
        return;
    log_line(LOG_ERROR, "requests are still under way in the store: ending without them");
    _exit(EX_TEMPFAIL);
}

static int serve(struct run *run) {
    int got;

    print_welcome(run);
    do {
        got = next_signal(INT64_MAX);
        if (got == SIGHUP)
            secure_reload(&run->secure);
    } while (got == SIGHUP || (got == SIGUSR1 && !atomic_load(&run->broken)));
    if (got != SIGUSR1)
        log_line(LOG_INFO, "draining", LOG_STR("signal", got == SIGINT ? "SIGINT" : "SIGTERM"));
    drain(run);
    for (unsigned i = 0; i < run->count; i++)
        worker_stop_and_join(&run->workers[i]);
    return atomic_load(&run->broken) ? EX_IOERR : EX_OK;
}

/* ---- the whole ---- */

static unsigned worker_count(const struct config *config) {
    cpu_set_t cpus;
    int usable = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    unsigned count = config->threads ? config->threads : (unsigned)usable;

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

static int run_with_counter(struct run *run) {
    int code = open_sockets(run);

    if (code == EX_OK)
        code = start_workers(run);
    else
        close_sockets(run, 0);
    if (code == EX_OK)
        code = serve(run);
    counter_stop(run->counter);
    return code;
}

static int run_with_store(struct run *run, const char *version) {
    int code = make_fleet(run, version);

    if (code == EX_OK)
        code = start_counter(run);
    if (code == EX_OK)
        code = run_with_counter(run);
    front_fleet_release(&run->front);
    gateway_fleet_release(&run->fleet);
    metrics_free(run->fleet.metrics);
    return code;
}

int run_role(enum role role, const struct config *config, const char *version) {
    struct run run = {.role = role, .config = config, .count = worker_count(config)};
    sigset_t set;

    run.main_thread = pthread_self();
    run.workers = calloc(run.count, sizeof(*run.workers));
    if (!run.workers)
        return give_up("out of memory", "while starting", EX_OSERR);
    for (unsigned i = 0; i < run.count; i++)
        run.workers[i].http_fd = run.workers[i].admin_fd = run.workers[i].grpc_fd = -1;
    end_signals(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* inherited by every thread */
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    int code = open_secure(&run);
    if (code == EX_OK)
        code = open_store(&run);
    if (code == EX_OK) {
        code = run_with_store(&run, version);
        rocks_kv_close(run.rocks);
    }
    secure_close(&run.secure);
    free(run.workers);
    if (code == EX_OK)
        log_line(LOG_INFO, "stopped: everything acknowledged is in the store");
    return code;
}
