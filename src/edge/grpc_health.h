/* grpc_health.h - grpc.health.v1.Health: is this server, or one of its services, serving?
 *
 *     NOT_SERVING ◄──grpc_health_set()──► SERVING ──grpc_health_drain()──► NOT_SERVING for good
 *
 * Check answers once. Watch sends the status now and on every change, and doesn't end by
 * itself: before a drain of the server can be complete, grpc_health_end_watches() has to
 * run. See github.com/grpc/grpc/blob/master/doc/health-checking.md.
 *
 * Threads    The loop's thread.
 * Ownership  Lives longer than the server it is served by. The names are borrowed for as long.
 * Limits     A watch is one call of the server's limits and lives in that call's arena.
 */
#ifndef EDGE_GRPC_HEALTH_H
#define EDGE_GRPC_HEALTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "edge/grpc_server.h"

struct grpc_health;

/* Knows the services given ("counter.CounterService") and "", the server as a whole; all
 * NOT_SERVING at first. NULL when memory runs out. */
struct grpc_health *grpc_health_new(const struct slice *services, size_t count);

/* No watch may be open. NULL is fine. */
void grpc_health_free(struct grpc_health *health);

#define GRPC_HEALTH_METHODS 2

/* For grpc_server_conf. */
void grpc_health_methods(struct grpc_health *health, struct grpc_method out[GRPC_HEALTH_METHODS]);

/* One of the services of grpc_health_new(), or "". Without effect after the drain. */
void grpc_health_set(struct grpc_health *health, struct slice service, bool serving);

/* Everything is NOT_SERVING from now on, and watches are told. */
void grpc_health_drain(struct grpc_health *health);

/* Ends every watch with UNAVAILABLE, and those to come behind their first message. */
void grpc_health_end_watches(struct grpc_health *health);

#endif
