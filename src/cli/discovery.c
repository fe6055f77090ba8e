/* discovery.c - the thread, and what it does in each of the ways. */
#include "cli/discovery.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/discovery_search.h"
#include "cli/discovery_self.h"
#include "cli/exit.h"
#include "edge/consul.h"
#include "edge/dns_lookup.h"

#define LEAVE_S 2
/* While counters that leave still hold the places of those that have come. */
#define PLACE_AGAIN_MS 500
#define IDLE_MS        3600000

struct registration {
    bool wanted;
    bool started;
    bool has_left;
    char id[DISCOVERY_ID_BYTES];
    struct buf body;
    struct discovery *discovery;
    struct consul_service service;
};

enum { SEARCH_COUNTERS, SEARCH_ANALYTICS, SEARCHES };

struct discovery {
    struct discovery_conf conf;
    pthread_t thread;
    atomic_bool stop;
    atomic_bool joins; /* 'registrations' are filled in */
    atomic_bool leaves;
    sem_t left;
    pthread_mutex_t lock; /* of the sleep without Consul */
    pthread_cond_t woken;
    struct { /* the thread's */
        struct search search[SEARCHES];
        uint64_t errors;
        bool leaving;
        struct consul_watch kv;
        char kv_path[CONSUL_URL_BYTES];
    } own;
    struct consul consul;
    struct dns dns;
    struct registration registrations[DISCOVERY_SERVICES];
    metric_series up;
    metric_series instances;
    metric_series error_count;
};

/* ---- the configuration ---- */

static bool are_names(const char *list) {
    for (const char *name = list; *name;) {
        size_t len = strcspn(name, ",");

        if (!consul_is_name(slice_of(name, len)))
            return false;
        name += len;
        if (*name == ',' && *++name == '\0')
            return false;
    }
    return true;
}

static const char *problem_of(const struct config *config) {
    const char *url = config->discovery_url;
    const char *address = strstr(url, "://");
    struct dns dns;

    if (consul_is(url)) {
        struct slice host = slice_str(address + 3);

        return config_are_upstreams(host) && !memchr(host.ptr, ',', host.len) && host.ptr[0] != '_'
                   ? NULL
                   : "behind consul:// there must be HOST:PORT";
    }
    if (strncmp(url, "dns", 3) == 0)
        return dns_parse(url, &dns);
    if (config->counter[0] == '_' || strstr(config->counter, ",_") ||
        config->gateway_analytics[0] == '_' || strstr(config->gateway_analytics, ",_"))
        return "names of SRV records, which begin with _, need --discovery dns";
    return NULL;
}

static void refuse(const struct config *config, enum config_key key, const char *problem,
                   struct config_problems *problems) {
    struct buf source = {0};

    config_print_source(config_row(key), config->source[key], &source);
    config_problem(problems, "%s (%.*s): %s", config_row(key)->key, SLICE_ARGS(buf_slice(&source)),
                   problem);
    buf_release(&source);
}

void discovery_check(const struct config *config, struct config_problems *problems) {
    static const char names[] = "names are letters, digits, '-', '_' and '.', commas between them";
    const char *problem = problem_of(config);

    if (problem)
        refuse(config, CONFIG_KEY_discovery_url, problem, problems);
    if (strcmp(config->gateway_analytics, "discovery") == 0 && !consul_is(config->discovery_url))
        refuse(config, CONFIG_KEY_gateway_analytics,
               "it needs --discovery consul://HOST:PORT; by DNS its names are found", problems);
    if (!are_names(config->discovery_tags))
        refuse(config, CONFIG_KEY_discovery_tags, names, problems);
    if (!are_names(config->consul_tags))
        refuse(config, CONFIG_KEY_consul_tags, names, problems);
    if (!consul_is_name(slice_str(config->consul_environment)))
        refuse(config, CONFIG_KEY_consul_environment, "it is one name", problems);
    if (config->consul_datacenter[0] && !consul_is_name(slice_str(config->consul_datacenter)))
        refuse(config, CONFIG_KEY_consul_datacenter, "it is one name", problems);
}

/* ---- who is there ---- */

static void publish(struct discovery *discovery, bool up, uint64_t errors) {
    struct metrics *metrics = discovery->conf.metrics;

    metrics_set(metrics, discovery->conf.shard, discovery->up, up);
    metrics_add(metrics, discovery->conf.shard, discovery->error_count,
                errors - discovery->own.errors);
    discovery->own.errors = errors;
    metrics_set(metrics, discovery->conf.shard, discovery->instances,
                discovery->own.search[SEARCH_COUNTERS].found.count);
}

static bool set_counters(void *fleet, const struct instances *found) {
    return remote_fleet_set(fleet, found);
}

static bool set_analytics(void *fleet, const struct instances *found) {
    return analytics_fleet_set(fleet, found);
}

