/* store_reading.h - a Redis store, read beside those that count in it, by connections of its own.
 *
 * Threads    One of the caller's that is nobody's loop; blocks until it is done, and while Redis is
 *            away for up to ten seconds a question.
 * Errors     Logged: ERR_UNREACHABLE, ERR_NO_MEMORY; ERR_CORRUPT; what 'take' says.
 */
#ifndef CLI_STORE_READING_H
#define CLI_STORE_READING_H

#include "base/attr.h"
#include "base/slice.h"
#include "cli/store.h"
#include "core/event.h"

typedef enum err (*store_reading_fn)(void *ctx, struct slice resource_id, struct slice counter_type,
                                     int64_t value);

/* Every counter that is there all the while, once or more, each as it was at some moment of it. */
MUST_CHECK enum err store_reading_counters(const struct store *store, store_reading_fn take,
                                           void *ctx);

/* How far the consumer of this name has reported, by lane. ERR_NOT_FOUND: there is none, in one of
 * the lanes; ERR_LAYOUT: the store hasn't so many lanes; neither is logged. */
MUST_CHECK enum err store_reading_consumer(const struct store *store, const char *consumer,
                                           struct event_position *out_at, uint32_t lanes);

#endif
