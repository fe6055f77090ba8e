/* request_timeout.h - X-Request-Timeout: how long a client of HTTP waits for its answer.
 *
 * What grpc-timeout is for gRPC: "2" or "2s" are seconds, "250ms" are milliseconds; whole numbers
 * of at most eight digits. 0 is no time at all.
 *
 * Threads    Pure, any thread.
 */
#ifndef WIRE_REQUEST_TIMEOUT_H
#define WIRE_REQUEST_TIMEOUT_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

#define REQUEST_TIMEOUT "X-Request-Timeout"

/* ERR_INVALID  anything else. */
MUST_CHECK enum err request_timeout_parse(struct slice text, int64_t *out_ms);

#endif
