/* handover.h - a partition's way to another process, or from one: one step of it at a time.
 *
 *     highgopress move ─► gRPC ─► a loop ─► mailbox ─► the service's thread: a step ─► back
 *
 * Threads    The loop's; a step is the service's thread's.
 * Ownership  A call isn't finished before its step is done, cancelled or not: a drain of the host
 * waits for it.
 */
#ifndef ANALYTICS_HANDOVER_H
#define ANALYTICS_HANDOVER_H

#include "analytics/service.h"
#include "edge/grpc_host.h"

struct handover_front;

/* The path of its method, for grpc_host_fleet_init(). */
const struct slice *handover_front_paths(size_t *out_count);

/* Of this service, on the loop whose mailbox is 'home'. NULL when memory runs out. */
struct handover_front *handover_front_new(struct analytics_service *service, struct mailbox *home);

/* Behind its host. NULL is fine. */
void handover_front_free(struct handover_front *front);

void handover_front_service(struct handover_front *front, struct grpc_service *out);

#endif
