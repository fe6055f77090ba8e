/* client_limit.c */
#include "gateway/client_limit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/network.h"
#include "base/random.h"
#include "base/siphash.h"
#include "core/rate_limit.h"
#include "wire/forwarded.h"

#define PARTS        16  /* so that loops hardly ever wait for one another */
#define TRUSTED_MAX  512 /* more than fit into the key's text */
#define FIELDS_BYTES 160

struct part {
    pthread_mutex_t lock;
    struct rate_limit *buckets;
};

struct client_limit {
    struct metrics *metrics;
    metric_series refused;
    metric_series evicted;
    uint64_t seed[2]; /* of the choice of a part */
    atomic_bool on;
    _Atomic uint32_t quota;
    _Atomic uint32_t window_s;
    size_t trusted_count;
    struct network trusted[TRUSTED_MAX];
    struct part parts[PARTS];
};

struct client_limit *client_limit_new(const struct config *config, struct metrics *metrics) {
    struct client_limit *limit = calloc(1, sizeof(*limit));
    /* Its tables cost no memory before they are used. */
    struct rate_limit_conf conf = {
        .per_second = 1, .burst = 1, .clients = config->rate_limit_clients / PARTS};

    if (!limit)
        return NULL;
    limit->metrics = metrics;
    limit->refused = metrics_series(metrics, METRIC_RATE_LIMITED, "");
    limit->evicted = metrics_series(metrics, METRIC_RATE_LIMIT_EVICTIONS, "");
    limit->seed[0] = random_u64();
    limit->seed[1] = random_u64();
    limit->trusted_count =
        network_list(config->rate_limit_trusted_proxies, limit->trusted, TRUSTED_MAX);
    bool made = true;
    for (size_t i = 0; i < PARTS; i++) {
        conf.seed[0] = random_u64();
        conf.seed[1] = random_u64();
        pthread_mutex_init(&limit->parts[i].lock, NULL);
        limit->parts[i].buckets = rate_limit_new(&conf);
        made = made && limit->parts[i].buckets;
    }
    if (made) {
        client_limit_changed(limit, config);
        return limit;
    }
    client_limit_free(limit);
    return NULL;
}

void client_limit_free(struct client_limit *limit) {
    if (!limit)
        return;
    for (size_t i = 0; i < PARTS; i++) {
        rate_limit_free(limit->parts[i].buckets);
        pthread_mutex_destroy(&limit->parts[i].lock);
    }
    free(limit);
}

bool client_limit_is_on(const struct client_limit *limit) {
    return atomic_load_explicit(&limit->on, memory_order_relaxed);
}

void client_limit_changed(struct client_limit *limit, const struct config *config) {
    struct rate_limit_conf conf = {.per_second = config->rate_limit_per_second,
                                   .burst = config->rate_limit_burst};

    atomic_store(&limit->on, conf.per_second != 0);
    if (!conf.per_second)
        return;
    atomic_store(&limit->quota, conf.burst);
    atomic_store(&limit->window_s, rate_limit_window_s(&conf));
    for (size_t i = 0; i < PARTS; i++) {
        (void)pthread_mutex_lock(&limit->parts[i].lock);
        rate_limit_set(limit->parts[i].buckets, conf.per_second, conf.burst);
        (void)pthread_mutex_unlock(&limit->parts[i].lock);
    }
}

static struct rate_limit_key key_of(struct in6_addr client) {
    struct rate_limit_key key;

    network_client(&client);
    _Static_assert(sizeof(key.bytes) == sizeof(client.s6_addr), "a key is an address");
    memcpy(key.bytes, client.s6_addr, sizeof(key.bytes));
    return key;
}

static struct rate_limit_verdict take(struct client_limit *limit, const struct rate_limit_key *key,
                                      int64_t now_ms) {
    uint64_t hash = siphash(limit->seed, slice_of((const char *)key->bytes, sizeof(key->bytes)));
    struct part *part = &limit->parts[hash % PARTS];

    pthread_mutex_lock(&part->lock);
    struct rate_limit_verdict verdict = rate_limit_take(part->buckets, key, now_ms);
    pthread_mutex_unlock(&part->lock);
    return verdict;
}

static void tell(const struct client_limit *limit, struct http_exchange *exchange,
                 const struct rate_limit_verdict *verdict) {
    char fields[FIELDS_BYTES];
    int len =
        snprintf(fields, sizeof(fields),
                 "RateLimit-Policy: \"client\";q=%u;w=%u\r\nRateLimit: \"client\";r=%u;t=%u\r\n",
                 atomic_load_explicit(&limit->quota, memory_order_relaxed),
                 atomic_load_explicit(&limit->window_s, memory_order_relaxed), verdict->remaining,
                 verdict->reset_s);

    if (!verdict->allowed)
        len += snprintf(fields + len, sizeof(fields) - (size_t)len, "Retry-After: %u\r\n",
                        verdict->retry_s);
    http_set_fields(exchange, slice_of(fields, (size_t)len));
}

bool client_limit_admit(struct client_limit *limit, struct http_exchange *exchange,
                        const struct http1_request *http, unsigned shard, int64_t now_ms) {
    struct in6_addr client;

    if (!http_peer(exchange, &client))
        return true; /* gone: there is nobody to refuse */
    if (limit->trusted_count)
        client = forwarded_client(http, client, limit->trusted, limit->trusted_count);
    struct rate_limit_key key = key_of(client);
    struct rate_limit_verdict verdict = take(limit, &key, now_ms);

    if (!verdict.allowed)
        metrics_add(limit->metrics, shard, limit->refused, 1);
    if (verdict.evicted)
        metrics_add(limit->metrics, shard, limit->evicted, 1);
    tell(limit, exchange, &verdict);
    return verdict.allowed;
}
