/* analytics_remote_internal.h - what the files of analytics elsewhere share.
 *
 * analytics_fleet.c   the instances, for all loops
 * analytics_set.c     how the loops follow who comes and goes (gateway/place_set.h)
 * analytics_remote.c  one loop's connections
 * analytics_fan.c     a question to every instance, and one answer
 */
#ifndef GATEWAY_ANALYTICS_REMOTE_INTERNAL_H
#define GATEWAY_ANALYTICS_REMOTE_INTERNAL_H

#include <stdatomic.h>

#include "base/buf.h"
#include "edge/grpc_channel.h"
#include "gateway/analytics_remote.h"
#include "gateway/place_set.h"
#include "loop/timer.h"

#define ANALYTICS_PROBLEM_BYTES 200

/* What all loops know of the instance at a place. */
struct analytics_instance {
    atomic_int ready;                      /* connections of all loops */
    char problem[ANALYTICS_PROBLEM_BYTES]; /* under the places' lock; "": it can be reached */
};

struct analytics_fleet {
    const struct config *config;
    struct resolver *resolver;
    struct tls *tls;
    bool found;              /* by discovery: who is missing there is missing in answers */
    struct place_set places; /* its lock guards what is said to be under it */
    struct analytics_instance instances[INSTANCES_MAX]; /* by place */
    atomic_int loops;                                   /* each has connections of its own */
    _Atomic int64_t updated_s;
    struct { /* as of the last answer, none on its way: written under the lock */
        _Atomic uint32_t missing;
        _Atomic uint32_t doubled;
        atomic_bool unlike;
    } partitions;
};

struct analytics_line {
    bool used;    /* else all of it is zero */
    bool leaving; /* its instance isn't wanted any more: no more questions, */
    bool closing; /* and when those before are answered the channel is closed */
    size_t parts; /* of questions, without an answer */
    struct timer rest;
    struct analytics_remote *remote;
    size_t index;
    struct grpc_channel *channel; /* NULL: memory had run out, made again after a pause */
    bool ready;
    bool failed; /* an attempt to connect has: a connection that is being replaced has not */
};

struct analytics_remote {
    struct analytics_upstream upstream;
    struct place_follower follower;
    struct analytics_fleet *fleet;
    struct loop *loop;
    struct analytics_line *lines; /* one per place */
    unsigned fans;                /* under way */
    struct buf out;
    struct {
        void (*closed)(void *ctx);
        void *ctx;
        size_t waiting; /* lines that still close, mail under way; one more while they are told */
    } close;
};

/* "host:port" of who is at a place that the caller holds. */
static inline const char *analytics_fleet_address(const struct analytics_fleet *fleet,
                                                  size_t index) {
    return fleet->places.place[index].instance.address;
}

/* analytics_fleet.c */
void analytics_fleet_ready(struct analytics_fleet *fleet, size_t index, int by);
/* Some loop has a connection to it. */
bool analytics_fleet_there(const struct analytics_fleet *fleet, size_t index);
void analytics_fleet_problem(struct analytics_fleet *fleet, size_t index, const char *problem);
/* Of an answer made of all. */
void analytics_fleet_cover(struct analytics_fleet *fleet, const struct coverage *coverage);

/* analytics_set.c */

/* The callbacks of a fleet's set. */
void analytics_set_init(struct analytics_fleet *fleet);
/* The loop's lines follow the set, at once and from now on. */
void analytics_set_join(struct analytics_remote *remote);

/* analytics_remote.c */
void analytics_one_closed(struct analytics_remote *remote);
void analytics_line_init(struct analytics_line *line, struct analytics_remote *remote,
                         size_t index);
void analytics_line_connect(struct analytics_line *line);
/* No more questions; the line is free when those under way are answered. */
void analytics_line_leave(struct analytics_line *line);
/* A part of a question to it has ended. */
void analytics_line_answered(struct analytics_line *line);
/* It is asked what comes from now on. */
static inline bool analytics_line_asked(const struct analytics_line *line) {
    return line->used && !line->leaving;
}

/* analytics_fan.c; as struct analytics_upstream. */
MUST_CHECK enum err analytics_fan_out(struct analytics_remote *remote, struct analytics_ask *ask);

#endif
