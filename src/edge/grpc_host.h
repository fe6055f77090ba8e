/* grpc_host.h - the gRPC services of one loop on one server, with what every service needs: health,
 * reflection, figures for each method, the log line of a failed call, and the drain.
 *
 *     counter/front ──┐                    ┌─► grpc_server
 *     analytics/front ┴─ struct grpc_service ─► grpc_host ─┼─► grpc_health
 *                                          └─► grpc_reflection
 *
 * Threads    A host belongs to its loop. What they share (the fleet) is read by all after start.
 */
#ifndef EDGE_GRPC_HOST_H
#define EDGE_GRPC_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/config.h"
#include "base/metrics.h"
#include "edge/grpc_server.h"
#include "loop/loop.h"

#define GRPC_HOST_SERVICES_MAX 5
#define GRPC_HOST_METHODS_MAX  24 /* of all services together */

struct grpc_host;

/* What one service is; the methods are copied, names and paths are borrowed for good. */
struct grpc_service {
    struct slice name; /* "counter.CounterService" */
    bool internal;     /* for our own processes: reflection has it, health has not */
    struct grpc_method methods[GRPC_HOST_METHODS_MAX];
    size_t method_count;
};

struct grpc_host_fleet {
    const struct config *config;
    struct metrics *metrics;
    struct tls *tls;               /* of the listener; NULL: plain */
    struct flood_penalty *penalty; /* likewise; NULL: none */
    _Atomic size_t connections;    /* open now, on all loops */
    struct slice paths[GRPC_HOST_METHODS_MAX];
    size_t path_count;
    metric_series *requests; /* [path][status]; grpc_host_fleet_init() makes them */
    metric_series *duration; /* [path] */
};

/* Makes a series for each of these methods, before any loop starts; false when memory runs out. */
MUST_CHECK bool grpc_host_fleet_init(struct grpc_host_fleet *fleet, const struct slice *paths,
                                     size_t count);
void grpc_host_fleet_release(struct grpc_host_fleet *fleet);

/* On the loop's thread. Every service is SERVING at first. NULL when memory runs out. */
struct grpc_host *grpc_host_new(struct grpc_host_fleet *fleet, struct loop *loop, unsigned shard,
                                const struct grpc_service *services, size_t count);

/* Serves a listening socket, once for each; taken over, also on failure. */
MUST_CHECK bool grpc_host_listen(struct grpc_host *host, int fd);

/* Drained, or never used. NULL is fine. */
void grpc_host_free(struct grpc_host *host);

/* Answers are ready that the end of this tick has missed. */
bool grpc_host_owes(const struct grpc_host *host);

/* What health says of this service, and of the whole: that serves while all do. */
void grpc_host_set_serving(struct grpc_host *host, struct slice service, bool serving);

/* grpc_server_send_away(): clients look for another server, or learn more when they come back. */
void grpc_host_send_away(struct grpc_host *host);

/* Says NOT_SERVING, sends clients away in two steps, finishes what is under way, then calls done()
 * once. */
void grpc_host_drain(struct grpc_host *host, void (*done)(void *ctx), void *ctx);

/* During a drain: closes what clients still hold open. */
void grpc_host_abort(struct grpc_host *host);

/* Ends a call with an error of ours, in its gRPC status; 'detail' empty: the error's own sentence.
 */
void grpc_fail(struct grpc_call *call, enum err err, struct slice detail);

/* Sends a message that was written into 'message' and ends the call well. */
void grpc_reply(struct grpc_call *call, const struct buf *message);

#endif
