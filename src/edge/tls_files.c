/* tls_files.c - certificates and keys off the disk. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "edge/private_file.h"
#include "edge/tls_internal.h"

#define REASON_BYTES 256

static enum err refuse(struct tls_problem *problem, const char *what, const char *file,
                       const char *why) {
    (void)snprintf(problem->text, sizeof(problem->text), "the %s %s can't be used: %s", what, file,
                   why);
    return ERR_INVALID;
}

static enum err refuse_by_openssl(struct tls_problem *problem, const char *what, const char *file) {
    char reason[REASON_BYTES];

    tls_reason(reason, sizeof(reason));
    return refuse(problem, what, file, reason);
}

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg) {
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)arg = true;
    return -1;
}

static enum err use_key(SSL_CTX *ctx, FILE *in, const char *file, struct tls_problem *problem) {
    bool encrypted = false;
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, no_passphrase, &encrypted);
    int used = key ? SSL_CTX_use_PrivateKey(ctx, key) : 0;

    EVP_PKEY_free(key);
    if (!encrypted)
        return used == 1 ? ERR_OK : refuse_by_openssl(problem, "private key", file);
    ERR_clear_error();
    return refuse(problem, "private key", file, "it is encrypted; store it without a passphrase");
}

static enum err load_key(SSL_CTX *ctx, const char *file, struct tls_problem *problem) {
    const char *why;
    FILE *in = private_file_open(file, &why);

    if (!in)
        return refuse(problem, "private key", file, why);
    enum err err = use_key(ctx, in, file, problem);
    (void)fclose(in);
    return err;
}

static int64_t valid_until_s(const X509 *cert) {
    struct tm tm = {0};

    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
        return INT64_MAX; /* RFC 5280 4.1.2.5: "no well-defined expiration date" doesn't parse */
    return timegm(&tm);
}

static enum err load_identity(const struct tls *tls, SSL_CTX *ctx, int64_t *out_expires_s,
                              struct tls_problem *problem) {
    if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1)
        return refuse_by_openssl(problem, "certificate", tls->cert_file);
    *out_expires_s = valid_until_s(SSL_CTX_get0_certificate(ctx));
    /* With the certificate there first, a key that isn't its own is refused. */
    return load_key(ctx, tls->key_file, problem);
}

/* Clients are told whose certificates are good here (RFC 8446 4.2.4). */
static bool announce_authorities(SSL_CTX *ctx, const char *file) {
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);

    SSL_CTX_set_client_CA_list(ctx, names);
    return names != NULL;
}

static enum err load_authorities(const struct tls *tls, SSL_CTX *ctx, struct tls_problem *problem) {
    if (!tls->ca_file)
        return tls->side == TLS_SERVER || SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? ERR_OK
                   : refuse_by_openssl(problem, "authorities of", "this system");
    if (SSL_CTX_load_verify_file(ctx, tls->ca_file) != 1 ||
        (tls->side == TLS_SERVER && !announce_authorities(ctx, tls->ca_file)))
        return refuse_by_openssl(problem, "CA file", tls->ca_file);
    return ERR_OK;
}

enum err tls_files_load(const struct tls *tls, SSL_CTX *ctx, int64_t *out_expires_s,
                        struct tls_problem *problem) {
    ERR_clear_error();
    *out_expires_s = INT64_MAX;
    if (tls->cert_file) {
        enum err err = load_identity(tls, ctx, out_expires_s, problem);

        if (err != ERR_OK)
            return err;
    }
    return load_authorities(tls, ctx, problem);
}
