/* tls_internal.h - what the files of TLS share, all that know OpenSSL.
 *
 * tls.c          a context: made from files, swapped by a reload
 * tls_files.c    certificates and keys off the disk
 * tls_names.c    which peers a certificate may name
 * tls_reason.c   OpenSSL's errors as sentences
 * tls_session.c  one connection's protocol: bytes in, bytes out
 */
#ifndef EDGE_TLS_INTERNAL_H
#define EDGE_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <pthread.h>

#include "base/slice.h"
#include "edge/tls.h"

#define TLS_NAMES_MAX 64
#define TLS_ALPN_WIRE 64 /* bytes of the protocols as ALPN lists them (RFC 7301 3.1) */

/* The peers' names that are allowed; the texts are parts of 'text'. */
struct tls_names {
    char *text;
    const char *name[TLS_NAMES_MAX];
    size_t count;
};

struct tls {
    enum tls_side side;
    char *cert_file; /* NULL: none, like the two below */
    char *key_file;
    char *ca_file;
    struct tls_names names;
    unsigned char alpn[TLS_ALPN_WIRE];
    unsigned alpn_len;
    bool alpn_required;
    int64_t handshake_ms;
    pthread_mutex_t lock; /* of the two below */
    SSL_CTX *ctx;
    int64_t expires_s;
    struct tls_stats stats;
};

/* A connection's state over what the files say now. NULL when memory runs out. */
SSL *tls_ssl_new(struct tls *tls);

/* tls_files.c: the files into a fresh SSL_CTX. */
MUST_CHECK enum err tls_files_load(const struct tls *tls, SSL_CTX *ctx, int64_t *out_expires_s,
                                   struct tls_problem *problem);

/* tls_names.c: 'list' as in tls_conf. */
MUST_CHECK enum err tls_names_init(struct tls_names *names, const char *list,
                                   struct tls_problem *problem);
void tls_names_release(struct tls_names *names);
bool tls_names_allow(const struct tls_names *names, X509 *peer);

/* tls_reason.c: the oldest error in this thread's queue, which is emptied. */
void tls_reason(char *out, size_t size);
/* Likewise for a handshake or a record that went wrong. */
void tls_reason_of_peer(const SSL *ssl, char *out, size_t size);

#endif
