/* grpc_channel_response.c - a response, field by field and byte by byte, up to its outcome.
 *
 * grpc/doc/PROTOCOL-HTTP2.md, "Responses". The server is not trusted: what it sends is counted
 * before it is kept, and what isn't gRPC isn't kept.
 */
#include <inttypes.h>
#include <stdio.h>

#include "edge/grpc_channel_internal.h"
#include "edge/lanes_codec.h"
#include "wire/grpc_text.h"

#define FIELDS_MAX      100u
#define FIELD_BYTES_MAX 16384u /* as announced; names, values and 32 for each (RFC 9113 6.5.2) */
#define HELD_MESSAGES   16u    /* of the greatest size, on one connection at once */

/* ---- fields -------------------------------------------------------------- */

static int number(struct slice text, int max) {
    int value = 0;

    if (text.len == 0)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        value = value * 10 + (text.ptr[i] - '0');
        if (value > max)
            return -1;
    }
    return value;
}

/* "Implementations must treat a status they don't know as UNKNOWN." */
static int status_of(struct slice text) {
    int status = number(text, GRPC_UNAUTHENTICATED);

    return status >= 0 ? status : GRPC_UNKNOWN;
}

/* "application/grpc" [("+proto" / "+json" / {custom})], and parameters behind it. */
static bool is_grpc_type(struct slice value) {
    static const struct slice type = {"application/grpc", 16};

    if (value.len < type.len || !slice_eq_nocase(slice_of(value.ptr, type.len), type))
        return false;
    return value.len == type.len || value.ptr[type.len] == '+' || value.ptr[type.len] == ';';
}

static void keep(struct grpc_exchange *ex, struct slice name, struct slice value) {
    if (slice_eq(name, SLICE(":status"))) {
        ex->http_status = number(value, 999);
    } else if (slice_eq(name, SLICE("content-type"))) {
        ex->is_grpc = is_grpc_type(value);
    } else if (slice_eq(name, SLICE("grpc-status"))) {
        ex->grpc_status = status_of(value);
    } else if (slice_eq(name, SLICE("grpc-message"))) {
        buf_clear(&ex->message);
        grpc_percent_decode(&ex->message, value);
    } else if (slice_eq(name, SLICE(LANES_ERROR_TRAILER))) {
        buf_clear(&ex->error);
        buf_add_slice(&ex->error, value);
    } else if (slice_eq(name, SLICE(PUSHBACK_FIELD))) {
        ex->pushback = pushback_parse(value);
    } else if (slice_eq(name, SLICE(LANES_NOT_APPLIED_TRAILER))) {
        ex->not_applied = slice_eq(value, SLICE("1"));
    }
}

void grpc_answer_field(struct grpc_exchange *ex, struct slice name, struct slice value) {
    ex->field_count++;
    ex->field_bytes += name.len + value.len + 32;
    if (ex->decided)
        return;
    if (ex->field_count > FIELDS_MAX || ex->field_bytes > FIELD_BYTES_MAX)
        grpc_exchange_abort(ex, GRPC_RESOURCE_EXHAUSTED,
                            SLICE("the response's header fields are too large or too many"));
    else
        keep(ex, name, value);
}

bool grpc_answer_head(struct grpc_exchange *ex) {
    if (ex->http_status >= 100 && ex->http_status < 200) {
        ex->http_status = 0;
        return true;
    }
    ex->head_done = true;
    return false;
}

/* ---- the message --------------------------------------------------------- */

static void begin_message(struct grpc_exchange *ex) {
    size_t max = ex->channel->conf.message_bytes_max;
    char text[96];

    if (ex->reader.compressed) {
        grpc_exchange_abort(ex, GRPC_INTERNAL,
                            SLICE("the response is compressed, which wasn't offered"));
    } else if (ex->messages > 0 && !ex->stream) {
        grpc_exchange_abort(ex, GRPC_INTERNAL, SLICE("more than one message came as the response"));
    } else if (ex->reader.length > max) {
        (void)snprintf(text, sizeof(text),
                       "the response of %" PRIu32 " bytes is larger than the %zu taken",
                       ex->reader.length, max);
        grpc_exchange_abort(ex, GRPC_RESOURCE_EXHAUSTED, slice_str(text));
    } else if (ex->stream) {
        grpc_exchange_message_begins(ex);
    }
}

