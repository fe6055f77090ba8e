/* counter_values.h - the values of all counters, from the process that counts them, by gRPC.
 *
 *     page, page … ─► the last one: what was read is on the counter's disk
 *
 * A counter that is away is waited for; one that has started again meanwhile isn't read on, as a
 * power cut may have taken what the pages before have.
 *
 * Threads    One of the caller's that is nobody's loop; blocks until it is done.
 */
#ifndef CLI_COUNTER_VALUES_H
#define CLI_COUNTER_VALUES_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

struct tls;

struct counter_values {
    const char *address;
    struct tls *tls;   /* NULL: plain */
    uint64_t store_id; /* that it must have */
    const atomic_bool *stopping;
};

/* Each counter as it was at some moment behind the call. Logged: ERR_UNREACHABLE: nobody answers
 * for a minute; ERR_INVALID: the counter can't do it; ERR_LAYOUT: it has another store;
 * ERR_CLOSED: it has started again; ERR_NO_MEMORY. ERR_UNAVAILABLE: 'stopping' is set. Or what
 * 'take' says. */
MUST_CHECK enum err counter_values_take(const struct counter_values *values,
                                        enum err (*take)(void *ctx, struct slice resource_id,
                                                         struct slice counter_type, int64_t value),
                                        void *ctx);

#endif
