/* tls_session.c - OpenSSL between two buffers of ours. */
#include "edge/tls_session.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/tls_internal.h"

#define NAME_BYTES    256 /* a host's name has at most 253 (RFC 1035 2.3.4) */
#define PROBLEM_BYTES 192

struct tls_session {
    SSL *ssl;
    struct slice in; /* borrowed */
    struct buf *out;
    char problem[PROBLEM_BYTES];
};

/* ---- a BIO over 'in' and 'out': OpenSSL's memory BIOs would copy both once more ------------- */

static int bio_read(BIO *bio, char *into, size_t room, size_t *out_len) {
    struct tls_session *session = BIO_get_data(bio);
    size_t n = room < session->in.len ? room : session->in.len;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(into, session->in.ptr, n);
    session->in = slice_skip(session->in, n);
    *out_len = n;
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t len, size_t *out_len) {
    struct tls_session *session = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    buf_add(session->out, bytes, len);
    *out_len = len;
    return buf_failed(session->out) ? 0 : 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *method; /* for the whole process */

static void make_method(void) {
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tls_session");

    if (made && BIO_meth_set_read_ex(made, bio_read) && BIO_meth_set_write_ex(made, bio_write) &&
        BIO_meth_set_ctrl(made, bio_ctrl) && BIO_meth_set_create(made, bio_create))
        method = made;
    else
        BIO_meth_free(made);
}

static bool attach(struct tls_session *session) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio;

    pthread_once(&once, make_method);
    bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, session);
    SSL_set_bio(session->ssl, bio, bio); /* one reference, for both */
    return true;
}

/* ---- beginning ---------------------------------------------------------------- */

static bool is_address(const char *name) {
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* An address is never sent as a server's name (RFC 6066 3). The names of the configuration, where
 * there are some, say who the server is instead. */
static bool expect_server(SSL *ssl, const struct tls *tls, struct slice server_name) {
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    char name[NAME_BYTES];

    if (server_name.len > 1 && server_name.ptr[server_name.len - 1] == '.')
        server_name.len--; /* rooted, as resolvers take names; certificates aren't (RFC 6066 3) */
    if (server_name.len == 0 || server_name.len >= sizeof(name))
        return false;
    memcpy(name, server_name.ptr, server_name.len);
    name[server_name.len] = '\0';
    bool address = is_address(name);
    if (!address && SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    if (tls->names.count)
        return true;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return address ? X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1
                   : X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static bool begin(struct tls_session *session, struct tls *tls, struct slice server_name) {
    session->ssl = tls_ssl_new(tls);
    if (!session->ssl || !attach(session))
        return false;
    if (tls->side == TLS_SERVER) {
        SSL_set_accept_state(session->ssl);
        return true;
    }
    SSL_set_connect_state(session->ssl);
    return expect_server(session->ssl, tls, server_name);
}

struct tls_session *tls_session_new(struct tls *tls, struct slice server_name, struct buf *out) {
    struct tls_session *session = calloc(1, sizeof(*session));

    if (!session)
        return NULL;
    session->out = out;
    if (begin(session, tls, server_name))
        return session;
    ERR_clear_error();
    tls_session_free(session);
    return NULL;
}

void tls_session_free(struct tls_session *session) {
    if (!session)
        return;
    SSL_free(session->ssl);
    free(session);
}

/* ---- running ------------------------------------------------------------------- */

void tls_session_input(struct tls_session *session, struct slice bytes) {
    session->in = bytes;
}

struct slice tls_session_rest(struct tls_session *session) {
    struct slice rest = session->in;

    session->in = (struct slice){NULL, 0};
    return rest;
}

/* What an SSL_…() that didn't succeed means. */
static enum tls_step step_of(struct tls_session *session, int result) {
    int error = SSL_get_error(session->ssl, result);

    if (error == SSL_ERROR_WANT_READ)
        return TLS_WAITS;
    if (error == SSL_ERROR_ZERO_RETURN)
        return TLS_ENDED;
    if (buf_failed(session->out))
        (void)snprintf(session->problem, sizeof(session->problem), "out of memory");
    else
        tls_reason_of_peer(session->ssl, session->problem, sizeof(session->problem));
    return TLS_FAILED;
}

/* SSL_get_error() looks at this thread's queue, which another connection may have left behind. */
static void forget_errors(void) {
    ERR_clear_error();
}

/* A server that chose nothing may not speak our protocol at all. */
static bool agreed(struct tls_session *session) {
    const struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(session->ssl));

    return tls->side == TLS_SERVER || tls->alpn_len == 0 || tls_session_alpn(session).len > 0;
}

enum tls_step tls_session_handshake(struct tls_session *session) {
    forget_errors();
    int result = SSL_do_handshake(session->ssl);
    if (result != 1)
        return step_of(session, result);
    if (agreed(session))
        return TLS_DONE;
    (void)snprintf(session->problem, sizeof(session->problem), "the peer chose no protocol (ALPN)");
    return TLS_FAILED;
}

enum tls_step tls_session_read(struct tls_session *session, char *into, size_t room,
                               size_t *out_len) {
    forget_errors();
    int result = SSL_read_ex(session->ssl, into, room, out_len);
    return result == 1 ? TLS_DONE : step_of(session, result);
}

enum tls_step tls_session_write(struct tls_session *session, struct slice bytes,
                                size_t *out_taken) {
    forget_errors();
    int result = SSL_write_ex(session->ssl, bytes.ptr, bytes.len, out_taken);
    return result == 1 ? TLS_DONE : step_of(session, result);
}

void tls_session_end(struct tls_session *session) {
    forget_errors();
    (void)SSL_shutdown(session->ssl); /* its result is about the peer's close_notify */
}

struct slice tls_session_alpn(const struct tls_session *session) {
    const unsigned char *name;
    unsigned len;

    SSL_get0_alpn_selected(session->ssl, &name, &len);
    return slice_of((const char *)name, len);
}

const char *tls_session_problem(const struct tls_session *session) {
    return session->problem;
}
