/* grpc_echo.c */
#include "grpc_echo.h"

#include <stdio.h>
#include <stdlib.h>

#define GRPC_ECHO_REFUSAL "half 50% \xc3\xa9\n"

static void unary(void *ctx, struct grpc_call *call, struct slice message) {
    struct grpc_echo *echo = ctx;
    static const struct slice names[] = {{"x-echo", 6}, {"x-echo-bin", 10}};

    echo->handled++;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct slice value = grpc_metadata(call, names[i]);

        if (value.ptr)
            grpc_add_trailer(call, names[i], value);
    }
    grpc_send(call, message);
    grpc_finish(call, GRPC_OK, (struct slice){NULL, 0});
}

static void stream(void *ctx, struct grpc_call *call, struct slice message) {
    struct grpc_echo *echo = ctx;
    char text[32] = {0};
    char *rest;

    echo->handled++;
    memcpy(text, message.ptr, message.len < sizeof(text) - 1 ? message.len : sizeof(text) - 1);
    unsigned long count = strtoul(text, &rest, 10);
    unsigned long bytes = strtoul(rest, NULL, 10);
    char *fill = calloc(1, bytes + 1);
    while (count--)
        grpc_send(call, slice_of(fill, bytes));
    free(fill);
    grpc_finish(call, GRPC_OK, (struct slice){NULL, 0});
}

static void slow(void *ctx, struct grpc_call *call, struct slice message) {
    struct grpc_echo *echo = ctx;

    (void)call, (void)message;
    echo->handled++;
}

static void gone(void *ctx, struct grpc_call *call) {
    struct grpc_echo *echo = ctx;

    echo->gone++;
    grpc_finish(call, GRPC_CANCELLED, (struct slice){NULL, 0});
}

static void fail(void *ctx, struct grpc_call *call, struct slice message) {
    struct grpc_echo *echo = ctx;

    (void)message;
    echo->handled++;
    grpc_finish(call, GRPC_INVALID_ARGUMENT, SLICE(GRPC_ECHO_REFUSAL));
}

static void each(void *ctx, struct grpc_call *call, struct slice message) {
    struct grpc_echo *echo = ctx;

    echo->handled++;
    grpc_send(call, message);
}

static void each_end(void *ctx, struct grpc_call *call) {
    (void)ctx;
    grpc_finish(call, GRPC_OK, (struct slice){NULL, 0});
}

void grpc_echo_methods(struct grpc_echo *echo, struct grpc_method out[GRPC_ECHO_METHODS]) {
    struct grpc_method rows[GRPC_ECHO_METHODS] = {
        {.path = SLICE("/echo.Echo/Unary"), .handle = unary},
        {.path = SLICE("/echo.Echo/Stream"), .handle = stream},
        {.path = SLICE("/echo.Echo/Slow"), .handle = slow, .gone = gone},
        {.path = SLICE("/echo.Echo/Fail"), .handle = fail},
        {.path = SLICE("/echo.Echo/Each"),
         .handle = each,
         .half_closed = each_end,
         .gone = gone,
         .client_streams = true},
        {.path = SLICE("/echo.Echo/Watch"), .handle = each, .gone = gone, .long_lived = true},
    };

    for (size_t i = 0; i < GRPC_ECHO_METHODS; i++) {
        rows[i].ctx = echo;
        out[i] = rows[i];
    }
}

void grpc_echo_finished(void *ctx, const struct grpc_method *method, enum grpc_status status,
                        struct slice message, const struct trace_context *trace,
                        int64_t duration_us) {
    struct grpc_echo *echo = ctx;

    (void)method, (void)message, (void)duration_us;
    echo->finished++;
    if (trace) {
        echo->traced++;
        echo->trace = *trace;
        (void)snprintf(echo->trace_state, sizeof(echo->trace_state), "%.*s",
                       SLICE_ARGS(trace->state));
    }
    if ((unsigned)status < ARRAY_LEN(echo->by_status))
        echo->by_status[status]++;
}
