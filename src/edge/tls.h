/* tls.h - what a TLS listener or client is: its certificate, whom it trusts, what it speaks.
 *
 * TLS 1.2 with ECDHE and an AEAD, or 1.3 (RFC 9325); no renegotiation, no compression, no 0-RTT.
 * Sessions are resumed by TLS 1.3 tickets only, and never where clients show certificates, so
 * that every connection is checked by the certificates of its day.
 *
 * Threads    tls_new() and tls_free() while no loop uses it; the rest on any thread.
 * Ownership  Connections keep the files' state they began with, also over a tls_reload(); they
 *            must be closed before tls_free().
 */
#ifndef EDGE_TLS_H
#define EDGE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define TLS_PROBLEM_BYTES 512
#define TLS_ALPN_MAX      4 /* protocols of one listener */

struct tls;

enum tls_side { TLS_SERVER, TLS_CLIENT };

/* A sentence for the log; empty: none. */
struct tls_problem {
    char text[TLS_PROBLEM_BYTES];
};

/* Texts may be NULL or empty: none. They are copied, the protocols' names are not. */
struct tls_conf {
    enum tls_side side;
    const char *cert_file; /* PEM, this side's certificate first, then those that signed it; a
                              server has one */
    const char *key_file;  /* PEM, without a passphrase, that nobody else may read */
    const char *ca_file;   /* PEM; who signs the peers. A server with it demands a certificate of
                              every client; a client without it trusts the system's */
    const char *names;     /* "gw.internal, spiffe://prod/gw": the peer's certificate must have one
                              of these as a DNS name or a URI (RFC 5280 4.2.1.6). For a client they
                              replace the server's name in that check; needs ca_file */
    const char *alpn[TLS_ALPN_MAX]; /* best first; up to the first NULL. Peers that share none are
                                       refused (no_application_protocol, RFC 7301 3.2) */
    bool alpn_required;   /* and so are peers without ALPN (a client's server always must) */
    int64_t handshake_ms; /* for the whole handshake */
};

/* ERR_INVALID  a file can't be used: the problem says which and why.
 * ERR_NO_MEMORY */
MUST_CHECK enum err tls_new(const struct tls_conf *conf, struct tls **out_tls,
                            struct tls_problem *out_problem);

/* NULL is fine. */
void tls_free(struct tls *tls);

/* Reads the files again: connections from now on use them. Errors as tls_new(); then nothing has
 * changed. */
MUST_CHECK enum err tls_reload(struct tls *tls, struct tls_problem *out_problem);

/* Seconds since the Unix epoch until which this side's certificate is valid; INT64_MAX without
 * one. */
int64_t tls_expires_s(struct tls *tls);

struct tls_stats {                /* relaxed */
    _Atomic uint64_t established; /* handshakes that succeeded, */
    _Atomic uint64_t failed;      /* and that didn't */
};
const struct tls_stats *tls_stats(const struct tls *tls);

#endif
