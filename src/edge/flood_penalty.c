/* flood_penalty.c */
#include "edge/flood_penalty.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/log_budget.h"
#include "base/network.h"
#include "base/random.h"
#include "core/penalty.h"

#define EXEMPT_MAX 512 /* more than fit into the key's text */

struct flood_penalty {
    struct flood_penalty_stats stats;
    _Atomic int64_t last_until_ms; /* no penalty lasts longer; only ever grows */
    size_t exempt_count;
    struct network exempt[EXEMPT_MAX];
    pthread_mutex_t lock; /* of what follows */
    struct penalty_table *table;
    struct log_budget budget;
};

struct flood_penalty *flood_penalty_new(const struct flood_penalty_conf *conf) {
    struct flood_penalty *penalty = calloc(1, sizeof(*penalty));

    if (!penalty)
        return NULL;
    penalty->exempt_count = network_list(conf->exempt, penalty->exempt, EXEMPT_MAX);
    penalty->table = penalty_new(&(struct penalty_conf){.first_ms = conf->first_ms,
                                                        .max_ms = conf->max_ms,
                                                        .clients = conf->clients,
                                                        .seed = {random_u64(), random_u64()}});
    if (!penalty->table) {
        free(penalty);
        return NULL;
    }
    pthread_mutex_init(&penalty->lock, NULL);
    return penalty;
}

void flood_penalty_free(struct flood_penalty *penalty) {
    if (!penalty)
        return;
    penalty_free(penalty->table);
    pthread_mutex_destroy(&penalty->lock);
    free(penalty);
}

static void log_penalty(const struct in6_addr *peer, int64_t lasting_ms, const char *why,
                        unsigned suppressed) {
    char text[INET6_ADDRSTRLEN] = "";

    if (IN6_IS_ADDR_V4MAPPED(peer))
        (void)inet_ntop(AF_INET, &peer->s6_addr[12], text, sizeof(text));
    else
        (void)inet_ntop(AF_INET6, peer, text, sizeof(text));
    log_line(LOG_WARN, "a connection was ended for abuse: new ones of its client wait",
             LOG_STR("peer", text), LOG_STR("why", why), LOG_INT("wait_ms", lasting_ms),
             LOG_INT("suppressed", suppressed));
}

/* Under the lock: later penalties of other clients may end earlier. */
static void begin(struct flood_penalty *penalty, int64_t until_ms) {
    if (until_ms > atomic_load_explicit(&penalty->last_until_ms, memory_order_relaxed))
        atomic_store_explicit(&penalty->last_until_ms, until_ms, memory_order_relaxed);
    atomic_fetch_add_explicit(&penalty->stats.penalties, 1, memory_order_relaxed);
}

void flood_penalty_offend(struct flood_penalty *penalty, const struct in6_addr *peer,
                          int64_t now_ms, const char *why) {
    struct in6_addr client = *peer;
    unsigned suppressed = 0;
    bool tell = false;

    if (network_list_has(penalty->exempt, penalty->exempt_count, peer))
        return;
    network_client(&client);
    pthread_mutex_lock(&penalty->lock);
    int64_t lasting_ms = penalty_offend(penalty->table, &client, now_ms);
    if (lasting_ms) {
        begin(penalty, now_ms + lasting_ms);
        tell = log_budget_take(&penalty->budget, now_ms);
        suppressed = tell ? log_budget_suppressed(&penalty->budget) : 0;
    }
    pthread_mutex_unlock(&penalty->lock);
    if (tell)
        log_penalty(peer, lasting_ms, why, suppressed);
}

bool flood_penalty_in_force(const struct flood_penalty *penalty, int64_t now_ms) {
    return now_ms < atomic_load_explicit(&penalty->last_until_ms, memory_order_relaxed);
}

int64_t flood_penalty_left_ms(struct flood_penalty *penalty, const struct in6_addr *peer,
                              int64_t now_ms) {
    struct in6_addr client = *peer;

    network_client(&client);
    pthread_mutex_lock(&penalty->lock);
    int64_t left_ms = penalty_left_ms(penalty->table, &client, now_ms);
    pthread_mutex_unlock(&penalty->lock);
    return left_ms;
}

struct flood_penalty_stats *flood_penalty_stats(struct flood_penalty *penalty) {
    return &penalty->stats;
}
