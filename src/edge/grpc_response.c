/* grpc_response.c - a call's response: messages, trailers, refusals. */
#include "base/decimal.h"
#include "edge/grpc_internal.h"
#include "wire/grpc_text.h"

#define TRAILERS_MAX    (H2_TRAILERS_MAX - 2) /* beside grpc-status and grpc-message */
#define TRAILER_BYTES   8192u                 /* gRPC clients' own limit */
#define STATUS_TEXT_MAX 1024u
#define TRAILERS_KEEP   1024u

/* ---- trailers ------------------------------------------------------------ */

struct trailer_lens {
    uint32_t name;
    uint32_t value;
};

static void add_trailer(struct buf *trailers, struct slice name, struct slice value) {
    struct trailer_lens lens = {(uint32_t)name.len, (uint32_t)value.len};

    buf_add(trailers, &lens, sizeof(lens));
    buf_add_slice(trailers, name);
    buf_add_slice(trailers, value);
}

/* As fields that point into the buffer: nghttp2 copies them. */
static size_t list_trailers(const struct buf *trailers, nghttp2_nv *nva) {
    size_t count = 0;

    for (char *p = trailers->ptr, *end = p + trailers->len; p < end; count++) {
        struct trailer_lens lens;

        memcpy(&lens, p, sizeof(lens));
        p += sizeof(lens);
        nva[count] = (nghttp2_nv){.name = (uint8_t *)p,
                                  .value = (uint8_t *)p + lens.name,
                                  .namelen = lens.name,
                                  .valuelen = lens.value};
        p += lens.name + lens.value;
    }
    return count;
}

void grpc_response_trailer(struct grpc_call *call, struct slice name, struct slice value) {
    struct buf encoded = {0};

    if (call->ended || call->out.trailer_count >= TRAILERS_MAX ||
        call->out.trailers.len + name.len + value.len > TRAILER_BYTES)
        return;
    call->out.trailer_count++;
    if (grpc_is_binary_name(name)) {
        grpc_base64_encode(&encoded, value);
        value = buf_slice(&encoded);
    }
    add_trailer(&call->out.trailers, name, value);
    call->out.trailers.failed |= buf_failed(&encoded);
    buf_release(&encoded);
}

static void add_status(struct grpc_call *call, enum grpc_status status, struct slice message) {
    char digits[DECIMAL_BYTES];
    struct buf encoded = {0};

    add_trailer(&call->out.trailers, SLICE("grpc-status"), decimal_u64(digits, status));
    if (message.len) {
        message.len = message.len < STATUS_TEXT_MAX ? message.len : STATUS_TEXT_MAX;
        grpc_percent_encode(&encoded, message);
        add_trailer(&call->out.trailers, SLICE("grpc-message"), buf_slice(&encoded));
        call->out.trailers.failed |= buf_failed(&encoded);
        buf_release(&encoded);
    }
}

size_t grpc_response_trailers(struct h2_stream *stream, nghttp2_nv nva[H2_TRAILERS_MAX]) {
    const struct grpc_call *call = grpc_call_of(stream);

    return call->out.plain ? 0 : list_trailers(&call->out.trailers, nva);
}

/* ---- messages and ends --------------------------------------------------- */

bool grpc_response_message(struct grpc_call *call, struct slice message) {
    static const nghttp2_nv head[] = {H2_FIELD(":status", "200"),
                                      H2_FIELD("content-type", "application/grpc")};
    unsigned char prefix[GRPC_PREFIX_BYTES];

    if (!h2_queue_fits(&call->stream, sizeof(prefix) + message.len))
        return false;
    grpc_frame_prefix(prefix, false, (uint32_t)message.len);
    h2_queue(&call->stream, slice_of((const char *)prefix, sizeof(prefix)));
    h2_queue(&call->stream, message);
    if (!call->stream.out.begun)
        h2_respond(&call->stream, head, ARRAY_LEN(head), true);
    return true;
}

static void trailers_only(struct grpc_call *call) {
    nghttp2_nv nva[H2_TRAILERS_MAX + 2] = {H2_FIELD(":status", "200"),
                                           H2_FIELD("content-type", "application/grpc")};
    size_t count = 2 + list_trailers(&call->out.trailers, nva + 2);

    h2_respond(&call->stream, nva, count, false);
}

void grpc_response_end(struct grpc_call *call, enum grpc_status status, struct slice message) {
    add_status(call, status, message);
    if (buf_failed(&call->out.trailers))
        h2_fail(call->stream.h2);
    else if (!call->stream.out.begun)
        trailers_only(call);
    h2_finish(&call->stream);
}

void grpc_response_http(struct grpc_call *call, const char *status, struct slice text) {
    nghttp2_nv head[] = {
        {.name = (uint8_t *)(uintptr_t) ":status",
         .value = (uint8_t *)(uintptr_t)status,
         .namelen = 7,
         .valuelen = strlen(status)},
        H2_FIELD("content-type", "text/plain"),
        H2_FIELD("allow", "POST"),
    };

    call->out.plain = true;
    h2_queue(&call->stream, text);
    h2_respond(&call->stream, head, ARRAY_LEN(head), true);
    h2_finish(&call->stream);
}

void grpc_response_drop(struct grpc_call *call) {
    buf_clear(&call->out.trailers);
    if (call->out.trailers.cap > TRAILERS_KEEP)
        buf_release(&call->out.trailers);
}
