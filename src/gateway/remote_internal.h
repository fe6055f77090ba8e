/* remote_internal.h - what the files of the remote upstream share.
 *
 * remote_fleet.c    what the loops of a process share: the store, its promise, who is connected
 * remote_set.c      how the loops follow who comes and goes (gateway/place_set.h)
 * remote.c          one loop's upstream: send, answer, close
 * remote_line.c     one loop's connection to one counter, and its Hello
 * remote_result.c   what came of a call, as a delivery
 * remote_metrics.c  figures
 */
#ifndef GATEWAY_REMOTE_INTERNAL_H
#define GATEWAY_REMOTE_INTERNAL_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/log_budget.h"
#include "core/peers.h"
#include "edge/grpc_channel.h"
#include "edge/lanes_codec.h"
#include "gateway/place_set.h"
#include "gateway/remote.h"
#include "loop/timer.h"

#define REMOTE_PROBLEM_BYTES 320

/* Of a request's time, for a counter that may come back. */
#define REMOTE_WAIT_MS(request_ms) ((request_ms)*7 / 8)

enum remote_method { REMOTE_APPLY, REMOTE_HELLO, REMOTE_METHODS };

struct remote_series {
    metric_series *requests; /* [method][status] */
    metric_series duration[REMOTE_METHODS];
    metric_series connections;
    metric_series retries;
    metric_series retries_refused;
    metric_series ejections[PEER_FAULTS];
    metric_series refused;
    metric_series breakers[PEER_STATES]; /* but for closed */
    metric_series transitions[PEER_STATES];
};

/* What all loops know of the counter at a place. */
struct remote_counter {
    _Atomic unsigned usable;                /* loops that can use it */
    _Atomic unsigned breakers[PEER_STATES]; /* loops that have it open, or half open */
    bool known;                             /* has been usable; under the places' lock, like */
    char problem[REMOTE_PROBLEM_BYTES];     /* why it can't be used; "": it can */
    bool answers;                           /* it is there, and says so itself */
};

struct remote_fleet {
    const struct config *config;
    struct metrics *metrics;
    struct resolver *resolver;
    struct tls *tls;                              /* NULL: plain */
    struct place_set places;                      /* its lock guards what is said to be under it */
    struct remote_counter counter[INSTANCES_MAX]; /* by place */
    _Atomic uint64_t store_id;                    /* the first one seen; 0: none yet */
    uint64_t (*only_store)(void *ctx);            /* NULL: whichever is seen first */
    void *only_store_ctx;
    _Atomic unsigned usable;   /* connections, on all loops */
    _Atomic unsigned loops;    /* that have a remote, */
    _Atomic unsigned loops_up; /* and of these, with a counter that is up */
    _Atomic int64_t updated_s; /* wall clock: the last change of who is usable */
    struct remote_series series;
    struct gateway_promise promise; /* under the lock */
};

/* "host:port" of who is at a place that the caller holds. */
static inline const char *remote_fleet_address(const struct remote_fleet *fleet, size_t index) {
    return fleet->places.place[index].instance.address;
}

/* remote_fleet.c */

/* False: it can't be said yet which store we count into. */
bool remote_fleet_knows_store(const struct remote_fleet *fleet);
/* Is this the store that we count into? The first one asked about becomes it. */
bool remote_fleet_same_store(struct remote_fleet *fleet, uint64_t store_id);
void remote_fleet_learn(struct remote_fleet *fleet, const struct lanes_hello *hello);
void remote_fleet_usable(struct remote_fleet *fleet, size_t index, bool usable);
/* A loop's breaker of a counter has moved. */
void remote_fleet_breaker(struct remote_fleet *fleet, size_t index, unsigned shard,
                          enum peer_state from, enum peer_state to);
/* Why a counter can't be used; logged when it is news. */
void remote_fleet_problem(struct remote_fleet *fleet, size_t index, const char *problem,
                          bool answers);

