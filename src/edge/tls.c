/* tls.c - a context: made from files, swapped by a reload. */
#include "edge/tls.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/tls_internal.h"

#define MAX_CERT_LIST (32 * 1024) /* of a peer: a longer chain is an attack on our memory */

/* RFC 9325 4.2: forward secrecy by ECDHE, and an AEAD. */
#define SUITES_1_2                                                                                 \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS     "X25519:P-256:P-384"
#define SECURITY   2 /* 112 bits: no RSA below 2048, no SHA-1 signatures */

/* ---- the protocol ----------------------------------------------------------- */

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offered, unsigned offered_len, void *arg) {
    const struct tls *tls = arg;
    unsigned char *chosen = NULL;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, tls->alpn, tls->alpn_len, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol (RFC 7301 3.2) */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A client that doesn't know ALPN would be taken for one that speaks our protocol. */
static int demand_alpn(SSL *ssl, int *out_alert, void *arg) {
    const unsigned char *bytes;
    size_t len;

    (void)arg;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &bytes,
                                  &len))
        return SSL_CLIENT_HELLO_SUCCESS;
    *out_alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

/* Every TLS 1.2 ticket hangs on one key of this process, and with it the secrecy of all its
 * sessions (RFC 9325 3.4); a resumption in TLS 1.3 makes keys of its own. The version is known
 * only here. */
static int no_tickets_in_1_2(SSL *ssl, void *arg) {
    (void)arg;
    if (SSL_version(ssl) < TLS1_3_VERSION)
        SSL_set_options(ssl, SSL_OP_NO_TICKET);
    return 1;
}

static int check_peer(int ok, X509_STORE_CTX *store) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (!ok || X509_STORE_CTX_get_error_depth(store) > 0 || tls->names.count == 0)
        return ok;
    if (tls_names_allow(&tls->names, X509_STORE_CTX_get_current_cert(store)))
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

static bool set_protocol(SSL_CTX *ctx) {
    SSL_CTX_set_security_level(ctx, SECURITY);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* An idle connection gives its record buffers back. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need no memory here */
    SSL_CTX_set_max_cert_list(ctx, MAX_CERT_LIST);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, SUITES_1_2) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, SUITES_1_3) == 1 &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) == 1;
}

static bool set_server(struct tls *tls, SSL_CTX *ctx) {
    if (tls->alpn_len)
        SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, tls);
    if (tls->alpn_required)
        SSL_CTX_set_client_hello_cb(ctx, demand_alpn, NULL);
    SSL_CTX_set_cert_cb(ctx, no_tickets_in_1_2, NULL);
    if (!tls->ca_file)
        return SSL_CTX_set_max_early_data(ctx, 0) == 1;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, check_peer);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    return SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

static bool set_client(struct tls *tls, SSL_CTX *ctx) {
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, check_peer);
    /* Sic: 0 is success here. */
    return tls->alpn_len == 0 || SSL_CTX_set_alpn_protos(ctx, tls->alpn, tls->alpn_len) == 0;
}

static enum err make_ctx(struct tls *tls, SSL_CTX **out_ctx, int64_t *out_expires_s,
                         struct tls_problem *problem) {
    bool server = tls->side == TLS_SERVER;
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

    if (!ctx || !set_protocol(ctx) || !(server ? set_server(tls, ctx) : set_client(tls, ctx))) {
        SSL_CTX_free(ctx);
        (void)snprintf(problem->text, sizeof(problem->text), "TLS could not be set up: ");
        size_t len = strlen(problem->text);
        tls_reason(problem->text + len, sizeof(problem->text) - len);
        return ERR_NO_MEMORY;
    }
    SSL_CTX_set_app_data(ctx, tls);
    enum err err = tls_files_load(tls, ctx, out_expires_s, problem);
    if (err != ERR_OK) {
        SSL_CTX_free(ctx);
        return err;
    }
    *out_ctx = ctx;
    return ERR_OK;
}

/* ---- the object -------------------------------------------------------------- */

/* Each name behind its length (RFC 7301 3.1). */
static void set_alpn(struct tls *tls, const struct tls_conf *conf) {
    for (size_t i = 0; i < TLS_ALPN_MAX && conf->alpn[i]; i++) {
        size_t len = strlen(conf->alpn[i]);

        assert(len > 0 && tls->alpn_len + 1 + len <= sizeof(tls->alpn));
        tls->alpn[tls->alpn_len++] = (unsigned char)len;
        memcpy(tls->alpn + tls->alpn_len, conf->alpn[i], len);
        tls->alpn_len += (unsigned)len;
    }
}

/* False when memory runs out. */
static bool copy(const char *text, char **out) {
    *out = text && *text ? strdup(text) : NULL;
    return *out || !text || !*text;
}

static enum err fill(struct tls *tls, const struct tls_conf *conf, struct tls_problem *problem) {
    tls->side = conf->side;
    tls->alpn_required = conf->alpn_required;
    tls->handshake_ms = conf->handshake_ms;
    set_alpn(tls, conf);
    if (!copy(conf->cert_file, &tls->cert_file) || !copy(conf->key_file, &tls->key_file) ||
        !copy(conf->ca_file, &tls->ca_file)) {
        (void)snprintf(problem->text, sizeof(problem->text), "out of memory");
        return ERR_NO_MEMORY;
    }
    enum err err = tls_names_init(&tls->names, conf->names, problem);
    return err == ERR_OK ? make_ctx(tls, &tls->ctx, &tls->expires_s, problem) : err;
}

enum err tls_new(const struct tls_conf *conf, struct tls **out_tls,
                 struct tls_problem *out_problem) {
    struct tls *tls = calloc(1, sizeof(*tls));

    out_problem->text[0] = '\0';
    if (!tls)
        return ERR_NO_MEMORY;
    pthread_mutex_init(&tls->lock, NULL);
    enum err err = fill(tls, conf, out_problem);
    if (err != ERR_OK)
        tls_free(tls);
    else
        *out_tls = tls;
    return err;
}

void tls_free(struct tls *tls) {
    if (!tls)
        return;
    SSL_CTX_free(tls->ctx);
    tls_names_release(&tls->names);
    free(tls->cert_file);
    free(tls->key_file);
    free(tls->ca_file);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

enum err tls_reload(struct tls *tls, struct tls_problem *out_problem) {
    SSL_CTX *before;
    SSL_CTX *ctx;
    int64_t expires_s;

    out_problem->text[0] = '\0';
    enum err err = make_ctx(tls, &ctx, &expires_s, out_problem);
    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&tls->lock);
    before = tls->ctx;
    tls->ctx = ctx;
    tls->expires_s = expires_s;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(before); /* lives on in the connections that began with it */
    return ERR_OK;
}

SSL *tls_ssl_new(struct tls *tls) {
    SSL_CTX *ctx;

    pthread_mutex_lock(&tls->lock);
    ctx = tls->ctx;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&tls->lock);
    SSL *ssl = SSL_new(ctx); /* with a reference of its own */
    SSL_CTX_free(ctx);
    return ssl;
}

int64_t tls_expires_s(struct tls *tls) {
    pthread_mutex_lock(&tls->lock);
    int64_t expires_s = tls->expires_s;
    pthread_mutex_unlock(&tls->lock);
    return expires_s;
}

const struct tls_stats *tls_stats(const struct tls *tls) {
    return &tls->stats;
}
