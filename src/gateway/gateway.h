/* gateway.h - the HTTP front: one gateway per loop, all of them one fleet.
 *
 * A gateway parses requests, gathers their operations into messages for its
 * upstream (the counter core, wherever that is) and turns answers into
 * replies. What the gateways of one process share is the fleet: configuration,
 * metrics, the store's state, and figures that system endpoints sum up.
 *
 * Threads    A gateway belongs to its loop. The fleet is read by all after
 *            start; its atomics say who writes them.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/config.h"
#include "base/err.h"
#include "base/instance.h"
#include "base/metrics.h"
#include "base/slice.h"
#include "core/batcher.h"
#include "edge/live.h"
#include "loop/loop.h"

struct canary;
struct client_limit;
struct flood_penalty;
struct gateway;
struct analytics_upstream;
struct http_server_stats;
struct tls;

/* What a loop tells the others about itself. */
struct gateway_gauges { /* written by the gateway's loop, relaxed */
    _Atomic uint64_t operations_queued;
    _Atomic uint64_t messages_in_flight;
    const struct http_server_stats *http; /* set at start; NULL: no public listener */
    struct mailbox *mailbox;              /* the loop's door */
};

#define GATEWAY_MODES      3 /* fast, local, replicated */
#define GATEWAY_MAX_LOOPS  256
#define GATEWAY_DOWN_BYTES 640 /* of the sentence why the back end isn't up */

/* What an acknowledgement means. */
struct gateway_promise {
    char durability[32]; /* "local": the mode in force */
    char guarantee[512]; /* a sentence: what that means on this store */
};

/* How the counter core is reached. */
struct gateway_pool {
    uint64_t connections; /* gRPC connections in use; 0: it is in this process */
    uint64_t known;       /* instances of the service, configured or found; 0: as above */
    uint64_t instances;   /* of these, that can be used */
    int64_t updated_s;    /* wall clock: since when it is so */
};

/* As the metrics have them. */
enum gateway_instances { GATEWAY_KNOWN, GATEWAY_USABLE, GATEWAY_INSTANCES };

struct gateway_problem {
    char address[INSTANCE_ADDRESS_BYTES]; /* "": nobody at this place */
    unsigned open;                        /* threads that have set it aside, */
    unsigned half_open;                   /* or try it again */
    char text[320]; /* why it can't be used; "": it can, or nobody has tried yet */
};

/* Events on their way to Kafka. */
struct gateway_events {
    bool connected;
    uint64_t sent;      /* confirmed */
    uint64_t in_flight; /* sent and not confirmed */
    uint64_t queued;    /* not confirmed, those in flight too */
    int64_t lag_ms;     /* how long the oldest of them has waited */
    uint64_t errors;
    int64_t last_sent_s; /* wall clock; 0: never */
    char problem[256];   /* why not connected */
};

/* The counter core behind the upstreams. Its functions: any thread. */
struct gateway_backend {
    void *ctx;
    bool (*up)(void *ctx);
    void (*promise)(void *ctx, struct gateway_promise *out);
    void (*pool)(void *ctx, struct gateway_pool *out);
    /* The address number 'index'; false: there are no more. NULL: it has no addresses. */
    bool (*problem)(void *ctx, size_t index, struct gateway_problem *out);
    void (*down)(void *ctx, char *out, size_t size); /* why it isn't up, a sentence */
    /* NULL: events go nowhere from here. */
    void (*events)(void *ctx, struct gateway_events *out);
    void *events_ctx;
    int64_t clock_ahead_ms; /* the store's clock minus CLOCK_MONOTONIC; set before loops start */
    enum err clock_unknown; /* not ERR_OK: gateway_set_clock() tells, requests are refused with this
                               until then */
    int64_t attempt_ms;     /* an attempt unanswered this long is made again; 0: in this process */
};

/* Another service, elsewhere. Its functions: any thread; as those of struct gateway_backend. */
struct gateway_service {
    void *ctx; /* NULL: there is none, or it is in this process */
    bool (*up)(void *ctx);
    void (*pool)(void *ctx, struct gateway_pool *out);
    bool (*problem)(void *ctx, size_t index, struct gateway_problem *out);
    void (*down)(void *ctx, char *out, size_t size);
    /* Of a topic, as its last answer had them: counted by nobody, by several. NULL: it has none. */
    void (*partitions)(void *ctx, uint32_t *out_missing, uint32_t *out_doubled);
};

/* Analytics in this process, counted anew on request (docs/recount.md). Its functions: any thread.
 */