/* What a connection is good for.
 *
 *     DOWN ──► GREETING ──► USABLE
 *      ▲ ▲        │ └─────► REFUSED     another store's
 *      │ │        └───────► RESTING     no answer to Hello; greets again after a pause
 *      └─┴── not READY any more, from each of them
 */
enum line_state { LINE_DOWN, LINE_GREETING, LINE_USABLE, LINE_REFUSED, LINE_RESTING };

struct remote_line {
    bool used;    /* else all of it is zero */
    bool leaving; /* its address isn't wanted any more: no more messages, */
    bool closing; /* and when those before are answered the channel is closed */
    struct remote *remote;
    size_t index;                 /* of the place, and of the peer */
    struct grpc_channel *channel; /* NULL: memory had run out, made again after a pause */
    enum line_state state;
    enum peer_state breaker; /* as the fleet was told */
    bool up;                 /* as probes are told */
    bool tried;              /* it was usable, or why not is known */
    uint64_t era; /* counts what the channel has been through: a Hello's answer is about its own */
    struct grpc_out_call hello;
    bool hello_out;
    uint64_t hello_era;
    int64_t hello_sent_ms;
    int64_t hello_sent_ns;
    struct timer rest;
    int64_t rest_ms; /* the next one */
};

/* One message on its way. */
struct remote_call {
    struct grpc_out_call call;
    struct remote *remote;
    struct remote_call *next; /* while free */
    struct delivery *delivery;
    size_t peer;
    int64_t sent_ms;
    int64_t sent_ns;
};

struct remote {
    struct upstream upstream;
    struct place_follower follower;
    bool connects; /* remote_connect() was called */
    struct remote_fleet *fleet;
    struct loop *loop;
    unsigned shard;
    struct remote_user user;
    struct peers peers;
    uint64_t ejections[PEER_FAULTS]; /* as was told */
    struct remote_line *lines;       /* one per place */
    struct remote_call *free;
    struct buf out; /* requests are written here */
    int64_t clock_ahead_ms;
    bool clock_known;
    unsigned usable;   /* of the lines */
    int64_t lost_ms;   /* when the last usable one went; INT64_MIN: there has been none yet */
    struct timer turn; /* one more turn of the loop, for what waited */
    bool told_down;    /* that each counter has been tried in vain */
    unsigned up;
    unsigned refused;
    struct log_budget log;
    struct {
        void (*closed)(void *ctx);
        void *ctx;
        size_t waiting; /* lines that still close, mail under way; one more while they are told */
    } close;
};

/* remote_set.c */

/* The callbacks of a fleet's set and of a loop that follows it. */
void remote_set_init(struct remote_fleet *fleet);
void remote_set_join(struct remote *remote);
/* Lets the loop's lines follow the set, once they may connect. */
void remote_follow(struct remote *remote);

/* remote.c */
void remote_one_closed(struct remote *remote);
void remote_learn_clock(struct remote *remote, int64_t store_now_ms, int64_t sent_ms);

/* remote_line.c */
void remote_line_init(struct remote_line *line, struct remote *remote, size_t index);
void remote_line_connect(struct remote_line *line);
/* No more messages; the line is free when those under way are answered. */
void remote_line_leave(struct remote_line *line);
/* A call of the line has ended. */
void remote_line_answered(struct remote_line *line);
/* Now, whatever is under way: remote_one_closed() comes when it is free. */
void remote_line_close(struct remote_line *line);

/* remote_result.c */

/* Fills the delivery. True: the counter couldn't serve (unreachable, reset, timed out, nonsense);
 * false: it answered, be it with an error. */
bool remote_result(struct remote_call *call, const struct grpc_result *result);

/* remote_metrics.c */
MUST_CHECK bool remote_series_make(struct remote_fleet *fleet);
void remote_observe(struct remote *remote, enum remote_method method, enum grpc_status status,
                    int64_t sent_ns);
const char *remote_status_name(enum grpc_status status);
const char *remote_breaker_name(enum peer_state state);

#endif
