/* grpc_request.c - a call's request: its head, its metadata, its messages.
 *
 *     fields ─► head: refuse, or ─► data: frames ─► message ─► handle()
 *
 * A unary message waits for the end of the request, as a second one is an
 * error of its own; a client's stream is handed over as it comes.
 */
#include <stdlib.h>

#include "base/random.h"
#include "edge/grpc_internal.h"
#include "edge/tracer.h"
#include "wire/grpc_text.h"
#include "wire/trace_context.h"

#define FIELDS_MAX       100u       /* cookie crumbs: many fields that HPACK makes of few bytes */
#define FIELD_OVERHEAD   32u        /* RFC 9113 6.5.2 */
#define IN_SLACK         (1u << 20) /* beside one message of the full size, for a connection */
#define INFLATED_KEEP    65536u
#define HTTP_PATIENCE_MS 2000

/* ---- the head ------------------------------------------------------------ */

/* What a connection's requests may hold: a message of the full size, and some. */
static size_t in_max(const struct grpc_call *call) {
    return call->server->conf.message_bytes_max + IN_SLACK;
}

static struct slice field_value(struct grpc_call *call, struct slice name, struct slice value) {
    struct buf decoded = {0};

    if (!grpc_is_binary_name(name))
        return arena_copy(&call->arena, value);
    /* Several values of one name may come joined (PROTOCOL-HTTP2.md, "Custom-Metadata"). */
    const char *comma = memchr(value.ptr, ',', value.len);
    if (comma)
        value.len = (size_t)(comma - value.ptr);
    if (grpc_base64_decode(&decoded, value) != ERR_OK)
        call->in.malformed = true;
    struct slice copy = arena_copy(&call->arena, buf_slice(&decoded));
    buf_release(&decoded);
    return copy;
}

static void add_metadata(struct grpc_call *call, struct slice name, struct slice value) {
    struct grpc_field *field = arena_alloc(&call->arena, sizeof(*field));

    if (!field)
        return;
    field->name = arena_copy(&call->arena, name);
    field->value = field_value(call, name, value);
    field->next = call->in.fields;
    call->in.fields = field;
}

/* Fields that the server reads itself; their place, or NULL. */
static struct slice *own_field(struct grpc_call *call, struct slice name) {
    if (slice_eq(name, SLICE(":path")))
        return &call->in.path;
    if (slice_eq(name, SLICE("content-type")))
        return &call->in.content_type;
    if (slice_eq(name, SLICE("grpc-encoding")))
        return &call->in.encoding;
    if (slice_eq(name, SLICE("grpc-timeout")))
        return &call->in.timeout;
    return NULL;
}

void grpc_request_field(struct h2_stream *stream, struct slice name, struct slice value) {
    struct grpc_call *call = grpc_call_of(stream);
    size_t bytes = name.len + value.len + FIELD_OVERHEAD;

    /* Trailers of a request mean nothing to us. */
    if (stream->head_done || call->ended)
        return;
    if (stream->field_count > FIELDS_MAX || call->in.too_large ||
        call->in.field_bytes + bytes > GRPC_HEADER_LIST_MAX ||
        !h2_hold(stream->h2, bytes, in_max(call))) {
        call->in.too_large = true;
        return;
    }
    call->in.field_bytes += bytes;
    struct slice *own = own_field(call, name);
    if (own)
        *own = arena_copy(&call->arena, value);
    else if (slice_eq(name, SLICE(":method")))
        call->in.post = slice_eq(value, SLICE("POST"));
    else if (name.ptr[0] != ':')
        add_metadata(call, name, value);
}

static bool is_grpc(struct slice type) {
    struct slice want = SLICE("application/grpc");

    if (!slice_starts(type, want))
        return false;
    type = slice_skip(type, want.len);
    if (slice_starts(type, SLICE("+proto")))
        type = slice_skip(type, 6);
    return type.len == 0 || type.ptr[0] == ';';
}

/* Longer than deadline_max_ms only for what may last: a stream without an end of its own. */
static void set_deadline(struct grpc_call *call, int64_t timeout_ms) {
    struct grpc_server *server = call->server;
    bool lasting = call->method->long_lived || call->method->client_streams;

    if (!lasting && timeout_ms > server->conf.deadline_max_ms)
        timeout_ms = server->conf.deadline_max_ms;
    h2_set_deadline(&call->stream,
                    timeout_ms == INT64_MAX ? INT64_MAX : loop_now_ms(server->loop) + timeout_ms);
}

static void check_encoding(struct grpc_call *call) {
    call->in.gzip = slice_eq(call->in.encoding, SLICE("gzip"));
    if (call->in.gzip || !call->in.encoding.ptr || slice_eq(call->in.encoding, SLICE("identity")))
        return;
    grpc_response_trailer(call, SLICE("grpc-accept-encoding"), SLICE("identity,gzip"));
    grpc_call_refuse(call, GRPC_UNIMPLEMENTED, SLICE("the message encoding is not supported"));
}

/* The metadata list is in reverse order; several tracestates are one, in theirs. */
static void add_trace_fields(struct trace_fields *out, const struct grpc_field *field) {
    const struct grpc_field *traced[TRACESTATE_FIELDS_MAX + 2];
    unsigned count = 0;

    for (; field && count < ARRAY_LEN(traced); field = field->next)
        if (slice_eq(field->name, SLICE(TRACEPARENT)) || slice_eq(field->name, SLICE(TRACESTATE)))
            traced[count++] = field;
    while (count--)
        trace_fields_add(out, traced[count]->name, traced[count]->value);
}

