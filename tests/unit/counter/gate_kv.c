/* gate_kv.c - hands everything on, commits when it may. */
#include "gate_kv.h"

static enum err gate_get(struct kv *kv, enum kv_space space, struct slice key, struct buf *out) {
    return kv_get(CONTAINER_OF(kv, struct gate_kv, kv)->disk, space, key, out);
}

static enum err gate_seek(struct kv *kv, enum kv_space space, struct slice from,
                          struct buf *out_key, struct buf *out_value) {
    return kv_seek(CONTAINER_OF(kv, struct gate_kv, kv)->disk, space, from, out_key, out_value);
}

static void gate_put(struct kv *kv, enum kv_space space, struct slice key, struct slice value) {
    kv_put(CONTAINER_OF(kv, struct gate_kv, kv)->disk, space, key, value);
}

static void gate_del(struct kv *kv, enum kv_space space, struct slice key) {
    kv_del(CONTAINER_OF(kv, struct gate_kv, kv)->disk, space, key);
}

static void gate_del_range(struct kv *kv, enum kv_space space, struct slice from, struct slice to) {
    kv_del_range(CONTAINER_OF(kv, struct gate_kv, kv)->disk, space, from, to);
}

static enum err gate_commit(struct kv *kv, bool durable) {
    struct gate_kv *gate = CONTAINER_OF(kv, struct gate_kv, kv);

    if (atomic_load(&gate->shut)) {
        sem_post(&gate->entered);
        sem_wait(&gate->opened);
    }
    return kv_commit(gate->disk, durable);
}

static enum err gate_sync(struct kv *kv) {
    return kv_sync(CONTAINER_OF(kv, struct gate_kv, kv)->disk);
}

static const struct kv_ops gate_ops = {gate_get,       gate_seek,   gate_put, gate_del,
                                       gate_del_range, gate_commit, gate_sync};

void gate_kv_init(struct gate_kv *gate, struct kv *disk) {
    gate->kv.ops = &gate_ops;
    gate->disk = disk;
    atomic_init(&gate->shut, false);
    sem_init(&gate->entered, 0, 0);
    sem_init(&gate->opened, 0, 0);
}

void gate_kv_release(struct gate_kv *gate) {
    sem_destroy(&gate->entered);
    sem_destroy(&gate->opened);
}

void gate_kv_shut(struct gate_kv *gate) {
    atomic_store(&gate->shut, true);
}

void gate_kv_wait(struct gate_kv *gate) {
    while (sem_wait(&gate->entered) != 0)
        ;
}

void gate_kv_open(struct gate_kv *gate) {
    atomic_store(&gate->shut, false);
    sem_post(&gate->opened);
}
