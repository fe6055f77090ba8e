/* tls_stream.h - a stream under TLS: what edge/transport.h puts before a plain one.
 *
 * Each function does what transport.h says of its namesake there; nothing else calls them.
 *
 * Threads    The loop's thread.
 * Ownership  Owns the stream from tls_stream_start() on; is gone after on_closed().
 */
#ifndef EDGE_TLS_STREAM_H
#define EDGE_TLS_STREAM_H

#include "loop/stream.h"

struct tls;
struct tls_stream;

/* 'server_name' empty: for a server. NULL when memory runs out. */
struct tls_stream *tls_stream_new(struct stream *stream, struct tls *tls, struct slice server_name);

void tls_stream_start(struct tls_stream *t, const struct stream_events *events, void *ctx);
MUST_CHECK bool tls_stream_send(struct tls_stream *t, struct slice bytes);
void tls_stream_pause(struct tls_stream *t);
void tls_stream_resume(struct tls_stream *t);
void tls_stream_shutdown(struct tls_stream *t);
void tls_stream_close(struct tls_stream *t);
struct slice tls_stream_alpn(const struct tls_stream *t);
const char *tls_stream_problem(const struct tls_stream *t);

#endif
