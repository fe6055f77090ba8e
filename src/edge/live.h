/* live.h - counters that clients follow, on one loop: core/watch.h with time and a way to read.
 *
 * Counters are read as clients' requests are (loop_batcher.h), and so in every deployment with the
 * value that a GET would give now. While nobody follows anything the loop has no timer of this.
 *
 * Threads    The loop's; struct live_shared as its fields say.
 * Ownership  As core/watch.h.
 * Order      Make it before the servers whose clients it serves, and free it behind the batcher:
 *            what it tells at a tick's end leaves in that tick.
 */
#ifndef EDGE_LIVE_H
#define EDGE_LIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/metrics.h"
#include "core/watch.h"
#include "edge/loop_batcher.h"
#include "loop/loop.h"

#define LIVE_INTERVAL_MS 100

struct live;

/* What the loops of a process share, of one kind of client. */
struct live_shared {
    struct metrics *metrics; /* these: set before the loops start */
    size_t streams_max;
    metric_series open;
    metric_series refused;
    metric_series dropped;
    metric_series frames;
    metric_series reads;
    _Atomic size_t streams; /* open now, any thread */
};

/* 'transport' is the series' label: sse, grpc. */
void live_shared_init(struct live_shared *shared, struct metrics *metrics, const char *transport,
                      size_t streams_max);

struct live_conf {
    struct live_shared *shared;
    unsigned shard;       /* of its metrics */
    int64_t heartbeat_ms; /* as struct watch_conf */
    int64_t read_ms;      /* the deadline of a read, and of the first values */
};

/* NULL when memory runs out. */
struct live *live_new(struct loop *loop, const struct live_conf *conf);
void live_free(struct live *live); /* idle; NULL is fine */

/* Through which it reads; before anything is followed. */
void live_use(struct live *live, struct loop_batcher *batcher);

/* Room for one more stream; false: there are as many as may be, which is counted. */
MUST_CHECK bool live_admit(struct live *live);
/* It is over; 'slow': its client didn't take what it was sent. */
void live_dismiss(struct live *live, bool slow);
/* For the metrics: a stream was sent something new. */
void live_told(struct live *live);

/* ---- topics ---- */

struct live_counter {
    struct watch_topic topic;
    struct live *live;
    struct waiter waiter;
    struct slice resource_id;
    struct slice counter_type;
    int64_t value;
    int64_t time_ms; /* of its last change */
    char name[];
};

/* Tells them from topics of other kinds. */
extern const struct watch_kind live_counter_kind;

/* One more for a watcher that hasn't started. ERR_BUSY: too much is followed already;
 * ERR_NO_MEMORY. Names are copied. */
MUST_CHECK enum err live_follow(struct live *live, struct watcher *watcher,
                                struct slice resource_id, struct slice counter_type);

/* Likewise a topic of any kind, as made for watch_insert(): taken over, and freed at once when the
 * same is followed already. */
MUST_CHECK enum err live_adopt(struct live *live, struct watcher *watcher,
                               struct watch_topic *made);

/* Wall clock, seconds: when a topic was read last. */
int64_t live_as_of_s(const struct live *live, const struct watch_topic *topic);

/* ---- core/watch.h's, at the loop's time ---- */

MUST_CHECK enum err live_start(struct live *live, struct watcher *watcher);
void live_answered(struct live *live, struct watch_topic *topic, enum err err, bool changed);
void live_end(struct live *live);
bool live_idle(const struct live *live);

#endif
