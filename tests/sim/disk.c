/* disk.c - hands everything on to sim_kv. */
#include "disk.h"

static struct disk *disk_of(struct kv *kv) {
    return CONTAINER_OF(kv, struct disk, kv);
}

static enum err disk_get(struct kv *kv, enum kv_space space, struct slice key, struct buf *out) {
    return kv_get(sim_kv_base(disk_of(kv)->sim), space, key, out);
}

static enum err disk_seek(struct kv *kv, enum kv_space space, struct slice from,
                          struct buf *out_key, struct buf *out_value) {
    return kv_seek(sim_kv_base(disk_of(kv)->sim), space, from, out_key, out_value);
}

static void disk_put(struct kv *kv, enum kv_space space, struct slice key, struct slice value) {
    kv_put(sim_kv_base(disk_of(kv)->sim), space, key, value);
}

static void disk_del(struct kv *kv, enum kv_space space, struct slice key) {
    kv_del(sim_kv_base(disk_of(kv)->sim), space, key);
}

static void disk_del_range(struct kv *kv, enum kv_space space, struct slice from, struct slice to) {
    kv_del_range(sim_kv_base(disk_of(kv)->sim), space, from, to);
}

static enum err disk_commit(struct kv *kv, bool durable) {
    struct disk *disk = disk_of(kv);

    if (disk->fail_in > 0 && --disk->fail_in == 0)
        sim_kv_fail_commit(disk->sim, rng_chance(disk->rng, 50));
    return kv_commit(sim_kv_base(disk->sim), durable);
}

static enum err disk_sync(struct kv *kv) {
    return kv_sync(sim_kv_base(disk_of(kv)->sim));
}

static const struct kv_ops disk_ops = {
    .get = disk_get,
    .seek = disk_seek,
    .put = disk_put,
    .del = disk_del,
    .del_range = disk_del_range,
    .commit = disk_commit,
    .sync = disk_sync,
};

void disk_init(struct disk *disk, struct rng *rng) {
    *disk = (struct disk){.kv = {&disk_ops}, .sim = sim_kv_new(), .rng = rng};
}

void disk_release(struct disk *disk) {
    sim_kv_free(disk->sim);
}