static void read_trace(struct grpc_call *call) {
    struct trace_fields fields;

    if (!grpc_metadata(call, SLICE(TRACEPARENT)).ptr) {
        call->trace = tracer_sample(&call->server->next_span, &call->arena);
        return;
    }
    fields = (struct trace_fields){.parents = 0};
    add_trace_fields(&fields, call->in.fields);
    call->trace = trace_fields_read(&fields, random_next(&call->server->next_span), &call->arena);
}

/* An HTTP client is answered when it has said all, as it may not listen before; but not much later.
 */
static void not_grpc(struct grpc_call *call, const char *status, struct slice text) {
    call->in.http_status = status;
    call->in.http_text = text;
    h2_set_deadline(&call->stream, loop_now_ms(call->server->loop) + HTTP_PATIENCE_MS);
}

void grpc_request_head(struct h2_stream *stream, bool body_follows) {
    struct grpc_call *call = grpc_call_of(stream);
    int64_t timeout_ms = INT64_MAX;

    (void)body_follows;
    if (call->in.too_large || arena_overflowed(&call->arena)) {
        grpc_call_refuse(call, GRPC_RESOURCE_EXHAUSTED,
                         SLICE("the request's metadata is too large or has too many fields"));
        return;
    }
    read_trace(call);
    if (!call->in.post) {
        not_grpc(call, "405", SLICE("gRPC requests are POST\n"));
        return;
    }
    if (!is_grpc(call->in.content_type)) {
        not_grpc(call, "415", SLICE("the content type is not application/grpc\n"));
        return;
    }
    call->method = grpc_method_find(call->server, call->in.path);
    if (!call->method) {
        grpc_call_refuse(call, GRPC_UNIMPLEMENTED, SLICE("unknown method"));
        return;
    }
    if (call->in.malformed ||
        (call->in.timeout.ptr && grpc_timeout_parse(call->in.timeout, &timeout_ms) != ERR_OK)) {
        grpc_call_refuse(call, GRPC_INTERNAL, SLICE("malformed grpc-timeout or -bin metadata"));
        return;
    }
    set_deadline(call, timeout_ms);
    check_encoding(call);
}

/* ---- messages ------------------------------------------------------------ */

static void hand_over(struct grpc_call *call, struct slice message) {
    call->handed = true;
    call->method->handle(call->method->ctx, call, message);
}

static void inflate_and_hand_over(struct grpc_call *call) {
    struct grpc_server *server = call->server;

    buf_clear(&server->inflated);
    enum err err = gunzip_all(server->gunzip, buf_slice(&call->in.message),
                              server->conf.message_bytes_max, &server->inflated);

    if (err == ERR_OK)
        hand_over(call, buf_slice(&server->inflated));
    else if (err == ERR_TOO_LARGE)
        grpc_call_refuse(call, GRPC_RESOURCE_EXHAUSTED, SLICE("the message is too large"));
    else
        grpc_call_refuse(call, GRPC_INTERNAL, SLICE("the message can't be decompressed"));
    if (server->inflated.cap > INFLATED_KEEP)
        buf_release(&server->inflated);
}

static void deliver(struct grpc_call *call) {
    if (call->in.reader.compressed)
        inflate_and_hand_over(call);
    else
        hand_over(call, buf_slice(&call->in.message));
    h2_drop_body(&call->stream, &call->in.message);
}

static void on_message_head(struct grpc_call *call) {
    const struct grpc_frame_reader *reader = &call->in.reader;

    if (reader->length > call->server->conf.message_bytes_max)
        grpc_call_refuse(call, GRPC_RESOURCE_EXHAUSTED, SLICE("the message is too large"));
    else if (call->in.messages && !call->method->client_streams)
        /* grpc/doc/statuscodes.md: "Request cardinality violation" */
        grpc_call_refuse(call, GRPC_UNIMPLEMENTED, SLICE("more than one request message"));
    else if (reader->compressed && !call->in.gzip)
        grpc_call_refuse(call, GRPC_INTERNAL, SLICE("a compressed message without grpc-encoding"));
}

static void on_message_part(struct grpc_call *call, struct slice part) {
    if (h2_make_room(&call->stream, &call->in.message, part.len, call->in.reader.length,
                     in_max(call)))
        buf_add_slice(&call->in.message, part);
    else
        grpc_call_refuse(call, GRPC_RESOURCE_EXHAUSTED,
                         SLICE("the connection's requests take too much memory"));
}

void grpc_request_data(struct h2_stream *stream, struct slice bytes) {
    struct grpc_call *call = grpc_call_of(stream);
    struct slice part;

    while (!call->ended && call->method) {
        switch (grpc_frame_next(&call->in.reader, &bytes, &part)) {
        case GRPC_FRAME_HEAD:
            on_message_head(call);
            break;
        case GRPC_FRAME_PART:
            on_message_part(call, part);
            break;
        case GRPC_FRAME_END:
            call->in.messages++;
            if (call->method->client_streams)
                deliver(call);
            break;
        case GRPC_FRAME_BAD:
            grpc_call_refuse(call, GRPC_INTERNAL, SLICE("not a gRPC message"));
            break;
        case GRPC_FRAME_MORE:
            return;
        }
    }
}

void grpc_request_end(struct h2_stream *stream) {
    struct grpc_call *call = grpc_call_of(stream);
    const struct grpc_method *method = call->method;

    if (call->ended)
        return;
    if (call->in.http_status) {
        grpc_call_refuse_http(call);
    } else if (!grpc_frame_between(&call->in.reader)) {
        grpc_call_refuse(call, GRPC_INTERNAL, SLICE("the request ends inside a message"));
    } else if (method->client_streams) {
        call->handed = true;
        if (method->half_closed)
            method->half_closed(method->ctx, call);
    } else if (call->in.messages == 0) {
        grpc_call_refuse(call, GRPC_UNIMPLEMENTED, SLICE("no request message"));
    } else {
        deliver(call);
    }
}