enum gateway_recount_state {
    GATEWAY_RECOUNT_NONE, /* since the start */
    GATEWAY_RECOUNT_RUNNING,
    GATEWAY_RECOUNT_DONE,
    GATEWAY_RECOUNT_FAILED
};
struct gateway_recount_status {
    enum gateway_recount_state state;
    char phase[128];                 /* what it does now */
    uint64_t events;                 /* counted */
    uint64_t values;                 /* taken from the store */
    char detail[GATEWAY_DOWN_BYTES]; /* why it failed */
};
struct gateway_recount {
    void *ctx; /* NULL: there is none */
    /* One that is under way goes on. ERR_NOT_IMPL: '*out_detail' says why not here; ERR_NO_MEMORY.
     */
    enum err (*begin)(void *ctx, const char **out_detail);
    void (*status)(void *ctx, struct gateway_recount_status *out);
};

struct gateway_fleet {
    const struct config *config;
    struct metrics *metrics;
    struct tls *tls;               /* of the public listener; NULL: plain */
    struct flood_penalty *penalty; /* likewise; NULL: none */
    struct gateway_backend backend;
    bool has_canary;               /* a share of the requests takes another way: */
    struct gateway_backend canary; /* through these counters; all zero: none does */
    struct canary *canary_rule;    /* gateway_fleet_init() makes it */
    struct gateway_service analytics;
    struct gateway_recount recount;
    struct client_limit *limit; /* gateway_fleet_init() makes it */
    struct live_shared streams; /* gateway_fleet_init() makes it */
    const char *version;
    /* The keys whose value waits for a restart, "a,b"; "" or NULL: none. Any thread. */
    void (*pending)(void *ctx, char *out, size_t size);
    void *pending_ctx;
    unsigned scrape_shard; /* of metrics: written while /metrics is rendered, on the admin loop */
    unsigned loops;
    atomic_bool draining;
    _Atomic size_t http_connections;  /* open now, on all loops */
    _Atomic size_t admin_connections; /* likewise; clients can't use these up */
    struct {                          /* made before the loops start */
        metric_series connections;
        metric_series refused;
        metric_series penalties;
        metric_series penalty_delayed;
        metric_series penalty_refused;
        metric_series store_up;
        metric_series durability[GATEWAY_MODES];
        metric_series batch_retries;
        metric_series batch_refused;
        metric_series stale_reads;
        metric_series counters[GATEWAY_INSTANCES];
        metric_series analytics[GATEWAY_INSTANCES];
        metric_series missing_partitions;
        metric_series doubled_partitions;
        metric_series shed;
        metric_series limit;
        metric_series *requests; /* [route][status] */
        metric_series *duration; /* [route] */
    } series;
    struct gateway_gauges gauges[GATEWAY_MAX_LOOPS];
};

/* How a request reaches the store: the only way, or the direct one beside the canary's. */
enum gateway_which { GATEWAY_MAIN, GATEWAY_CANARY, GATEWAY_WAYS };

/* Makes the fleet's series, before any loop starts; false when memory runs out. */
MUST_CHECK bool gateway_fleet_init(struct gateway_fleet *fleet);
void gateway_fleet_release(struct gateway_fleet *fleet);

enum gateway_audience { GATEWAY_PUBLIC, GATEWAY_OPERATORS, GATEWAY_AUDIENCES };

/* On the loop's thread. 'shard' is this loop's in fleet->metrics and its index in gauges. NULL when
 * memory runs out. 'upstreams' are borrowed; that of GATEWAY_CANARY is NULL without one. */
struct gateway *gateway_new(struct gateway_fleet *fleet, struct loop *loop, unsigned shard,
                            struct upstream *const upstreams[GATEWAY_WAYS]);
/* Serves a listening socket, once for each; taken over, also on failure. */
MUST_CHECK bool gateway_listen(struct gateway *gateway, enum gateway_audience audience, int fd);
void gateway_free(struct gateway *gateway);

/* Where analytics is asked; borrowed. Without this call there is none. */
void gateway_set_analytics(struct gateway *gateway, struct analytics_upstream *analytics);

/* What an upstream has learned of the store's clock. */
void gateway_set_clock(struct gateway *gateway, enum gateway_which way, int64_t clock_ahead_ms);

/* An upstream's answers come in here. */
void gateway_delivered(struct gateway *gateway, enum gateway_which way, struct delivery *delivery);

/* Stops accepting, answers what is under way, then calls done() once. */
void gateway_drain(struct gateway *gateway, void (*done)(void *ctx), void *ctx);

/* During a drain: closes what clients still hold open. */
void gateway_abort(struct gateway *gateway);

#endif
