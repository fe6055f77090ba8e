/* front_values.h - the counters' values for another process: Values of counter.internal.Outbox, for
 * one loop.
 *
 *     first page ─► a look at the folder, from that moment ─► pages ─► the last one, on disk
 *
 * The pages of a walk come from one look (edge/rocks_kv.h); a walk that goes on here after a
 * restart, or on another loop, gets a later one. What is read need not be on disk yet: it is when
 * the last page is answered.
 *
 * Threads    The loop's thread; a page is read by one of its own.
 * Ownership  A page is read to its end when its call has gone: a drain waits for it
 *            (front_values_idle()).
 * Limits     One page at a time; a look that nobody asks any more is closed after LOOK_MS.
 */
#ifndef COUNTER_FRONT_VALUES_H
#define COUNTER_FRONT_VALUES_H

#include <stdbool.h>

#include "counter/service.h"
#include "edge/grpc_server.h"
#include "loop/loop.h"

struct front_values;

/* 'service' NULL: there is nothing to be had, and Values says so. 'folder' is its store's,
 * borrowed. 'settled' is called whenever it has become idle. NULL when memory runs out. */
struct front_values *front_values_new(struct loop *loop, struct counter_service *service,
                                      const char *folder, void (*settled)(void *ctx), void *ctx);

/* Idle. NULL is fine. */
void front_values_free(struct front_values *values);

void front_values_method(struct front_values *values, struct grpc_method *out);

/* No page is being read. */
bool front_values_idle(const struct front_values *values);

/* When it is idle and nobody will ask any more: its look stays open until front_values_free(). */
void front_values_rest(struct front_values *values);

#endif
