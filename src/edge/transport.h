/* transport.h - a connected byte stream, plain or under TLS, with one face.
 *
 * The functions, their rules and the events are those of loop/stream.h; under TLS the events
 * begin when the handshake has succeeded, and a failed one is on_broken().
 *
 * Threads    The loop's thread.
 * Ownership  Owns its stream; is part of its user, who may free it in on_closed().
 */
#ifndef EDGE_TRANSPORT_H
#define EDGE_TRANSPORT_H

#include "loop/stream.h"

struct transport {
    struct stream *stream;
};

static inline void transport_init(struct transport *transport, struct stream *stream) {
    transport->stream = stream;
}

static inline void transport_start(struct transport *transport, const struct stream_events *events,
                                   void *ctx) {
    stream_start(transport->stream, events, ctx);
}

MUST_CHECK static inline bool transport_send(struct transport *transport, struct slice bytes) {
    return stream_send(transport->stream, bytes);
}

static inline void transport_pause(struct transport *transport) {
    stream_pause(transport->stream);
}

static inline void transport_resume(struct transport *transport) {
    stream_resume(transport->stream);
}

static inline void transport_shutdown(struct transport *transport) {
    stream_shutdown(transport->stream);
}

/* What ALPN has agreed on ("h2", "http/1.1"), known with the first bytes; empty without TLS. */
static inline struct slice transport_alpn(const struct transport *transport) {
    (void)transport;
    return slice_of(NULL, 0);
}

static inline void transport_close(struct transport *transport) {
    stream_close(transport->stream);
}

#endif
