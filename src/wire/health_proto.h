/* health_proto.h - the messages of grpc.health.v1.Health.
 *
 * Threads    Pure functions, any thread.
 * Ownership  The service's name lives in the arena.
 */
#ifndef WIRE_HEALTH_PROTO_H
#define WIRE_HEALTH_PROTO_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* HealthCheckResponse.ServingStatus */
enum health_status {
    HEALTH_UNKNOWN = 0,
    HEALTH_SERVING = 1,
    HEALTH_NOT_SERVING = 2,
    HEALTH_SERVICE_UNKNOWN = 3, /* Watch only; Check says NOT_FOUND */
};

/* HealthCheckRequest; an empty name is the whole server.
 * ERR_INVALID    not such a message, or a name that isn't UTF-8
 * ERR_NO_MEMORY  past the arena's cap */
MUST_CHECK enum err health_read_request(struct slice message, struct arena *arena,
                                        struct slice *out_service);

/* HealthCheckResponse */
void health_write_response(struct buf *out, enum health_status status);

#endif
