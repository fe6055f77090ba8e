/* role.c - names, defaults, keys and parts of the roles. */
#include "cli/role.h"

#include <string.h>

static const char *const names[ROLES] = {[ROLE_ALL] = "all",
                                         [ROLE_GATEWAY] = "gateway",
                                         [ROLE_COUNTER] = "counter",
                                         [ROLE_ANALYTICS] = "analytics"};

static const char *const about[ROLES] = {
    [ROLE_ALL] = "The whole service in one process; the default.",
    [ROLE_GATEWAY] = "The HTTP API in front of counter processes.",
    [ROLE_COUNTER] = "The counter core with its store, over gRPC.",
    [ROLE_ANALYTICS] = "Rankings and series of what a counter counts, over gRPC.",
};

/* Keys, or groups of keys where the name ends in a dot or an underscore. NULL-terminated. */
static const char *const unused[ROLES][32] = {
    [ROLE_ALL] = {"counter", "gateway.", "analytics.partitions", "discovery.tags",
                  "discovery.dns_ms"},
    [ROLE_GATEWAY] = {"grpc", "data", "store", "lanes", "durability.", "limits.grpc_", "outbox.",
                      "events.", "kafka.", "kafka_tls.", "idempotency.ttl_ms", "cache.", "rocksdb.",
                      "redis.", "redis_tls.", "analytics."},
    [ROLE_COUNTER] = {"http", "http_tls.", "counter", "gateway.", "idempotency.required",
                      "rate_limit.", "analytics.counters_max", "analytics.block_cache_bytes",
                      "analytics.write_buffer_bytes", "analytics.commit_ms", "analytics.partitions",
                      "stream.heartbeat_ms", "overload.", "stale_reads.", "discovery.tags",
                      "discovery.dns_ms"},
    [ROLE_ANALYTICS] = {"http", "http_tls.", "gateway.", "rate_limit.", "batch.", "events.format",
                        "events.partitions", "events.in_flight", "events.coalesce",
                        "idempotency.required", "cache.", "rocksdb.", "analytics.enabled",
                        "stream.", "overload.", "stale_reads.", "discovery.tags",
                        "discovery.dns_ms"},
};

const char *role_name(enum role role) {
    return names[role];
}

const char *role_about(enum role role) {
    return about[role];
}

enum role role_find(const char *name) {
    unsigned i = 0;

    while (i < ROLES && strcmp(name, names[i]) != 0)
        i++;
    return (enum role)i;
}

const char *role_names(void) {
    return "all, gateway, counter or analytics";
}

/* The three services of one machine mustn't meet (CONTRACT B). */
void role_defaults(enum role role, struct config *cfg, struct config_problems *problems) {
    struct config_source source = {.layer = CONFIG_DEFAULT};

    if (role == ROLE_COUNTER)
        (void)config_set(cfg, "admin", "127.0.0.1:2113", source, problems);
    if (role != ROLE_ANALYTICS)
        return;
    (void)config_set(cfg, "admin", "127.0.0.1:2114", source, problems);
    (void)config_set(cfg, "grpc", ":50052", source, problems);
    (void)config_set(cfg, "data", "highgopress-analytics", source, problems);
}

static bool names_key(const char *entry, const char *key) {
    size_t len = strlen(entry);
    bool group = entry[len - 1] == '.' || entry[len - 1] == '_';

    return group ? strncmp(key, entry, len) == 0 : strcmp(key, entry) == 0;
}

bool role_uses(enum role role, enum config_key key) {
    for (const char *const *entry = unused[role]; *entry; entry++)
        if (names_key(*entry, config_row(key)->key))
            return false;
    return true;
}

bool role_leaves_out(enum role role, enum config_key key) {
    if (key == CONFIG_KEY_store)
        return role == ROLE_ANALYTICS;
    return role != ROLE_COUNTER && role != ROLE_ANALYTICS && key == CONFIG_KEY_grpc;
}

struct role_parts role_parts(enum role role, const struct config *config) {
    bool alone = role == ROLE_ANALYTICS;
    bool gateway = role == ROLE_GATEWAY;
    bool core = !alone && !(gateway && config->gateway_upstream == CONFIG_UPSTREAM_GRPC);
    /* Beside an HTTP API only on request: nobody expects a second public port. */
    bool wants_grpc = config->source[CONFIG_KEY_grpc].layer != CONFIG_DEFAULT;

    return (struct role_parts){
        .http = role != ROLE_COUNTER && !alone,
        .grpc = role == ROLE_COUNTER || alone || (core && wants_grpc),
        .core = core,
        .counters =
            (!core || (gateway && config->gateway_upstream == CONFIG_UPSTREAM_CANARY)) && !alone,
    };
}
