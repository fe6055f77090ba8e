/* pushback.h - a server's word on trying again, "grpc-retry-pushback-ms" (gRPC A6).
 *
 *     0, 1, 2 …      after so many milliseconds, instead of the client's own backoff
 *     anything else  never: this attempt was the last one
 *
 * Threads    Plain functions. A zeroed struct: nothing was said.
 */
#ifndef CORE_PUSHBACK_H
#define CORE_PUSHBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define PUSHBACK_FIELD "grpc-retry-pushback-ms"

struct pushback {
    bool given;
    int64_t ms; /* negative: never */
};

/* The field's value. */
struct pushback pushback_parse(struct slice text);

/* What we say when we shed a call with this error; {NULL, 0}: nothing. */
struct slice pushback_for(enum err err);

#endif