static void prepare_searches(struct discovery *discovery) {
    const struct discovery_conf *conf = &discovery->conf;

    discovery->own.search[SEARCH_COUNTERS] = (struct search){.config = conf->config,
                                                             .consul = &discovery->consul,
                                                             .dns = &discovery->dns,
                                                             .on = conf->fleet != NULL,
                                                             .service = DISCOVERY_COUNTER,
                                                             .set = set_counters,
                                                             .fleet = conf->fleet,
                                                             .names = conf->config->counter,
                                                             .up = true};
    discovery->own.search[SEARCH_ANALYTICS] =
        (struct search){.config = conf->config,
                        .consul = &discovery->consul,
                        .dns = &discovery->dns,
                        .on = conf->analytics != NULL,
                        .service = DISCOVERY_ANALYTICS,
                        .set = set_analytics,
                        .fleet = conf->analytics,
                        .names = conf->config->gateway_analytics,
                        .up = true};
}

/* Where somebody has no place yet. */
static bool place_again(struct discovery *discovery) {
    bool any = false;

    for (unsigned i = 0; i < SEARCHES; i++) {
        struct search *search = &discovery->own.search[i];

        if (search->unplaced)
            search_place(search);
        any |= search->unplaced;
    }
    return any;
}

/* ---- Consul ---- */

static void on_kv(struct consul_watch *watch, const struct http_answer *answer) {
    struct discovery *discovery = CONTAINER_OF(watch, struct discovery, own.kv);
    struct slice text = answer->body;

    if (answer->status != 200)
        text = (struct slice){NULL, 0};
    else if (text.len == 0)
        text = SLICE("");
    discovery->conf.configured(discovery->conf.ctx, text);
}

static void watch_configuration(struct discovery *discovery) {
    (void)snprintf(discovery->own.kv_path, sizeof(discovery->own.kv_path), "kv/%s?raw",
                   discovery->conf.kv);
    discovery->own.kv.path = discovery->own.kv_path;
    discovery->own.kv.changed = on_kv;
    consul_watch_start(&discovery->own.kv, &discovery->consul);
}

static void on_left(struct consul_service *service) {
    struct registration *mine = CONTAINER_OF(service, struct registration, service);

    mine->has_left = true;
    sem_post(&mine->discovery->left);
}

static void start_registrations(struct discovery *discovery) {
    for (unsigned i = 0; i < DISCOVERY_SERVICES; i++) {
        struct registration *mine = &discovery->registrations[i];

        if (!mine->wanted || mine->started)
            continue;
        mine->started = true;
        mine->service.id = mine->id;
        mine->service.body = buf_slice(&mine->body);
        mine->service.left = on_left;
        consul_service_start(&mine->service, &discovery->consul);
    }
}

static void leave_all(struct discovery *discovery) {
    discovery->own.leaving = true;
    for (unsigned i = 0; i < DISCOVERY_SERVICES; i++)
        if (discovery->registrations[i].started)
            consul_service_leave(&discovery->registrations[i].service);
}

static void *run_consul(void *arg) {
    struct discovery *discovery = arg;

    for (unsigned i = 0; i < SEARCHES; i++)
        if (discovery->own.search[i].on)
            search_watch(&discovery->own.search[i]);
    watch_configuration(discovery);
    while (!atomic_load(&discovery->stop)) {
        if (atomic_load(&discovery->joins))
            start_registrations(discovery);
        if (atomic_load(&discovery->leaves) && !discovery->own.leaving)
            leave_all(discovery);
        bool unplaced = place_again(discovery);

        http_client_turn(discovery->consul.http, unplaced ? PLACE_AGAIN_MS : IDLE_MS);
        publish(discovery, atomic_load(&discovery->consul.up),
                atomic_load(&discovery->consul.errors));
    }
    for (unsigned i = 0; i < SEARCHES; i++)
        consul_watch_stop(&discovery->own.search[i].watch);
    consul_watch_stop(&discovery->own.kv);
    for (unsigned i = 0; i < DISCOVERY_SERVICES; i++)
        consul_service_stop(&discovery->registrations[i].service);
    return NULL;
}

/* ---- DNS ---- */

static void sleep_ms(struct discovery *discovery, int64_t ms) {
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&discovery->lock);
    while (!atomic_load(&discovery->stop) &&
           pthread_cond_timedwait(&discovery->woken, &discovery->lock, &until) != ETIMEDOUT)
        ;
    (void)pthread_mutex_unlock(&discovery->lock);
}

static void *run_dns(void *arg) {
    struct discovery *discovery = arg;

    while (!atomic_load(&discovery->stop)) {
        uint64_t failed = 0;

        for (unsigned i = 0; i < SEARCHES; i++)
            if (discovery->own.search[i].on)
                failed += !search_look_up(&discovery->own.search[i]);
        publish(discovery, failed == 0, discovery->own.errors + failed);
        sleep_ms(discovery, discovery->conf.config->discovery_dns_ms);
    }
    return NULL;
}

