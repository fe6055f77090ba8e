/* transport.h - a connected byte stream, plain or under TLS, with one face.
 *
 * The functions, their rules and the events are those of loop/stream.h. Under TLS
 *     - the events begin when the handshake has succeeded; a send before waits for that, and
 *       whatever makes it fail, its deadline too, is on_broken();
 *     - the end of stream, on_read() of nothing, is the peer's close_notify; a FIN without it may
 *       be an attacker's, who cuts what was sent, and is on_broken() (RFC 8446 6.1, RFC 9112 9.8);
 *     - transport_shutdown() sends close_notify and FIN; before the handshake's end it is a break.
 *
 * Threads    The loop's thread.
 * Ownership  Owns its stream; is part of its user, who may free it in on_closed().
 * Limits     Under TLS it buffers what loop/stream.h says may still come after a pause, 64 KiB and
 *            a record on their way out, and nothing when idle.
 */
#ifndef EDGE_TRANSPORT_H
#define EDGE_TRANSPORT_H

#include "edge/tls_stream.h"
#include "loop/stream.h"

struct transport {
    struct stream *stream;
    struct tls_stream *tls; /* NULL: plain */
};

static inline void transport_init(struct transport *transport, struct stream *stream) {
    transport->stream = stream;
    transport->tls = NULL;
}

/* What a listener accepted, under TLS unless 'tls' is NULL; it outlives the transport. False when
 * memory runs out: the stream is still the caller's. */
MUST_CHECK static inline bool transport_accept_tls(struct transport *transport,
                                                   struct stream *stream, struct tls *tls) {
    transport_init(transport, stream);
    if (tls)
        transport->tls = tls_stream_new(stream, tls, (struct slice){NULL, 0});
    return !tls || transport->tls;
}

/* Likewise for what was connected to the server of that name (or numeric address, without
 * brackets); see tls_conf.names. */
MUST_CHECK static inline bool transport_connect_tls(struct transport *transport,
                                                    struct stream *stream, struct tls *tls,
                                                    struct slice server_name) {
    transport_init(transport, stream);
    if (tls)
        transport->tls = tls_stream_new(stream, tls, server_name);
    return !tls || transport->tls;
}

static inline void transport_start(struct transport *transport, const struct stream_events *events,
                                   void *ctx) {
    if (transport->tls)
        tls_stream_start(transport->tls, events, ctx);
    else
        stream_start(transport->stream, events, ctx);
}

MUST_CHECK static inline bool transport_send(struct transport *transport, struct slice bytes) {
    return transport->tls ? tls_stream_send(transport->tls, bytes)
                          : stream_send(transport->stream, bytes);
}

static inline void transport_pause(struct transport *transport) {
    if (transport->tls)
        tls_stream_pause(transport->tls);
    else
        stream_pause(transport->stream);
}

static inline void transport_resume(struct transport *transport) {
    if (transport->tls)
        tls_stream_resume(transport->tls);
    else
        stream_resume(transport->stream);
}

static inline void transport_shutdown(struct transport *transport) {
    if (transport->tls)
        tls_stream_shutdown(transport->tls);
    else
        stream_shutdown(transport->stream);
}

static inline void transport_close(struct transport *transport) {
    if (transport->tls)
        tls_stream_close(transport->tls);
    else
        stream_close(transport->stream);
}

/* The protocol that was agreed on, from the first on_read() or on_sent() until on_closed(); empty
 * on a plain transport, and with a client that doesn't know ALPN. */
static inline struct slice transport_alpn(const struct transport *transport) {
    return transport->tls ? tls_stream_alpn(transport->tls) : (struct slice){NULL, 0};
}

/* Why TLS gave up, a sentence for the log; NULL: it hasn't. In on_broken(), until on_closed(). */
static inline const char *transport_peer_problem(const struct transport *transport) {
    return transport->tls ? tls_stream_problem(transport->tls) : NULL;
}

#endif
