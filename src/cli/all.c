/* all.c - the role `all`, from opening the store to the last fsync.
 *
 *     store ─► counter thread ─► sockets ─► workers ─► serve ─► drain ─► stop, in reverse
 */
#include "cli/all.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/worker.h"
#include "edge/rocks_kv.h"
#include "loop/stream.h"

#define BIND_RETRY_MS        2000
#define FORCE_AFTER_ABORT_MS 3000
#define ADDRESS_BYTES        64

struct all {
    const struct config *config;
    struct rocks_kv *rocks;
    struct counter_service *counter;
    struct gateway_fleet fleet;
    struct worker *workers;
    unsigned count;
    pthread_t main_thread;
    atomic_uint draining; /* workers that still drain */
    atomic_bool broken;   /* the store or a loop failed */
    char http_name[ADDRESS_BYTES];
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
static void wake_main(struct all *all) {
    (void)pthread_kill(all->main_thread, SIGUSR1);
}

static void on_broken(void *ctx) {
    struct all *all = ctx;

    atomic_store(&all->broken, true);
    wake_main(all);
}

static void on_drained(void *ctx) {
    struct all *all = ctx;

    if (atomic_fetch_sub(&all->draining, 1) == 1)
        wake_main(all);
}

static bool store_up(void *ctx) {
    return counter_up(((struct all *)ctx)->counter);
}

/* ---- start ---- */

static int open_store(struct all *all) {
    const struct config *config = all->config;
    struct rocks_kv_conf conf = {
        .block_cache_bytes = config->rocksdb_block_cache_bytes,
        .write_buffer_bytes = config->rocksdb_write_buffer_bytes,
    };
    const char *detail = NULL;
    enum err err = rocks_kv_open(config->data, &conf, &all->rocks, &detail);

    return err == ERR_OK ? EX_OK : give_up("the store can't be opened", detail, exit_code(err));
}

static int start_counter(struct all *all) {
    const struct config *config = all->config;
    struct counter_conf conf = {
        .kv = rocks_kv_view(all->rocks),
        .applier = {.lanes = config->lanes,
                    .key_ttl_ms = config->idempotency_ttl_ms,
                    .outbox_max_bytes = config->outbox_max_bytes,
                    .outbox_max_age_ms = config->outbox_max_age_ms,
                    .cache_counters = config->cache_counters,
                    .coalesce = config->events_coalesce},
        .durability =
            config->durability_mode == CONFIG_DURABILITY_FAST ? DURABILITY_FAST : DURABILITY_LOCAL,
        .metrics = all->fleet.metrics,
        .shard = all->count,
        .on_failed = on_broken,
        .on_failed_ctx = all,
    };
    const char *detail = NULL;

    if (getrandom(conf.applier.hash_seed, sizeof(conf.applier.hash_seed), 0) < 0)
        return give_up("no random numbers", strerror(errno), EX_OSERR);
    enum err err = counter_start(&conf, &all->counter, &detail);
    if (err != ERR_OK)
        return give_up("the store can't be used", detail, exit_code(err));
    all->fleet.backend.clock_ahead_ms = counter_clock_ahead_ms(all->counter);
    return EX_OK;
}

static int make_fleet(struct all *all, const char *version) {
    bool fast = all->config->durability_mode == CONFIG_DURABILITY_FAST;
    char labels[128];

    all->fleet.config = all->config;
    all->fleet.version = version;
    all->fleet.loops = all->count;
    all->fleet.scrape_shard = all->count + 1;
    all->fleet.backend = (struct gateway_backend){
        .ctx = all,
        .up = store_up,
        .durability = fast ? "fast" : "local",
        .guarantee = fast ? "acknowledged increments survive a crash of this process; up to "
                            "1 second of them may be lost when the machine loses power"
                          : "acknowledged increments survive a crash of this process and a "
                            "power loss of this machine",
    };
    all->fleet.metrics = metrics_new(all->count + 2);
    if (!all->fleet.metrics || !gateway_fleet_init(&all->fleet))
        return give_up("out of memory", "while making the metrics", EX_OSERR);
    (void)snprintf(labels, sizeof(labels), "version=\"%s\"", version);
    metrics_set(all->fleet.metrics, all->fleet.scrape_shard,
                metrics_series(all->fleet.metrics, METRIC_BUILD_INFO, labels), 1);
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

/* Each worker has a socket of its own on the same port (SO_REUSEPORT): the kernel spreads the
 * connections. The first one finds the port when it was 0. */
static int open_sockets(struct all *all) {
    int code = listen_on(all->config->http, "http", &all->workers[0].http_fd);

    if (code != EX_OK)
        return code;
    socket_name(all->workers[0].http_fd, all->http_name, sizeof(all->http_name));
    for (unsigned i = 1; i < all->count; i++)
        if (socket_listen_beside(all->workers[0].http_fd, &all->workers[i].http_fd) != ERR_OK)
            return give_up("can't listen", strerror(errno), EX_UNAVAILABLE);
    if (code == EX_OK)
        code = listen_on(all->config->admin, "admin", &all->workers[0].admin_fd);
    if (code == EX_OK)
        socket_name(all->workers[0].admin_fd, all->admin_name, sizeof(all->admin_name));
    return code;
}

static void close_sockets(struct all *all, unsigned from) {
    for (unsigned i = from; i < all->count; i++) {
        if (all->workers[i].http_fd >= 0)
            close(all->workers[i].http_fd);
        if (all->workers[i].admin_fd >= 0)
            close(all->workers[i].admin_fd);
    }
}

static int start_workers(struct all *all) {
    for (unsigned i = 0; i < all->count; i++) {
        struct worker *worker = &all->workers[i];

        worker->fleet = &all->fleet;
        worker->counter = all->counter;
        worker->index = i;
        worker->drained = on_drained;
        worker->failed = on_broken;
        worker->ctx = all;
    }
    for (unsigned i = 0; i < all->count; i++) {
        const char *problem = worker_start(&all->workers[i]);

        if (!problem)
            continue;
        close_sockets(all, i + 1);
        while (i-- > 0)
            worker_stop_and_join(&all->workers[i]);
        return give_up("can't serve", problem, EX_UNAVAILABLE);
    }
    return EX_OK;
}

/* ---- serve ---- */

/* ":8080" is announced as 0.0.0.0 or [::], which nobody can type into a browser. */
static void print_welcome(const struct all *all) {
    const char *port = strrchr(all->http_name, ':');
    bool any =
        strncmp(all->http_name, "0.0.0.0:", 8) == 0 || strncmp(all->http_name, "[::]:", 5) == 0;

    printf("data   %s\n", all->config->data);
    printf("http   listening on %s\n", all->http_name);
    printf("admin  listening on %s\n", all->admin_name);
    printf("curl -d '{\"resource_id\":\"post-1\",\"counter_type\":\"like\"}' "
           "http://%s%s/api/v1/counter/increment\n",
           any ? "localhost" : "", any ? port : all->http_name);
    printf("ready\n");
    (void)fflush(stdout);
    log_line(
        LOG_INFO, "serving", LOG_STR("http", all->http_name), LOG_STR("admin", all->admin_name),
        LOG_STR("data", all->config->data), LOG_STR("durability", all->fleet.backend.durability),
        LOG_STR("guarantee", all->fleet.backend.guarantee),
        LOG_STR("loop", loop_backend_name(all->workers[0].loop)), LOG_INT("threads", all->count));
}

static void end_signals(sigset_t *out) {
    sigemptyset(out);
    sigaddset(out, SIGINT);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGUSR1);
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
static bool wait_drained(struct all *all, int64_t until_ms) {
    while (atomic_load(&all->draining) > 0) {
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

static void drain(struct all *all) {
    int64_t until_ms = clock_mono_ms() + all->config->timeouts_drain_ms;

    atomic_store(&all->fleet.draining, true);
    atomic_store(&all->draining, all->count);
    for (unsigned i = 0; i < all->count; i++)
        worker_drain(&all->workers[i]);
    if (wait_drained(all, until_ms))
        return;
    log_line(LOG_WARN, "the drain took too long: closing what clients still hold open",
             LOG_INT("drain_ms", all->config->timeouts_drain_ms));
    for (unsigned i = 0; i < all->count; i++)
        worker_abort(&all->workers[i]);
    if (wait_drained(all, clock_mono_ms() + FORCE_AFTER_ABORT_MS))
        return;
    log_line(LOG_ERROR, "requests are still under way in the store: ending without them");
    _exit(EX_TEMPFAIL);
}

static int serve(struct all *all) {
    int got;

    print_welcome(all);
    do
        got = next_signal(INT64_MAX);
    while (got == SIGUSR1 && !atomic_load(&all->broken));
    if (got != SIGUSR1)
        log_line(LOG_INFO, "draining", LOG_STR("signal", got == SIGINT ? "SIGINT" : "SIGTERM"));
    drain(all);
    for (unsigned i = 0; i < all->count; i++)
        worker_stop_and_join(&all->workers[i]);
    return atomic_load(&all->broken) ? EX_IOERR : EX_OK;
}

/* ---- all of it ---- */

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

static int run_with_counter(struct all *all) {
    int code = open_sockets(all);

    if (code == EX_OK)
        code = start_workers(all);
    else
        close_sockets(all, 0);
    if (code == EX_OK)
        code = serve(all);
    counter_stop(all->counter);
    return code;
}

static int run_with_store(struct all *all, const char *version) {
    int code = make_fleet(all, version);

    if (code == EX_OK)
        code = start_counter(all);
    if (code == EX_OK)
        code = run_with_counter(all);
    gateway_fleet_release(&all->fleet);
    metrics_free(all->fleet.metrics);
    return code;
}

int all_run(const struct config *config, const char *version) {
    struct all all = {.config = config, .count = worker_count(config)};
    sigset_t set;

    all.main_thread = pthread_self();
    all.workers = calloc(all.count, sizeof(*all.workers));
    if (!all.workers)
        return give_up("out of memory", "while starting", EX_OSERR);
    for (unsigned i = 0; i < all.count; i++)
        all.workers[i].http_fd = all.workers[i].admin_fd = -1;
    end_signals(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* inherited by every thread */
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    int code = open_store(&all);
    if (code == EX_OK) {
        code = run_with_store(&all, version);
        rocks_kv_close(all.rocks);
    }
    free(all.workers);
    if (code == EX_OK)
        log_line(LOG_INFO, "stopped: everything acknowledged is in the store");
    return code;
}
