/* log_kv.h - a node's data as the effects of a log, which is what Redis replicates and writes to
 * its append-only file: each commit is one entry of it (one script call, MULTI to EXEC).
 *
 * The primary's core writes through 'kv' and log_kv_take() has the entry; everybody else applies
 * entries.
 *
 * Threads    One.
 */
#ifndef TESTS_SIM_LOG_KV_H
#define TESTS_SIM_LOG_KV_H

#include "core/kv.h"
#include "sim_kv.h"

struct log_kv {
    struct kv kv;
    struct sim_kv *sim;
    struct buf writes; /* since the last take */
};

/* Empty. */
void log_kv_init(struct log_kv *log);
void log_kv_release(struct log_kv *log);

/* Moves what was written to '*out', which must be empty. */
void log_kv_take(struct log_kv *log, struct buf *out);

void log_kv_apply(struct log_kv *log, struct slice writes);

#endif