/* ---- life ---- */

static void release(struct discovery *discovery) {
    consul_close(&discovery->consul);
    for (unsigned i = 0; i < DISCOVERY_SERVICES; i++)
        buf_release(&discovery->registrations[i].body);
    (void)pthread_cond_destroy(&discovery->woken);
    (void)pthread_mutex_destroy(&discovery->lock);
    (void)sem_destroy(&discovery->left);
    free(discovery);
}

static struct discovery *make(const struct discovery_conf *conf) {
    struct discovery *discovery = calloc(1, sizeof(*discovery));
    pthread_condattr_t attr;

    if (!discovery)
        return NULL;
    discovery->conf = *conf;
    prepare_searches(discovery);
    (void)sem_init(&discovery->left, 0, 0);
    (void)pthread_mutex_init(&discovery->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&discovery->woken, &attr);
    (void)pthread_condattr_destroy(&attr);
    discovery->up = metrics_series(conf->metrics, METRIC_DISCOVERY_UP, "");
    discovery->instances = metrics_series(conf->metrics, METRIC_DISCOVERY_INSTANCES, "");
    discovery->error_count = metrics_series(conf->metrics, METRIC_DISCOVERY_ERRORS, "");
    return discovery;
}

static int start_thread(struct discovery *discovery, void *(*run)(void *)) {
    if (pthread_create(&discovery->thread, NULL, run, discovery) != 0)
        return give_up("can't discover", "a thread could not be made", EX_OSERR);
    (void)pthread_setname_np(discovery->thread, "hgp-discovery");
    return EX_OK;
}

int discovery_start(const struct discovery_conf *conf, struct discovery **out) {
    bool consul = consul_is(conf->config->discovery_url);
    const char *problem = NULL;

    *out = NULL;
    if (strcmp(conf->config->discovery_url, "static") == 0 ||
        (!consul && !conf->fleet && !conf->analytics))
        return EX_OK;
    struct discovery *discovery = make(conf);
    if (!discovery)
        return give_up("out of memory", "while preparing for discovery", EX_OSERR);
    if (consul)
        problem = consul_open(&discovery->consul, conf->config);
    else
        problem = dns_parse(conf->config->discovery_url, &discovery->dns);
    int code = problem ? give_up("Consul can't be used", problem, EX_CONFIG)
                       : start_thread(discovery, consul ? run_consul : run_dns);
    if (code != EX_OK) {
        release(discovery);
        return code;
    }
    *out = discovery;
    return EX_OK;
}

static void wake(struct discovery *discovery) {
    if (discovery->consul.http)
        http_client_wake(discovery->consul.http);
    (void)pthread_mutex_lock(&discovery->lock);
    (void)pthread_cond_signal(&discovery->woken);
    (void)pthread_mutex_unlock(&discovery->lock);
}

void discovery_join(struct discovery *discovery, enum role role, struct role_parts parts,
                    const struct listen_names *names, bool up) {
    if (!discovery || !discovery->consul.http || !discovery->conf.config->consul_register)
        return;
    struct discovery_self self = {.config = discovery->conf.config,
                                  .version = discovery->conf.version,
                                  .role = role,
                                  .names = names,
                                  .up = up};
    bool analytics = role == ROLE_ANALYTICS;
    bool has[DISCOVERY_SERVICES] = {[DISCOVERY_GATEWAY] = parts.http,
                                    [DISCOVERY_COUNTER] = parts.grpc && !analytics,
                                    [DISCOVERY_ANALYTICS] = parts.grpc && analytics};

    for (unsigned i = 0; i < DISCOVERY_SERVICES; i++) {
        struct registration *mine = &discovery->registrations[i];

        mine->discovery = discovery;
        mine->wanted =
            has[i] && discovery_describe(&self, (enum discovery_service)i, mine->id, &mine->body);
    }
    atomic_store(&discovery->joins, true);
    wake(discovery);
}

bool discovery_leave(struct discovery *discovery) {
    struct timespec until;
    bool any = false;

    if (!discovery || !atomic_load(&discovery->joins))
        return false;
    atomic_store(&discovery->leaves, true);
    wake(discovery);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LEAVE_S;
    for (unsigned i = 0; i < DISCOVERY_SERVICES; i++) {
        if (!discovery->registrations[i].wanted)
            continue;
        any = true;
        while (sem_timedwait(&discovery->left, &until) != 0 && errno == EINTR)
            ;
    }
    return any;
}

void discovery_stop(struct discovery *discovery) {
    if (!discovery)
        return;
    atomic_store(&discovery->stop, true);
    wake(discovery);
    (void)pthread_join(discovery->thread, NULL);
    release(discovery);
}
