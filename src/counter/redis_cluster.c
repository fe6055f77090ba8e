/* redis_cluster.c - the store's life: up and down, the clock, the end. */
#include "counter/redis_cluster.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/random.h"
#include "counter/redis_cluster_internal.h"

#define DAMAGE_EVERY_MS 1000 /* every message may meet it */

int64_t cluster_jitter(struct redis_cluster *cluster, int64_t ms) {
    cluster->random ^= cluster->random << 13; /* xorshift64 */
    cluster->random ^= cluster->random >> 7;
    cluster->random ^= cluster->random << 17;
    return ms / 2 + (int64_t)(cluster->random % (uint64_t)(ms / 2 + 1));
}

/* ---- up and down ---- */

bool cluster_all_tried(const struct redis_cluster *cluster) {
    for (const struct list *at = cluster->nodes.next; at != &cluster->nodes; at = at->next) {
        if (!CONTAINER_OF(at, struct cluster_node, link)->tried)
            return false;
    }
    return cluster->usable == 0;
}

static void count_up(struct redis_cluster *cluster, bool up) {
    if (cluster->counted_up == up || cluster->store->aside)
        return;
    cluster->counted_up = up;
    atomic_fetch_add(&cluster->fleet->loops_up, up ? 1 : -1u);
}

/* Up with any node that can be used: what the others have is refused, lane by lane. */
void cluster_tell(struct redis_cluster *cluster) {
    bool up = cluster->opened && cluster->usable > 0;

    count_up(cluster, up);
    if (cluster->told ? cluster->told_up == up
                      : !up && !cluster->failed && !cluster_all_tried(cluster))
        return;
    cluster->told = true;
    cluster->told_up = up;
    cluster->store->user.changed(cluster->store->user.ctx, up);
}

void cluster_problem(struct redis_cluster *cluster, enum err err, const char *why) {
    cluster->failed = true;
    redis_fleet_link_down(cluster->fleet, err, why);
}

void cluster_damage(struct redis_cluster *cluster, struct slice detail) {
    int64_t now_ms = loop_now_ms(cluster->loop);

    if (cluster->damage_ms == 0 || now_ms - cluster->damage_ms >= DAMAGE_EVERY_MS) {
        cluster->damage_ms = now_ms;
        log_line(LOG_ERROR, "Redis could not apply a message",
                 LOG_STR("store", cluster->fleet->name), LOG_SLICE("detail", detail));
    }
    if (!cluster->opened || !memmem(detail.ptr, detail.len, " is of store ", 13))
        return;
    /* Emptied and laid out anew under us: hgp:meta has the last word. */
    cluster->opened = false;
    cluster_map_want(cluster);
    cluster_tell(cluster);
}

/* ---- the clock ---- */

/* The latest of the nodes': what is stamped by it is old for none. */
void cluster_learn_clock(struct redis_cluster *cluster) {
    int64_t now_ms = loop_now_ms(cluster->loop);
    int64_t ahead_ms = INT64_MIN;

    for (const struct list *at = cluster->nodes.next; at != &cluster->nodes; at = at->next) {
        const struct cluster_node *node = CONTAINER_OF(at, struct cluster_node, link);

        if (node->clock_known && node->ahead_ms > ahead_ms)
            ahead_ms = node->ahead_ms;
    }
    if (ahead_ms != INT64_MIN)
        redis_store_learn_clock(cluster->store, now_ms + ahead_ms);
}

bool cluster_read_strings(struct redis_cluster *cluster, const struct redis_reply *reply) {
    size_t count = redis_reply_count(reply);

    if (count > cluster->strings_cap) {
        struct slice *strings = realloc(cluster->strings, count * sizeof(*strings));
        if (!strings)
            return false;
        cluster->strings = strings;
        cluster->strings_cap = count;
    }
    for (size_t i = 0; i < count; i++)
        cluster->strings[i] = redis_reply_text(redis_reply_at(reply, i));
    return true;
}

/* ---- what isn't a message ---- */

