/* redis_cluster_map.c - who serves which slot: asked when there is reason to, never by time alone.
 *
 * As long as a slot has no master that can be used, it is asked again and again: a replica may be
 * taking over.
 */
#include <stdio.h>

#include "counter/redis_cluster_internal.h"
#include "edge/redis_command.h"

#define WANTED_MS 40  /* many calls learn at once that a slot has moved */
#define AGAIN_MS  300 /* what is missing may come */

static void look_in(struct redis_cluster *cluster, int64_t ms) {
    if (!cluster->closing && !timer_armed(&cluster->look))
        timer_start(cluster->loop, &cluster->look, cluster_jitter(cluster, ms));
}

struct cluster_node *cluster_map_owner(const struct redis_cluster *cluster, uint16_t slot) {
    uint16_t owner = cluster->map.owner[slot];

    return owner == REDIS_NO_NODE ? NULL : cluster->owners[owner];
}

bool cluster_map_seeds(struct redis_cluster *cluster) {
    const struct redis_url *url = &cluster->fleet->conf.url;
    struct redis_url seed;
    unsigned count = 1;

    for (const char *at = url->address; *at; at++)
        count += *at == ',';
    for (unsigned i = 0; i < count; i++) {
        redis_url_node(url, i, &seed);
        if (!cluster_node_at(cluster, seed.address))
            return false;
    }
    return true;
}

/* ---- a new map ---- */

/* Every lane's slot has a master, and we a connection to it. */
static bool complete(const struct redis_cluster *cluster, bool *out_served) {
    bool usable = true;

    *out_served = true;
    for (uint32_t slot = 0; slot < REDIS_SLOTS; slot++) {
        const struct cluster_node *node = cluster_map_owner(cluster, (uint16_t)slot);

        *out_served &= node != NULL;
        usable &= node && node->usable;
    }
    return usable;
}

static bool is_asked_by_a_part(const struct redis_cluster *cluster,
                               const struct cluster_node *node) {
    for (struct list *at = cluster->waiting.next; at != &cluster->waiting; at = at->next) {
        if (CONTAINER_OF(at, struct cluster_part, waiting)->ask == node)
            return true;
    }
    return false;
}

/* Seeds that are replicas, and masters that serve nothing any more. */
static void drop_others(struct redis_cluster *cluster) {
    struct list *next;

    for (struct list *at = cluster->nodes.next; at != &cluster->nodes; at = next) {
        struct cluster_node *node = CONTAINER_OF(at, struct cluster_node, link);

        next = at->next;
        if (!node->needed && !is_asked_by_a_part(cluster, node))
            cluster_node_leave(node);
    }
}

static void find_owners(struct redis_cluster *cluster) {
    for (struct list *at = cluster->nodes.next; at != &cluster->nodes; at = at->next)
        CONTAINER_OF(at, struct cluster_node, link)->needed = false;
    for (uint16_t i = 0; i < cluster->map.count; i++) {
        cluster->owners[i] = cluster_node_at(cluster, cluster->map.address[i]);
        if (cluster->owners[i])
            cluster->owners[i]->needed = true;
    }
    drop_others(cluster);
}

static void settle(struct redis_cluster *cluster) {
    bool served;

    if (complete(cluster, &served)) {
        cluster_open(cluster);
        return;
    }
    if (!served)
        cluster_problem(cluster, ERR_UNAVAILABLE, "some slots of the Cluster have no master");
    cluster->map_wanted = true;
    look_in(cluster, AGAIN_MS);
}

static const char *why_not(const struct redis_outcome *outcome, enum err err) {
    return outcome->err == ERR_OK ? err_text(err) : redis_reply_text(outcome->reply).ptr;
}

static void on_slots(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_cluster *cluster = CONTAINER_OF(request, struct redis_cluster, slots);
    struct cluster_node *asked = cluster->asked;
    enum err err = outcome->err;

    cluster->asked = NULL;
    if (cluster->closing)
        return;
    if (err == ERR_OK)
        err = redis_map_read(outcome->reply, asked->url.address, &cluster->fresh);
    if (err != ERR_OK) {
        /* Of an older version, or no Cluster: its INFO says what it is. */
        if (outcome->reply)
            cluster_problem(cluster, ERR_INVALID, why_not(outcome, err));
        cluster->map_wanted = true;
        look_in(cluster, AGAIN_MS);
        return;
    }
    cluster->map = cluster->fresh;
    cluster->map_wanted = false;
    find_owners(cluster);
    settle(cluster);
    cluster_tell(cluster);
}

/* ---- asking ---- */

static bool ask(struct redis_cluster *cluster, struct cluster_node *node) {
    struct buf *command = &cluster->command;

    buf_clear(command);
    redis_command_begin(command, 2);
    redis_command_arg(command, SLICE("CLUSTER"));
    redis_command_arg(command, SLICE("SLOTS"));
    cluster->slots.done = on_slots;
    if (buf_failed(command) ||
        redis_conn_ask(node->conn, &cluster->slots, buf_slice(command)) != ERR_OK)
        return false;
    cluster->asked = node;
    return true;
}

/* By turns: one that is cut off from the others believes in an old map. */
static void ask_anyone(struct redis_cluster *cluster) {
    struct list *first = cluster->nodes.next;

    for (struct list *at = first; at != &cluster->nodes; at = at->next) {
        struct cluster_node *node = CONTAINER_OF(at, struct cluster_node, link);

        if (redis_conn_ready(node->conn) && ask(cluster, node)) {
            list_remove(&node->link);
            list_push_back(&cluster->nodes, &node->link);
            return;
        }
    }
    /* None of those that we know: they come back by themselves, or the seeds know better. */
    if (!cluster_map_seeds(cluster))
        look_in(cluster, AGAIN_MS);
}

static void on_look(struct timer *timer) {
    struct redis_cluster *cluster = CONTAINER_OF(timer, struct redis_cluster, look);

    if (cluster->map_wanted && !cluster->asked)
        ask_anyone(cluster);
    else if (!cluster->map_wanted)
        cluster_open(cluster);
}

void cluster_map_want(struct redis_cluster *cluster) {
    cluster->map_wanted = true;
    cluster->look.fire = on_look;
    look_in(cluster, WANTED_MS);
}

void cluster_map_node_ready(struct redis_cluster *cluster, struct cluster_node *node) {
    if (cluster->map_wanted && !cluster->asked && !cluster->closing)
        (void)ask(cluster, node);
}

void cluster_map_node_changed(struct redis_cluster *cluster, struct cluster_node *node) {
    bool served;

    if (cluster->closing)
        return;
    if (!node->usable)
        cluster_map_want(cluster);
    else if (!cluster->map_wanted && complete(cluster, &served))
        cluster_open(cluster);
    cluster_tell(cluster);
}

void cluster_map_moved(struct redis_cluster *cluster, const struct redis_redirect *to) {
    uint16_t number = redis_map_node(&cluster->map, to->address);

    cluster_map_want(cluster);
    if (number == REDIS_NO_NODE)
        return;
    cluster->owners[number] = cluster_node_at(cluster, to->address);
    cluster->map.owner[to->slot] = number;
}
