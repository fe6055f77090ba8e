/* recount.h - the values of all counters, from the embedded store to its analytics, while both are
 * at work: where analytics is new, or newer than the store.
 *
 * Threads    Started and stopped by the main thread; works on one of its own.
 */
#ifndef CLI_RECOUNT_H
#define CLI_RECOUNT_H

#include "analytics/service.h"
#include "base/attr.h"

struct recount;

/* NULL: analytics has the values, or there is no memory for a thread. 'data' and 'service' outlive
 * it. The log says what became of it. */
struct recount *recount_start(const char *data, struct analytics_service *service);

/* Gives it up if it is not done: the next start begins it again. NULL is fine. */
void recount_stop(struct recount *recount);

#endif