/* Room grows with what has come, not with what was announced. */
static void add_part(struct grpc_exchange *ex, struct slice part) {
    struct grpc_channel_conn *conn = ex->conn;

    buf_add_slice(&ex->response, part);
    conn->held_bytes += part.len;
    if (buf_failed(&ex->response) ||
        conn->held_bytes > HELD_MESSAGES * ex->channel->conf.message_bytes_max)
        grpc_exchange_abort(ex, GRPC_RESOURCE_EXHAUSTED,
                            SLICE("there is no memory for the response"));
}

void grpc_answer_data(struct grpc_exchange *ex, struct slice bytes) {
    struct slice part = {NULL, 0};

    if (ex->http_status != 200 || !ex->is_grpc)
        return; /* somebody's error page */
    while (!ex->decided) {
        switch (grpc_frame_next(&ex->reader, &bytes, &part)) {
        case GRPC_FRAME_MORE:
            return;
        case GRPC_FRAME_HEAD:
            begin_message(ex);
            break;
        case GRPC_FRAME_PART:
            add_part(ex, part);
            break;
        case GRPC_FRAME_END:
            ex->messages++;
            if (ex->stream)
                grpc_exchange_message_ends(ex);
            break;
        case GRPC_FRAME_BAD:
            grpc_exchange_abort(ex, GRPC_INTERNAL,
                                SLICE("the response isn't framed as gRPC frames messages"));
            break;
        }
    }
}

/* ---- the end ------------------------------------------------------------- */

static void decide_by_http(struct grpc_exchange *ex) {
    char text[96];

    (void)snprintf(text, sizeof(text), "the answer isn't gRPC: HTTP status %d%s", ex->http_status,
                   ex->is_grpc ? "" : ", another content-type");
    grpc_exchange_decide(ex, grpc_status_of_http(ex->http_status), slice_str(text));
}

/* END_STREAM: trailers, or headers that are trailers too. */
void grpc_answer_end(struct grpc_exchange *ex) {
    if (ex->decided)
        return;
    if (!ex->is_grpc || (ex->http_status != 200 && ex->grpc_status < 0))
        decide_by_http(ex);
    else if (ex->grpc_status < 0)
        grpc_exchange_decide(ex, GRPC_INTERNAL,
                             SLICE("the server ended the call without a grpc-status"));
    else if (ex->grpc_status != GRPC_OK)
        grpc_exchange_decide(ex, (enum grpc_status)ex->grpc_status, buf_slice(&ex->message));
    else if (!grpc_frame_between(&ex->reader) || (ex->messages != 1 && !ex->stream))
        grpc_exchange_decide(ex, GRPC_INTERNAL,
                             SLICE("the server ended the call well, but not with one message"));
    else
        grpc_exchange_decide(ex, GRPC_OK, SLICE(""));
}

/* A server whose clock is ahead cancels a moment before we do. */
static bool is_late(const struct grpc_exchange *ex, uint32_t code) {
    return code == NGHTTP2_CANCEL && loop_now_ms(ex->channel->loop) >= ex->deadline_ms;
}

void grpc_answer_reset(struct grpc_exchange *ex, uint32_t code) {
    char text[96];

    if (ex->decided)
        return;
    if (is_late(ex, code)) {
        grpc_exchange_decide(ex, GRPC_DEADLINE_EXCEEDED, SLICE("the deadline has passed"));
        return;
    }
    /* "Indicates that the server hasn't processed the request" (RFC 9113 8.7), unless it has
     * begun to answer. A GOAWAY's last stream says the same through nghttp2. */
    ex->not_processed = code == NGHTTP2_REFUSED_STREAM && !ex->head_done;
    (void)snprintf(text, sizeof(text), "the stream was reset: %s", nghttp2_http2_strerror(code));
    grpc_exchange_decide(ex, grpc_status_of_reset(code), slice_str(text));
}
