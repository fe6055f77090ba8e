/* redis_cluster_node.c - one node's connection: ready, its settings read, usable. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/random.h"
#include "counter/redis_cluster_internal.h"
#include "edge/redis_command.h"

#define BACKOFF_MIN_MS 25
#define BACKOFF_MAX_MS 500 /* what is back is found within a second */
#define LOOK_EVERY_MS  2000

static const struct redis_scripts scripts = {
    {&redis_script_apply_cluster, &redis_script_tidy, &redis_script_consumer, &redis_script_lease,
     &redis_script_cluster_lane, &redis_script_cluster_meta}};

static void set_usable(struct cluster_node *node, bool usable) {
    struct redis_cluster *cluster = node->cluster;
    struct redis_fleet *fleet = cluster->fleet;

    if (node->usable == usable)
        return;
    node->usable = usable;
    node->clock_known = false;
    cluster->usable += usable ? 1 : -1u;
    if (!usable)
        atomic_fetch_sub(&fleet->usable, 1);
    metrics_set(fleet->conf.metrics, cluster->store->shard, fleet->series.connections,
                cluster->usable);
}

/* ---- hello ---- */

/* The guarantee is the weakest node's: by mode, then by what a power loss takes. */
static int strength(const struct redis_fleet *fleet, const struct redis_given *given) {
    int mode = 8 * (int)redis_mode(fleet, given);

    if (!given->version[0])
        return mode;
    if (!given->appendonly)
        return mode + 1;
    return mode + (given->fsync == FSYNC_ALWAYS ? 4 : given->fsync == FSYNC_EVERYSEC ? 3 : 2);
}

const struct redis_given *cluster_weakest(const struct redis_cluster *cluster) {
    const struct redis_fleet *fleet = cluster->fleet;
    const struct redis_given *given = NULL;

    for (struct list *at = cluster->nodes.next; at != &cluster->nodes; at = at->next) {
        const struct cluster_node *node = CONTAINER_OF(at, struct cluster_node, link);

        if (node->usable && (!given || strength(fleet, &node->given) < strength(fleet, given)))
            given = &node->given;
    }
    return given;
}

/* Each loop has its own connections; one of them says so. */
static bool speaks(const struct redis_cluster *cluster) {
    return cluster->store->shard == 0;
}

static void begin_using(struct cluster_node *node) {
    node->tried = true;
    set_usable(node, true);
    if (speaks(node->cluster))
        log_line(LOG_INFO, "a node of the Redis Cluster can be used",
                 LOG_STR("node", node->url.address), LOG_STR("redis_version", node->given.version),
                 LOG_STR("guarantee", redis_guarantee_alone(&node->given)));
    redis_fleet_link_up(node->cluster->fleet, cluster_weakest(node->cluster));
    cluster_map_node_changed(node->cluster, node);
}

static void on_info(struct redis_request *request, const struct redis_outcome *outcome) {
    struct cluster_node *node = CONTAINER_OF(request, struct cluster_node, info);

    if (outcome->reply && outcome->err == ERR_OK)
        redis_given_info(&node->heard, redis_reply_text(outcome->reply));
}

static void on_wait(struct redis_request *request, const struct redis_outcome *outcome) {
    struct cluster_node *node = CONTAINER_OF(request, struct cluster_node, wait);
    char detail[REDIS_DETAIL_BYTES];

    if (!outcome->reply || outcome->err == ERR_OK)
        return;
    node->refused = ERR_INVALID;
    redis_wait_denied(outcome, detail, sizeof(detail));
    redis_conn_give_up(node->conn, detail);
}

static void on_config(struct redis_request *request, const struct redis_outcome *outcome) {
    struct cluster_node *node = CONTAINER_OF(request, struct cluster_node, config);
    struct redis_fleet *fleet = node->cluster->fleet;
    char detail[REDIS_DETAIL_BYTES];

    if (!outcome->reply) /* on_down() says so */
        return;
    if (outcome->err == ERR_OK)
        redis_given_config(&node->heard, outcome->reply);
    node->given = node->heard;
    node->look_ms = loop_now_ms(node->cluster->loop) + LOOK_EVERY_MS;
    node->refused = redis_fleet_judge(fleet, &node->given, detail, sizeof(detail));
    if (node->refused != ERR_OK)
        redis_conn_give_up(node->conn, detail);
    else if (node->usable)
        redis_fleet_given(fleet, cluster_weakest(node->cluster));
    else
        begin_using(node);
}

static void ask(struct cluster_node *node, struct redis_request *request, size_t count,
                const struct slice *args) {
    struct buf *command = &node->cluster->command;
    enum err err = ERR_NO_MEMORY;

    buf_clear(command);
    redis_command_begin(command, count);
    for (size_t i = 0; i < count; i++)
        redis_command_arg(command, args[i]);
    if (!buf_failed(command))
        err = redis_conn_ask(node->conn, request, buf_slice(command));
    if (err != ERR_OK)
        redis_conn_give_up(node->conn, err_text(err));
}

