/* redis_cluster_tidy.c - one lane after another: silent producers forgotten, the outbox trimmed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "counter/redis_cluster_internal.h"
#include "edge/redis_command.h"

#define PAUSE_MS                                                                                   \
    5 /* between two lanes of a loop: 1024 of two loops take less than three seconds               \
       */

/* A loop's own lanes, by turns: lane mod loops is its number. */
static void next_lane(struct redis_cluster *cluster) {
    cluster->tidy.lane += cluster->fleet->conf.loops;
    if (cluster->tidy.lane >= cluster->fleet->layout.lanes)
        cluster->tidy.lane = cluster->store->shard;
}

static void count_tidied(struct redis_cluster *cluster, int64_t trimmed, int64_t bytes) {
    const struct redis_fleet *fleet = cluster->fleet;
    uint64_t *slot = &cluster->tidy.bytes[cluster->tidy.lane];

    cluster->tidy.sum += (uint64_t)bytes - *slot;
    *slot = (uint64_t)bytes;
    metrics_set(fleet->conf.metrics, cluster->store->shard, fleet->series.outbox_bytes,
                cluster->tidy.sum);
    metrics_add(fleet->conf.metrics, cluster->store->shard, fleet->series.trimmed,
                (uint64_t)trimmed);
}

static void on_tidied(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_cluster *cluster = CONTAINER_OF(request, struct redis_cluster, tidy.request);
    int64_t trimmed = 0;
    int64_t bytes = 0;
    int64_t more = 0;

    cluster->tidy.under_way = false;
    cluster->tidy.next_ms = loop_now_ms(cluster->loop) + PAUSE_MS;
    /* Away, or being moved: its turn comes again. */
    if (outcome->err == ERR_OK && redis_reply_count(outcome->reply) == 4 &&
        redis_reply_i64(redis_reply_at(outcome->reply, 0), &trimmed) &&
        redis_reply_i64(redis_reply_at(outcome->reply, 1), &bytes) &&
        redis_reply_i64(redis_reply_at(outcome->reply, 3), &more))
        count_tidied(cluster, trimmed, bytes);
    if (!more)
        next_lane(cluster);
}

static void add_number(struct buf *out, int64_t number) {
    char text[32];
    int len = snprintf(text, sizeof(text), "%" PRId64, number);

    redis_command_arg(out, slice_of(text, (size_t)len));
}

static void write_command(struct redis_cluster *cluster, uint32_t lane, struct buf *out) {
    static const char *const keys[] = {"m", "w", "o"};
    const struct redis_fleet *fleet = cluster->fleet;
    const struct redis_layout *layout = &fleet->layout;
    struct buf key = {0};

    buf_clear(out);
    redis_command_begin(out, 3 + ARRAY_LEN(keys) + 4);
    redis_command_arg(out, SLICE("EVALSHA"));
    redis_command_arg(out, slice_str(redis_script_tidy.sha1));
    add_number(out, ARRAY_LEN(keys));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        buf_clear(&key);
        redis_lane_key(&key, layout, lane, keys[i]);
        redis_command_arg(out, buf_slice(&key));
    }
    redis_command_arg(out, slice_str(layout->tags[lane].text));
    add_number(out, (int64_t)layout->epochs[lane]);
    add_number(out, (int64_t)(fleet->conf.outbox_max_bytes / layout->lanes));
    add_number(out, fleet->conf.outbox_max_age_ms);
    out->failed |= buf_failed(&key);
    buf_release(&key);
}

void cluster_tidy(struct redis_cluster *cluster) {
    const struct redis_layout *layout = &cluster->fleet->layout;
    uint32_t lane = cluster->tidy.lane;
    struct buf *command = &cluster->command;

    if (cluster->tidy.under_way || cluster->closing ||
        loop_now_ms(cluster->loop) < cluster->tidy.next_ms || lane >= layout->lanes)
        return;
    if (!cluster->tidy.bytes)
        cluster->tidy.bytes = calloc(layout->lanes, sizeof(*cluster->tidy.bytes));
    struct cluster_node *node = cluster_map_owner(cluster, redis_lane_slot(lane, layout->lanes));
    if (!cluster->tidy.bytes)
        return;
    if (!node || !node->usable) {
        next_lane(cluster);
        return;
    }
    write_command(cluster, lane, command);
    cluster->tidy.request.done = on_tidied;
    cluster->tidy.under_way =
        !buf_failed(command) &&
        redis_conn_ask(node->conn, &cluster->tidy.request, buf_slice(command)) == ERR_OK;
}
