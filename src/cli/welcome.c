/* welcome.c - see welcome.h. */
#include "cli/welcome.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/source.h"
#include "cli/store_url.h"
#include "edge/consul.h"

/* ":8080" is announced as 0.0.0.0 or [::], which nobody can type into a browser. */
static void print_try_line(const struct welcome *welcome) {
    const char *name = welcome->parts.http ? welcome->names->http : welcome->names->grpc;
    const char *port = strrchr(name, ':');
    bool any = strncmp(name, "0.0.0.0:", 8) == 0 || strncmp(name, "[::]:", 5) == 0;
    const char *host = any ? "localhost" : "";
    const char *rest = any ? port : name;

    if (welcome->parts.http)
        printf("curl -d '{\"resource_id\":\"post-1\",\"counter_type\":\"like\"}' "
               "http%s://%s%s/api/v1/counter/increment\n",
               welcome->https ? "s" : "", host, rest);
    else if (welcome->role == ROLE_ANALYTICS)
        printf("grpcurl %s-d '{\"counter_type\":\"like\"}' %s%s "
               "analytics.AnalyticsService/GetTopCounters\n",
               welcome->grpcs ? "" : "-plaintext ", host, rest);
    else
        printf("grpcurl %s-d '{\"resource_id\":\"post-1\",\"counter_type\":\"like\"}' "
               "%s%s counter.CounterService/IncrementCounter\n",
               welcome->grpcs ? "" : "-plaintext ", host, rest);
}

static void print_listener(const char *key, const char *name) {
    if (name[0])
        printf("%-6s listening on %s\n", key, name);
}

/* Who says where they are, when it isn't the configuration. */
static const char *counters(const struct config *config) {
    return consul_is(config->discovery_url) ? config->discovery_url : config->counter;
}

static void log_serving(const struct welcome *welcome) {
    const struct config *config = welcome->config;
    const struct listen_names *names = welcome->names;

    struct gateway_promise promise;
    char store[STORE_NAME_BYTES];
    char source[SOURCE_NAME_BYTES];

    source_name(config, source);
    welcome->backend->promise(welcome->backend->ctx, &promise);
    store_name(config, store, sizeof(store));
    if (welcome->parts.core)
        log_line(LOG_INFO, "serving", LOG_STR("role", role_name(welcome->role)),
                 LOG_STR("http", names->http), LOG_STR("grpc", names->grpc),
                 LOG_STR("admin", names->admin), LOG_STR("store", store),
                 LOG_STR("durability", promise.durability), LOG_STR("guarantee", promise.guarantee),
                 LOG_STR("loop", welcome->loop), LOG_INT("threads", welcome->threads));
    else if (welcome->role == ROLE_ANALYTICS)
        log_line(LOG_INFO, "serving", LOG_STR("role", role_name(welcome->role)),
                 LOG_STR("grpc", names->grpc), LOG_STR("admin", names->admin),
                 LOG_STR("data", config->data), LOG_STR("events", source),
                 LOG_STR("loop", welcome->loop), LOG_INT("threads", welcome->threads));
    else
        log_line(LOG_INFO, "serving", LOG_STR("role", role_name(welcome->role)),
                 LOG_STR("http", names->http), LOG_STR("admin", names->admin),
                 LOG_STR("counter", counters(config)), LOG_STR("loop", welcome->loop),
                 LOG_INT("threads", welcome->threads));
}

void welcome_print(const struct welcome *welcome) {
    char store[STORE_NAME_BYTES];
    char source[SOURCE_NAME_BYTES];

    source_name(welcome->config, source);
    store_name(welcome->config, store, sizeof(store));
    if (welcome->parts.core && store_url_is_redis(welcome->config))
        printf("store  %s\n", store);
    else if (welcome->parts.core)
        printf("data   %s\n", store);
    else if (welcome->role == ROLE_ANALYTICS)
        printf("data   %s\nreads the events of %s\n", welcome->config->data, source);
    else
        printf("counts through %s\n", counters(welcome->config));
    print_listener("http", welcome->names->http);
    print_listener("grpc", welcome->names->grpc);
    print_listener("admin", welcome->names->admin);
    print_try_line(welcome);
    printf("ready\n");
    (void)fflush(stdout);
    log_serving(welcome);
}