static void ask_settings(struct cluster_node *node) {
    static const struct slice info[] = {{"INFO", 4}};
    static const struct slice config[] = {
        {"CONFIG", 6}, {"GET", 3}, {REDIS_SETTINGS, sizeof(REDIS_SETTINGS) - 1}};

    node->look_ms = INT64_MAX;
    node->heard = (struct redis_given){.replicas = -1, .acking = -1};
    node->info.done = on_info;
    node->config.done = on_config;
    ask(node, &node->info, ARRAY_LEN(info), info);
    if (redis_conn_ready(node->conn))
        ask(node, &node->config, ARRAY_LEN(config), config);
}

void cluster_node_look(struct cluster_node *node) {
    if (node->usable && loop_now_ms(node->cluster->loop) >= node->look_ms)
        ask_settings(node);
}

static void on_ready(void *ctx) {
    static const struct slice may_wait[] = {{"WAIT", 4}, {"0", 1}, {"1", 1}};
    struct cluster_node *node = ctx;

    node->refused = ERR_OK;
    node->loading = false;
    node->wait.done = on_wait;
    /* A replica's word is good enough for that; what it is itself, it says next. */
    cluster_map_node_ready(node->cluster, node);
    if (redis_waits(node->cluster->store) && redis_conn_ready(node->conn))
        ask(node, &node->wait, ARRAY_LEN(may_wait), may_wait);
    if (redis_conn_ready(node->conn))
        ask_settings(node);
}

static void on_down(void *ctx) {
    struct cluster_node *node = ctx;
    struct redis_cluster *cluster = node->cluster;
    char why[REDIS_DETAIL_BYTES];
    enum err err = node->refused;

    if (err == ERR_OK)
        err = redis_conn_refused(node->conn) ? ERR_INVALID : ERR_UNREACHABLE;
    (void)snprintf(why, sizeof(why), "%.128s: %.350s", node->url.address,
                   redis_conn_problem(node->conn));
    if (node->usable && speaks(cluster))
        log_line(LOG_WARN, "a node of the Redis Cluster is lost",
                 LOG_STR("node", node->url.address),
                 LOG_STR("why", redis_conn_problem(node->conn)));
    node->tried = true;
    set_usable(node, false);
    /* One of several seeds that is away or a replica is no problem. */
    if (node->needed || cluster_all_tried(cluster))
        cluster_problem(cluster, err, why);
    cluster_map_node_changed(cluster, node);
}

/* ---- NOSCRIPT: somebody has flushed the scripts, or a replica has taken over ---- */

static void on_loaded(struct redis_request *request, const struct redis_outcome *outcome) {
    struct cluster_node *node = CONTAINER_OF(request, struct cluster_node, load);

    node->loading = false;
    if (outcome->reply && outcome->err != ERR_OK)
        redis_conn_give_up(node->conn, "Redis doesn't load a script of ours again");
}

void cluster_node_load(struct cluster_node *node, const struct redis_script *script) {
    const struct slice args[] = {SLICE("SCRIPT"), SLICE("LOAD"), script->text};

    if (node->loading)
        return;
    node->loading = true;
    node->load.done = on_loaded;
    ask(node, &node->load, ARRAY_LEN(args), args);
}

/* ---- life ---- */

static bool connect_to(struct cluster_node *node) {
    const struct redis_fleet_conf *own = &node->cluster->fleet->conf;
    struct redis_conn_conf conf = {.resolver = own->resolver,
                                   .url = &node->url,
                                   .tls = own->tls,
                                   .scripts = &scripts,
                                   .connect_ms = own->connect_ms,
                                   .response_ms = own->response_ms,
                                   .backoff_min_ms = BACKOFF_MIN_MS,
                                   .backoff_max_ms = BACKOFF_MAX_MS,
                                   .on_ready = on_ready,
                                   .on_down = on_down,
                                   .ctx = node,
                                   .seed = random_u64()};

    node->conn = redis_conn_new(node->cluster->loop, &conf);
    return node->conn != NULL;
}

struct cluster_node *cluster_node_at(struct redis_cluster *cluster, const char *address) {
    for (struct list *at = cluster->nodes.next; at != &cluster->nodes; at = at->next) {
        struct cluster_node *node = CONTAINER_OF(at, struct cluster_node, link);

        if (strcmp(node->url.address, address) == 0)
            return node;
    }
    struct cluster_node *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->cluster = cluster;
    node->url = cluster->fleet->conf.url;
    (void)snprintf(node->url.address, sizeof(node->url.address), "%s", address);
    if (!connect_to(node)) {
        free(node);
        return NULL;
    }
    redis_hold_init(&node->hold, cluster->store, cluster_call_release);
    node->hold.conn = node->conn;
    list_init(&node->link);
    list_push_back(&cluster->nodes, &node->link);
    return node;
}

static void on_closed(void *ctx) {
    struct cluster_node *node = ctx;
    struct redis_cluster *cluster = node->cluster;

    list_remove(&node->link);
    explicit_bzero(node->url.password, sizeof(node->url.password));
    free(node);
    cluster_rest(cluster);
}

void cluster_node_leave(struct cluster_node *node) {
    struct redis_cluster *cluster = node->cluster;

    set_usable(node, false);
    for (uint16_t i = 0; i < cluster->map.count; i++) {
        if (cluster->owners[i] == node)
            cluster->owners[i] = NULL;
    }
    list_remove(&node->link);
    list_push_back(&cluster->leaving, &node->link);
    redis_conn_close(node->conn, on_closed, node);
}
