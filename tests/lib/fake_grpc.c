/* fake_grpc.c - remembers what a handler does with its call. */
#include "fake_grpc.h"

#include <stdlib.h>

#include "test.h"

#define SENT_MAX     64
#define TRAILERS_MAX 8

struct grpc_call {
    struct arena arena;
    struct arena record; /* what was sent */
    void *data;
    struct slice sent[SENT_MAX];
    size_t sent_count;
    struct {
        struct slice name;
        struct slice value;
    } trailers[TRAILERS_MAX];
    size_t trailer_count;
    int64_t deadline_ms;
    int status;
    struct slice message;
};

struct grpc_call *fake_call_new(size_t arena_bytes) {
    struct grpc_call *call = calloc(1, sizeof(*call));

    assert_non_null(call);
    call->status = -1;
    call->deadline_ms = INT64_MAX;
    arena_init(&call->arena, 256, arena_bytes);
    arena_init(&call->record, 4096, 16u << 20);
    return call;
}

void fake_call_free(struct grpc_call *call) {
    arena_release(&call->arena);
    arena_release(&call->record);
    free(call);
}

const struct grpc_method *fake_method(const struct grpc_method *methods, size_t count,
                                      const char *path) {
    for (size_t i = 0; i < count; i++)
        if (slice_eq(methods[i].path, slice_str(path)))
            return &methods[i];
    fail_msg("no method %s", path);
    return NULL;
}

void fake_call_message(const struct grpc_method *method, struct grpc_call *call,
                       struct slice message) {
    char *borrowed = malloc(message.len ? message.len : 1);

    assert_non_null(borrowed);
    assert_int_equal(call->status, -1);
    if (message.len)
        memcpy(borrowed, message.ptr, message.len);
    method->handle(method->ctx, call, slice_of(borrowed, message.len));
    free(borrowed);
}

void fake_call_half_close(const struct grpc_method *method, struct grpc_call *call) {
    assert_true(method->client_streams);
    if (method->half_closed)
        method->half_closed(method->ctx, call);
}

void fake_call_cancel(const struct grpc_method *method, struct grpc_call *call) {
    if (method->gone)
        method->gone(method->ctx, call);
}

size_t fake_sent_count(const struct grpc_call *call) {
    return call->sent_count;
}

struct slice fake_sent(const struct grpc_call *call, size_t i) {
    assert_true(i < call->sent_count);
    return call->sent[i];
}

int fake_status(const struct grpc_call *call) {
    return call->status;
}

struct slice fake_status_message(const struct grpc_call *call) {
    return call->message;
}

const char *fake_trailer(const struct grpc_call *call, const char *name) {
    for (size_t i = 0; i < call->trailer_count; i++)
        if (slice_eq(call->trailers[i].name, slice_str(name)))
            return call->trailers[i].value.ptr;
    return "";
}

void fake_call_deadline(struct grpc_call *call, int64_t deadline_ms) {
    call->deadline_ms = deadline_ms;
}

/* ---- edge/grpc_server.h, as far as handlers need it ---- */

struct arena *grpc_arena(struct grpc_call *call) {
    return &call->arena;
}

struct trace_context *grpc_trace(const struct grpc_call *call) {
    (void)call;
    return NULL;
}

void grpc_set_data(struct grpc_call *call, void *data) {
    call->data = data;
}

void *grpc_data(const struct grpc_call *call) {
    return call->data;
}

int64_t grpc_deadline_ms(const struct grpc_call *call) {
    return call->deadline_ms;
}

void grpc_add_trailer(struct grpc_call *call, struct slice name, struct slice value) {
    assert_int_equal(call->status, -1);
    assert_true(call->trailer_count < TRAILERS_MAX);
    call->trailers[call->trailer_count].name = arena_copy(&call->record, name);
    call->trailers[call->trailer_count].value = arena_copy(&call->record, value);
    call->trailer_count++;
}

void grpc_send(struct grpc_call *call, struct slice message) {
    assert_int_equal(call->status, -1);
    assert_true(call->sent_count < SENT_MAX);
    call->sent[call->sent_count] = arena_copy(&call->record, message);
    assert_non_null(call->sent[call->sent_count].ptr);
    call->sent_count++;
}

void grpc_finish(struct grpc_call *call, enum grpc_status status, struct slice message) {
    assert_int_equal(call->status, -1);
    call->status = (int)status;
    call->message = arena_copy(&call->record, message);
    /* The workspace goes with the call: who looks at it later is told by the sanitizer. */
    arena_release(&call->arena);
}