void redis_cluster_tick(struct redis_cluster *cluster) {
    struct list *next;

    for (struct list *at = cluster->nodes.next; at != &cluster->nodes; at = next) {
        next = at->next; /* one that is given up may leave */
        redis_hold_tick(&CONTAINER_OF(at, struct cluster_node, link)->hold);
    }
}

struct redis_conn *redis_cluster_conn(struct redis_cluster *cluster, uint16_t slot) {
    struct cluster_node *node = cluster_map_owner(cluster, slot);

    return node && node->usable ? node->conn : NULL;
}

/* A slot on its way has to arrive first: ASK and TRYAGAIN are no reason to do anything. */
void redis_cluster_trouble(struct redis_cluster *cluster, uint16_t slot,
                           const struct redis_outcome *outcome) {
    struct slice text = redis_reply_text(outcome->reply);
    struct cluster_node *node = cluster_map_owner(cluster, slot);
    struct redis_redirect to;
    char why[REDIS_DETAIL_BYTES];

    (void)snprintf(why, sizeof(why), "%.*s", SLICE_ARGS(text));
    if (node && redis_redirect_read(text, node->url.address, &to)) {
        if (!to.ask)
            cluster_map_moved(cluster, &to);
    } else if (outcome->err == ERR_NOT_FOUND && node) {
        redis_conn_give_up(node->conn, why); /* the scripts come with the next greeting */
    } else if (outcome->err == ERR_LAYOUT || outcome->err == ERR_CORRUPT) {
        cluster_damage(cluster, text);
    } else if (outcome->err == ERR_INTERNAL) {
        redis_fleet_complain(cluster->fleet, why);
    } else {
        cluster_map_want(cluster);
    }
}

/* ---- life ---- */

static void release(struct redis_cluster *cluster) {
    cluster_calls_free(cluster);
    cluster_open_release(&cluster->opening);
    timer_stop(cluster->loop, &cluster->look);
    timer_stop(cluster->loop, &cluster->again);
    timer_stop(cluster->loop, &cluster->later);
    buf_release(&cluster->command);
    free(cluster->strings);
    free(cluster);
}

static void on_later(struct timer *timer) {
    struct redis_cluster *cluster = CONTAINER_OF(timer, struct redis_cluster, later);

    cluster_call_local(cluster);
    if (cluster->closing && list_empty(&cluster->nodes) && list_empty(&cluster->leaving)) {
        void (*closed)(void *ctx) = cluster->closed;
        void *ctx = cluster->closed_ctx;

        release(cluster);
        closed(ctx);
    }
}

struct redis_cluster *redis_cluster_new(struct redis_store *store) {
    struct redis_cluster *cluster = calloc(1, sizeof(*cluster));

    if (!cluster)
        return NULL;
    cluster->store = store;
    cluster->fleet = store->fleet;
    cluster->loop = store->loop;
    cluster->random = random_u64() | 1;
    cluster->tidy.lane = store->shard;
    cluster->again.fire = cluster_part_again;
    cluster->later.fire = on_later;
    list_init(&cluster->nodes);
    list_init(&cluster->leaving);
    list_init(&cluster->free);
    list_init(&cluster->local);
    list_init(&cluster->waiting);
    redis_map_clear(&cluster->map);
    return cluster;
}

bool redis_cluster_connect(struct redis_cluster *cluster) {
    if (!cluster_map_seeds(cluster))
        return false;
    cluster_map_want(cluster);
    return true;
}

void cluster_rest(struct redis_cluster *cluster) {
    if (cluster->closing)
        timer_start(cluster->loop, &cluster->later, 0);
}

void redis_cluster_close(struct redis_cluster *cluster, void (*closed)(void *ctx), void *ctx) {
    cluster->closed = closed;
    cluster->closed_ctx = ctx;
    cluster->closing = true;
    count_up(cluster, false);
    timer_stop(cluster->loop, &cluster->look);
    cluster_part_give_back(cluster);
    while (!list_empty(&cluster->nodes))
        cluster_node_leave(CONTAINER_OF(cluster->nodes.next, struct cluster_node, link));
    timer_start(cluster->loop, &cluster->later, 0);
}
