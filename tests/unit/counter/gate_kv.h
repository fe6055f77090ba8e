/* gate_kv.h - a store whose commits wait, so that a test sees what is under way.
 *
 *     gate_kv_shut() ─ send something ─ gate_kv_wait() ─ look ─ gate_kv_open()
 *
 * Threads    The store's thread is kept waiting by the test's.
 */
#ifndef TESTS_COUNTER_GATE_KV_H
#define TESTS_COUNTER_GATE_KV_H

#include <semaphore.h>
#include <stdatomic.h>

#include "core/kv.h"

struct gate_kv {
    struct kv kv; /* give this to the service */
    struct kv *disk;
    atomic_bool shut;
    sem_t entered;
    sem_t opened;
};

void gate_kv_init(struct gate_kv *gate, struct kv *disk);
void gate_kv_release(struct gate_kv *gate);

/* The next commit waits for gate_kv_open(). */
void gate_kv_shut(struct gate_kv *gate);
/* Returns when it does. */
void gate_kv_wait(struct gate_kv *gate);
void gate_kv_open(struct gate_kv *gate);

#endif
