/* service.h - the counter core at work: one thread owns the store and all lanes.
 *
 * Messages come from loops through ports and are applied in groups: whatever
 * gathered while the last group was being written is the next group, written
 * as one batch (group commit). Answers leave after the write, in mode `local`
 * after its fsync; in mode `fast` the fsync follows within FAST_SYNC_MS.
 *
 *     loop ─ port ─► mailbox ─► apply, apply, … ─► commit ─► mailbox ─► loop
 *
 * A failed write finishes the store: its outcome is unknown, everything after
 * it is refused, and on_failed() tells the process to end and recover by
 * starting again (RELIABILITY 2, row 9: never retry a failed fsync).
 *
 * Threads    counter_start/stop by the process; a port by its loop.
 */
#ifndef COUNTER_SERVICE_H
#define COUNTER_SERVICE_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/metrics.h"
#include "core/applier.h"
#include "core/batcher.h"
#include "counter/backend.h"

struct counter_service;
struct mailbox;

/* Replicated: in a Redis only. */
enum durability { DURABILITY_FAST, DURABILITY_LOCAL, DURABILITY_REPLICATED };

#define FAST_SYNC_MS 1000

/* "fast", "local", "replicated"; and a sentence for people: what the first two mean on this store.
 */
const char *counter_durability_name(enum durability durability);
const char *counter_guarantee(enum durability durability);

struct counter_conf {
    struct kv *kv;                    /* used by the store thread only from start to stop */
    const struct kv_scanner *scanner; /* what feeds read by; NULL: there will be none */
    struct applier_conf applier;
    enum durability durability;
    struct metrics *metrics;
    unsigned shard;               /* the store thread's */
    void (*on_failed)(void *ctx); /* on the store thread, once */
    void *on_failed_ctx;
};

/* Opens the lanes and starts the thread. The errors and the sentence of applier_open(). */
MUST_CHECK enum err counter_start(const struct counter_conf *conf, struct counter_service **out,
                                  const char **out_detail);

/* Commits and syncs what is there, ends the thread. No port may send any more. */
void counter_stop(struct counter_service *service);

/* False after a failed write. Any thread. */
bool counter_up(const struct counter_service *service);

/* The store's clock (applier.h) minus CLOCK_MONOTONIC: fixed from start to stop. Any thread. */
int64_t counter_clock_ahead_ms(const struct counter_service *service);

/* The store's identity: random, fixed at its first start. Any thread. */
uint64_t counter_store_id(const struct counter_service *service);

/* Random, another one each time that the service is started. Any thread. */
uint64_t counter_start_id(const struct counter_service *service);

/* What any reader beside the store's thread can have seen by now is on disk when this returns.
 * Blocks; any thread that is nobody's loop. ERR_UNAVAILABLE: it has failed or stops. */
MUST_CHECK enum err counter_settle(struct counter_service *service);

enum durability counter_durability(const struct counter_service *service);

/* What a front says of this store. */
struct counter_backend counter_service_backend(struct counter_service *service);

/* A loop's way in: an upstream for its batcher. The answers come to 'delivered' on the thread that
 * drains 'home'. NULL when memory runs out. */
struct counter_port;
struct counter_port *counter_port_new(struct counter_service *service, struct mailbox *home,
                                      void (*delivered)(void *ctx, struct delivery *delivery),
                                      void *ctx);
struct upstream *counter_port_upstream(struct counter_port *port);

/* Nothing may be under way. NULL is fine. */
void counter_port_free(struct counter_port *port);

#endif
