/* tls_session.h - one connection's TLS: ciphertext in and out, plaintext in and out, no socket.
 *
 *     tls_session_input() ─► tls_session_read()     what came, and the plaintext in it
 *     tls_session_write() ─► 'out'                  plaintext, and what is to be sent for it
 *
 * Threads    The thread of its loop.
 * Ownership  Input is borrowed until tls_session_rest(). 'out' is the caller's and outlives it.
 * Limits     Holds one record (16 KiB) of input and one of output at most.
 */
#ifndef EDGE_TLS_SESSION_H
#define EDGE_TLS_SESSION_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/slice.h"

struct tls;
struct tls_session;

enum tls_step {
    TLS_DONE,   /* it is done, or some bytes are */
    TLS_WAITS,  /* for more input */
    TLS_ENDED,  /* the peer's close_notify: nothing more comes (RFC 8446 6.1) */
    TLS_FAILED, /* see tls_session_problem(); 'out' may hold an alert for the peer */
};

/* The side is that of 'tls'. 'server_name' (a client's; a name, or a numeric address) is asked for
 * (RFC 6066 3) and must be the server's. NULL when memory runs out, or for a name beyond 255
 * bytes. */
struct tls_session *tls_session_new(struct tls *tls, struct slice server_name, struct buf *out);
void tls_session_free(struct tls_session *session);

/* What came, and what of it wasn't looked at yet. */
void tls_session_input(struct tls_session *session, struct slice bytes);
struct slice tls_session_rest(struct tls_session *session);

MUST_CHECK enum tls_step tls_session_handshake(struct tls_session *session);

/* At most one record's plaintext; with room for TLS_RECORD_BYTES always all of it. */
#define TLS_RECORD_BYTES 16384
MUST_CHECK enum tls_step tls_session_read(struct tls_session *session, char *into, size_t room,
                                          size_t *out_len);

/* Encrypts one record's worth of 'bytes', at least one byte. TLS_DONE or TLS_FAILED. */
MUST_CHECK enum tls_step tls_session_write(struct tls_session *session, struct slice bytes,
                                           size_t *out_taken);

/* Adds our close_notify; nothing is written behind it. */
void tls_session_end(struct tls_session *session);

/* The protocol that was agreed on (ALPN), empty when none was; lives as long as the session. */
struct slice tls_session_alpn(const struct tls_session *session);

/* A sentence; empty: nothing has failed. */
const char *tls_session_problem(const struct tls_session *session);

#endif
