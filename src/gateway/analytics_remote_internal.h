/* analytics_remote_internal.h - what the files of analytics elsewhere share.
 *
 * analytics_fleet.c   the instances, for all loops
 * analytics_remote.c  one loop's connections
 * analytics_fan.c     a question to every instance, and one answer
 */
#ifndef GATEWAY_ANALYTICS_REMOTE_INTERNAL_H
#define GATEWAY_ANALYTICS_REMOTE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "edge/grpc_channel.h"
#include "gateway/analytics_remote.h"
#include "loop/timer.h"

#define ANALYTICS_PROBLEM_BYTES 200

struct analytics_instance {
    struct slice address;
    atomic_int ready;                      /* connections of all loops */
    char problem[ANALYTICS_PROBLEM_BYTES]; /* under the fleet's lock; "": it can be reached */
};

struct analytics_fleet {
    const struct config *config;
    struct resolver *resolver;
    struct tls *tls;
    size_t count;
    struct analytics_instance instances[CONFIG_UPSTREAMS_MAX];
    atomic_int loops; /* each has connections of its own */
    _Atomic int64_t updated_s;
    pthread_mutex_t lock;
    struct { /* as of the last answer, none on its way: written under the lock */
        _Atomic uint32_t missing;
        _Atomic uint32_t doubled;
        atomic_bool unlike;
    } partitions;
};

struct analytics_line {
    struct analytics_remote *remote;
    size_t index;
    struct grpc_channel *channel;
    bool ready;
    bool failed; /* an attempt to connect has: a connection that is being replaced has not */
};

struct analytics_remote {
    struct analytics_upstream upstream;
    struct analytics_fleet *fleet;
    struct loop *loop;
    struct analytics_line *lines;
    unsigned fans; /* under way */
    struct buf out;
    struct {
        void (*closed)(void *ctx);
        void *ctx;
        size_t waiting;
    } close;
};

/* analytics_fleet.c */
void analytics_fleet_ready(struct analytics_fleet *fleet, size_t index, int by);
/* Some loop has a connection to it. */
bool analytics_fleet_there(const struct analytics_fleet *fleet, size_t index);
void analytics_fleet_problem(struct analytics_fleet *fleet, size_t index, const char *problem);
/* Of an answer made of all. */
void analytics_fleet_cover(struct analytics_fleet *fleet, const struct coverage *coverage);

/* analytics_fan.c; as struct analytics_upstream. */
MUST_CHECK enum err analytics_fan_out(struct analytics_remote *remote, struct analytics_ask *ask);

#endif
