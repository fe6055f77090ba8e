/* internal.h - what the gateway's files share.
 *
 * gateway.c          composition: servers, batcher, timer
 * routes.c           which path is served by whom
 * reply.c            success and the shapes of errors
 * call.c             one operation of one request, from add to reply
 * increment.c get.c set.c batch_get.c batch_increment.c   the counter API
 * analytics.c analytics_query.c  rankings and series
 * stale.c            reads while the store is away
 * stream.c stream_query.c stream_event.c live_ranking.c  live values
 * system.c services.c probes.c  everything else
 */
#ifndef GATEWAY_INTERNAL_H
#define GATEWAY_INTERNAL_H

#include "base/log_budget.h"
#include "edge/http_server.h"
#include "edge/live.h"
#include "edge/loop_batcher.h"
#include "gateway/canary.h"
#include "gateway/gateway.h"
#include "gateway/routes.h"
#include "wire/counter_json.h"

/* One way to the store, and what is gathered for it. */
struct gateway_way {
    struct gateway *gateway;
    struct upstream *upstream;
    struct loop_batcher *batcher;  /* NULL: there is no such way */
    struct batcher_stats reported; /* what the metrics have of batcher_stats() */
};

struct gateway {
    struct gateway_fleet *fleet;
    struct loop *loop;
    unsigned shard;
    struct gateway_way ways[GATEWAY_WAYS];
    struct canary_view canary;
    struct last_values *last; /* stale.h; NULL: not wanted yet */
    struct live *live;
    struct analytics_upstream *analytics; /* NULL: none */
    struct http_server *http;             /* NULL in a role without a public HTTP listener */
    struct http_server *admin;            /* NULL on most loops */
    struct {
        void (*done)(void *ctx);
        void *ctx;
        unsigned waiting; /* servers that still drain */
    } drain;
    struct log_budget log; /* for failed requests */
};

/* ---- a request on its way through a handler ---- */

struct request {
    struct gateway *gateway;
    struct loop_batcher *batcher; /* of the way that it takes */
    struct http_exchange *exchange;
    const struct route *route;
    const struct http1_request *http; /* for the handler's call only */
    struct slice parts[2];            /* decoded path parameters */
    struct slice key;                 /* the Idempotency-Key header; {NULL, 0}: none */
};

void handle_increment(struct request *request);
void handle_get(struct request *request);
void handle_set(struct request *request);
void handle_delete(struct request *request);
void handle_batch_get(struct request *request);
void handle_batch_increment(struct request *request);
void handle_health(struct request *request);
void handle_pools(struct request *request);
void handle_pools_test(struct request *request);
void handle_object_pools(struct request *request);
void handle_grpc_pools(struct request *request);
void handle_services_health(struct request *request);
void handle_kafka(struct request *request);
void handle_live(struct request *request);
void handle_ready(struct request *request);
void handle_metrics(struct request *request);
void handle_openapi(struct request *request);
void handle_analytics_top(struct request *request);
void handle_analytics_stats(struct request *request);
void handle_stream(struct request *request);
void handle_recount(struct request *request);
void handle_recount_status(struct request *request);

/* How many instances there are, into the metrics, before they are rendered. On the admin loop. */
void gateway_collect_instances(struct gateway_fleet *fleet);

/* ---- replies ---- */

/* application/json with what is in 'body' (from http_body()). */
void reply_json(struct http_exchange *exchange, int status, const struct buf *body,
                struct slice headers);

/* The request's own fault: frozen routes {"details","error":"Invalid request format"}, else a
 * problem (RFC 9457). 'detail' names the field. */
void reply_bad_request(struct http_exchange *exchange, struct slice detail);

/* Any failure of a known route, in its shape. */
void reply_failure(struct http_exchange *exchange, enum err err, struct slice detail);

/* RFC 9457, for all that part A of the contract doesn't freeze. */
void reply_problem(struct http_exchange *exchange, enum err err, struct slice detail,
                   struct slice headers);

/* Remembers in the exchange which route it is on and whether the client prefers problems. */
void reply_route(struct http_exchange *exchange, const struct http1_request *http, unsigned route);
unsigned reply_route_of(const struct http_exchange *exchange);

/* And which arm of the canary; of the request before it on its connection; of itself. */
void reply_arm(struct http_exchange *exchange, enum canary_arm arm);
enum canary_arm reply_arm_before(const struct http_exchange *exchange);
enum canary_arm reply_arm_of(const struct http_exchange *exchange);

/* There is analytics to ask. false: replied that there isn't. */
bool request_analytics(struct request *request);

/* ---- drain ---- */

/* Something that a drain waits for has ended. */
void gateway_check_drained(struct gateway *gateway);

/* ---- operations ---- */

/* The deadline of an operation that starts now (monotonic ms): timeouts.request_ms, or the sooner
 * one that the client's X-Request-Timeout asks for. false: refused and replied. */
bool request_deadline(struct request *request, int64_t *out_deadline_ms);

/* Reads the Idempotency-Key header into request->key. false: refused and replied. */
bool request_key(struct request *request);

/* Likewise, and refuses its absence where the configuration requires one. */
bool request_key_required(struct request *request);

/* The body as JSON was read with this result: replies when it is an error. */
bool request_readable(struct request *request, enum err err, const struct json_problem *problem);

/* One operation of one request, in its workspace. */
struct call {
    struct waiter waiter;
    struct gateway *gateway;
    struct http_exchange *exchange;
    struct slice resource_id;
    struct slice counter_type;
};
typedef void (*call_done)(struct waiter *waiter, const struct answer *answer);

/* Sends the operation on its way; done() or, when it can't be taken, a refusal follows. */
void call_start(struct request *request, const struct op *op, call_done done);

/* The answer as the codec wants it. */
struct json_counter call_counter(const struct call *call, const struct answer *answer);

/* The answer has come: remembered for stale reads. */
void call_learn(const struct call *call, const struct answer *answer);

/* The done() of every single change: an increment's reply, or the failure. */
void call_reply_change(struct waiter *waiter, const struct answer *answer);

/* The modes of durability, as metrics label them. */
extern const char *const gateway_modes[GATEWAY_MODES];

#define IDEMPOTENCY_KEY_MAX 255
#define REPLAYED_HEADER     SLICE("Idempotent-Replayed: true\r\n")

#endif
