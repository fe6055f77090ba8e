/* redis_cluster_tidy.c - one lane after another: silent producers forgotten, the outbox trimmed. */
#include "counter/redis_cluster_internal.h"

#define PAUSE_MS                                                                                   \
    5 /* between two lanes of a loop: 1024 of two loops take less than three seconds               \
       */

/* A loop's own lanes, by turns: lane mod loops is its number. */
static void next_lane(struct redis_cluster *cluster) {
    cluster->tidy.lane += cluster->fleet->conf.loops;
    if (cluster->tidy.lane >= cluster->fleet->layout.lanes)
        cluster->tidy.lane = cluster->store->shard;
}

static void on_tidied(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_cluster *cluster = CONTAINER_OF(request, struct redis_cluster, tidy.request);
    bool more;

    cluster->tidy.under_way = false;
    cluster->tidy.next_ms = loop_now_ms(cluster->loop) + PAUSE_MS;
    if (outcome->reply && outcome->err == ERR_NOT_FOUND)
        cluster_node_load(cluster->tidy.node, &redis_script_tidy);
    /* Away, or being moved: its turn comes again. */
    (void)redis_tidy_heard(cluster->fleet, cluster->store->shard, cluster->tidy.lane, outcome,
                           &more);
    if (!more)
        next_lane(cluster);
}

void cluster_tidy(struct redis_cluster *cluster) {
    const struct redis_layout *layout = &cluster->fleet->layout;
    uint32_t lane = cluster->tidy.lane;
    struct buf *command = &cluster->command;

    if (cluster->tidy.under_way || cluster->closing ||
        loop_now_ms(cluster->loop) < cluster->tidy.next_ms || lane >= layout->lanes)
        return;
    struct cluster_node *node = cluster_map_owner(cluster, redis_lane_slot(lane, layout->lanes));
    if (!node || !node->usable) {
        next_lane(cluster);
        return;
    }
    redis_tidy_command(cluster->fleet, lane, NULL, command);
    cluster->tidy.request.done = on_tidied;
    cluster->tidy.node = node;
    cluster->tidy.under_way =
        !buf_failed(command) &&
        redis_conn_ask(node->conn, &cluster->tidy.request, buf_slice(command)) == ERR_OK;
}
