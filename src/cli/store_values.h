/* store_values.h - the values of all counters, from a store to an analytics, while both are at
 * work.
 *
 * Threads    One of the caller's that is nobody's loop; blocks until it is done.
 */
#ifndef CLI_STORE_VALUES_H
#define CLI_STORE_VALUES_H

#include <stdatomic.h>
#include <stdint.h>

#include "analytics/service.h"
#include "base/attr.h"
#include "cli/source.h"
#include "cli/store.h"

struct store_values {
    const struct store *store; /* NULL: it is in another process, */
    const struct source *from; /* in this counter */
    struct analytics_service *service;
    const atomic_bool *stopping;
    _Atomic uint64_t *taken; /* counted up to how many there are */
};

/* ERR_UNAVAILABLE: analytics has stopped by itself, or 'stopping' is set; then all of it is to be
 * done again. The store's errors are logged. ERR_OK: all of it is on the store's disk, or in its
 * Redis. */
MUST_CHECK enum err store_values_take(const struct store_values *values);

#endif
