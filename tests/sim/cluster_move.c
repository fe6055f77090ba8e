/* cluster_move.c - finds what is a lane's, puts it there, takes it away here. */
#include "cluster_move.h"

#include <stdlib.h>

#include "core/hash.h"
#include "core/lane.h"
#include "redis_internal.h"

#define LANE_BYTES       4
#define GENERATION_BYTES 8

struct moving {
    struct redis_node *from;
    struct redis_node *to;
    uint32_t lane;
    enum kv_space space;
    size_t left; /* to take at most */
    size_t taken;
};

static uint32_t number_at(struct slice key, size_t at) {
    struct bytes_reader in = bytes_reader(slice_skip(key, at));

    return bytes_be32(&in);
}

/* Where the number of its lane is in a key. */
static bool is_of_lane(const struct moving *moving, struct slice key) {
    switch (moving->space) {
    case KV_META:
        return (slice_starts(key, SLICE("lane")) || slice_starts(key, SLICE("consumer"))) &&
               number_at(key, key.len - LANE_BYTES) == moving->lane;
    case KV_COUNTER:
        return hash_lane(key, moving->from->redis->world->profile.lanes) == moving->lane;
    case KV_KEY:
        return number_at(key, GENERATION_BYTES) == moving->lane;
    default:
        return number_at(key, 0) == moving->lane;
    }
}

static void take(void *self, struct slice key, struct slice value) {
    struct moving *moving = self;

    if (moving->left == 0 || !is_of_lane(moving, key))
        return;
    kv_put(&moving->to->data.kv, moving->space, key, value);
    /* A consumer is registered with a whole store, of which a Cluster's lanes are independent: its
     * record stays, for a lane that is empty. */
    if (!slice_starts(key, SLICE("consumer")) || moving->space != KV_META)
        kv_del(&moving->from->data.kv, moving->space, key);
    moving->left--;
    moving->taken++;
}

static size_t stage(struct redis_node *from, struct redis_node *to, uint32_t lane,
                    enum kv_space space, size_t most) {
    struct moving moving = {.from = from, .to = to, .lane = lane, .space = space, .left = most};

    sim_kv_each(from->data.sim, space, take, &moving);
    return moving.taken;
}

/* What stays behind is a lane that nobody has written to, as before it came for the first time. */
static void stage_fresh_lane(struct redis_node *node, uint32_t number) {
    struct lane lane;
    struct buf key = {0};
    struct buf record = {0};

    lane_init(&lane);
    lane_key(number, &key);
    lane_encode(&lane, &record);
    kv_put(&node->data.kv, KV_META, buf_slice(&key), buf_slice(&record));
    buf_release(&key);
    buf_release(&record);
}

static void stage_core(struct redis_node *from, struct redis_node *to, uint32_t lane) {
    (void)stage(from, to, lane, KV_META, SIZE_MAX);
    (void)stage(from, to, lane, KV_WINDOW, SIZE_MAX);
    (void)stage(from, to, lane, KV_OUTBOX, SIZE_MAX);
    stage_fresh_lane(from, lane);
}

static void commit(struct redis_node *from, struct redis_node *to) {
    node_moved(to);
    node_moved(from);
}

bool move_counter(struct redis_node *from, struct redis_node *to, uint32_t lane) {
    if (stage(from, to, lane, KV_COUNTER, 1) == 0)
        return false;
    commit(from, to);
    return true;
}

void move_client_keys(struct redis_node *from, struct redis_node *to, uint32_t lane) {
    (void)stage(from, to, lane, KV_KEY, SIZE_MAX);
    commit(from, to);
}

void move_core(struct redis_node *from, struct redis_node *to, uint32_t lane) {
    stage_core(from, to, lane);
    commit(from, to);
}

void move_all(struct redis_node *from, struct redis_node *to, uint32_t lane) {
    (void)stage(from, to, lane, KV_COUNTER, SIZE_MAX);
    (void)stage(from, to, lane, KV_KEY, SIZE_MAX);
    stage_core(from, to, lane);
    commit(from, to);
}

bool move_has_counter(const struct redis_node *node, struct slice id) {
    struct buf value = {0};
    enum err err = kv_get(sim_kv_base(node->data.sim), KV_COUNTER, id, &value);

    buf_release(&value);
    return err == ERR_OK;
}
