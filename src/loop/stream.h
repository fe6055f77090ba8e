/* stream.h - connected stream sockets and the listeners they come from.
 *
 * Threads    The loop's thread, except socket_listen() and socket_name().
 * Ownership  A stream belongs to its user until stream_close(); the loop frees
 *            it after on_closed(). Received bytes are borrowed for the call.
 *            Bytes given to stream_send() stay the caller's and must not
 *            change or move until the send has completed.
 * Callbacks  Never before the function that leads to them returns. on_closed()
 *            comes exactly once, last, and only after stream_close().
 */
#ifndef LOOP_STREAM_H
#define LOOP_STREAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

struct loop;
struct stream;
struct listener;

struct stream_events {
    /* Bytes came. An empty slice is the peer's end of stream (FIN); what was
     * asked before it still deserves an answer. */
    void (*on_read)(void *ctx, struct slice bytes);
    /* The send is over: ERR_OK, all bytes are the kernel's; ERR_CLOSED, the
     * connection is gone. Also comes, with ERR_CLOSED, for a send that was
     * under way at stream_close(), before on_closed(). */
    void (*on_sent)(void *ctx, enum err err);
    /* The connection broke (reset): no more reads; close the stream. Once, also
     * after an on_sent(ERR_CLOSED) and what came before that, unless the stream
     * was closed first. A stream that is paused or ended hears of it only by a
     * send or when resumed. */
    void (*on_broken)(void *ctx);
    /* The stream is gone; 'ctx' may be freed. */
    void (*on_closed)(void *ctx);
};

/* Sets who hears of this stream and starts reading. Once, from on_accept() or
 * later. Until then nothing is read. */
void stream_start(struct stream *stream, const struct stream_events *events, void *ctx);

/* Sends all of 'bytes'. true: they are already the kernel's and no on_sent()
 * will come; false: on_sent() will. One send at a time (asserted). */
MUST_CHECK bool stream_send(struct stream *stream, struct slice bytes);

/* Back-pressure: after a pause at most what was already received arrives; with
 * io_uring that can be several on_read() of together some 64 KiB. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Half-close: sends FIN behind what was sent, keeps reading. For an answer
 * followed by a close that must not be lost to a reset (RFC 9112 9.6). */
void stream_shutdown(struct stream *stream);

/* Cancels what is under way; on_closed() follows on a later turn. Once. */
void stream_close(struct stream *stream);

/* The peer's address, an IPv4 one mapped into IPv6; false: it has none (a Unix socket, or gone). */
MUST_CHECK bool stream_peer(const struct stream *stream, struct in6_addr *out);

/* How much of what is sent may wait in the kernel for a peer that doesn't read: about that, or a
 * little more; without this it may be megabytes. */
void stream_limit_unsent(struct stream *stream, int bytes);

struct loop *stream_loop(const struct stream *stream);

/* A bound, listening, non-blocking, close-on-exec TCP socket, the first on its port.
 * 'address' is "host:port", ":port" (all interfaces) or "[v6]:port"; port 0
 * takes a free one. A bind refused with EADDRINUSE is retried for up to
 * 'retry_ms' (a killed io_uring server frees its port late).
 * ERR_INVALID  the address doesn't parse or resolve (numeric and localhost only)
 * ERR_LOCKED   in use
 * ERR_IO       any other refusal; errno is set */
MUST_CHECK enum err socket_listen(struct slice address, int retry_ms, int *out_fd);

/* One more socket on the first one's port, for another loop: the kernel spreads the connections
 * over them (SO_REUSEPORT).
 * ERR_IO       refused; errno is set */
MUST_CHECK enum err socket_listen_beside(int first_fd, int *out_fd);

/* Begins to connect to 'address' (resolved: a sockaddr of 'len' bytes). on_connected() comes once,
 * on a later turn: with a stream that is not started yet, or NULL and why (an errno); not at all
 * after connector_cancel(). TCP_NODELAY is set. NULL when memory or descriptors run out; errno is
 * set. */
struct connector;
typedef void (*connected_fn)(void *ctx, struct stream *stream, int error);
struct connector *connector_new(struct loop *loop, const struct sockaddr *address, socklen_t len,
                                connected_fn on_connected, void *ctx);
/* Gives up, before on_connected() has come; frees the connector. NULL is fine. */
void connector_cancel(struct connector *connector);

/* Whether socket_listen() of this address could have made it; port 0 is any. */
bool socket_is_at(int fd, struct slice address);

/* "127.0.0.1:8080" as bound, NUL-terminated; needs 64 bytes. */
void socket_name(int fd, char *out, size_t size);

/* Accepts on 'fd' (taken over, also on failure) until listener_close(). TCP_NODELAY is set on
 * every stream. A stream that on_accept() doesn't want is closed by it. When
 * descriptors run out, accepting stops and resumes by itself when one is free again or
 * after a short while. */
typedef void (*accept_fn)(void *ctx, struct stream *stream);
MUST_CHECK enum err listener_new(struct loop *loop, int fd, accept_fn on_accept, void *ctx,
                                 struct listener **out_listener);

/* Stops accepting and frees the listener, at once for the caller. The socket itself is closed, not
 * shut down: others that hold it go on accepting. NULL is fine. */
void listener_close(struct listener *listener);

/* The same, but what the kernel has accepted still comes to on_accept(); then on_stopped() runs
 * once, on a later turn, and the listener is gone. */
void listener_stop(struct listener *listener, void (*on_stopped)(void *ctx));

#endif
