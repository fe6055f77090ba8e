/* grpc_echo.h - methods for tests of the gRPC server.
 *
 *     /echo.Echo/Unary   the message comes back; "x-echo" and "x-echo-bin" metadata as trailers
 *     /echo.Echo/Stream  the message is "COUNT BYTES": so many messages of that size
 *     /echo.Echo/Slow    answers never; finishes when told that the client has gone
 *     /echo.Echo/Fail    INVALID_ARGUMENT with a message that needs encoding
 *     /echo.Echo/Each    a client's stream: every message comes back; ends with it
 *     /echo.Echo/Watch   one message back, then nothing, for ever
 *
 * Threads    The loop's.
 */
#ifndef TESTS_LIB_GRPC_ECHO_H
#define TESTS_LIB_GRPC_ECHO_H

#include "edge/grpc_server.h"

struct grpc_echo {
    unsigned handled;
    unsigned gone;
    unsigned finished;
    unsigned by_status[17];
    struct trace_context trace; /* of the last finished call that had one, */
    char trace_state[64];       /* and its tracestate */
    unsigned traced;
};

#define GRPC_ECHO_METHODS 6

/* Fills a table whose handlers count in 'echo'. */
void grpc_echo_methods(struct grpc_echo *echo, struct grpc_method out[GRPC_ECHO_METHODS]);

/* For grpc_server_conf.finished, with 'echo' as its context. */
void grpc_echo_finished(void *ctx, const struct grpc_method *method, enum grpc_status status,
                        struct slice message, const struct trace_context *trace,
                        int64_t duration_us);

#endif
