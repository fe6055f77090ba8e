/* certs.c */
#include "certs.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PATH_BYTES 512
#define DAY_S      86400L

static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "certs: %s failed\n", what);
    abort();
}

static FILE *open_file(const char *dir, const char *name, const char *suffix, const char *mode) {
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "%s/%s.%s", dir, name, suffix);
    FILE *file = fopen(path, mode);
    must(file, path);
    return file;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(extension && X509_add_ext(cert, extension, -1), value);
    X509_EXTENSION_free(extension);
}

static X509 *new_cert(const char *name, EVP_PKEY *key, int from_days, int until_days) {
    static long serial;
    X509 *cert = X509_new();

    must(cert && X509_set_version(cert, X509_VERSION_3) && X509_set_pubkey(cert, key), "X509");
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), from_days * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(cert), until_days * DAY_S);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    return cert;
}

static void sign(X509 *cert, X509 *issuer, EVP_PKEY *issuer_key) {
    must(X509_set_issuer_name(cert, X509_get_subject_name(issuer)) &&
             X509_sign(cert, issuer_key, EVP_sha256()),
         "X509_sign");
}

static void write_both(const char *dir, const char *name, X509 *cert, EVP_PKEY *key) {
    FILE *file = open_file(dir, name, "pem", "we");

    must(PEM_write_X509(file, cert), "PEM_write_X509");
    (void)fclose(file);
    file = open_file(dir, name, "key", "we");
    must(fchmod(fileno(file), 0600) == 0 &&
             PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL),
         "PEM_write_PrivateKey");
    (void)fclose(file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

void certs_make_ca(const char *dir, const char *name) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = new_cert(name, key, -1, 365);

    add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(cert, cert, NID_key_usage, "critical,keyCertSign");
    sign(cert, cert, key);
    write_both(dir, name, cert, key);
}

void certs_make(const char *dir, const char *name, const char *ca, const char *san, int from_days,
                int until_days) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = new_cert(name, key, from_days, until_days);
    X509 *issuer = cert;
    EVP_PKEY *issuer_key = key;

    if (ca) {
        FILE *file = open_file(dir, ca, "pem", "re");
        issuer = PEM_read_X509(file, NULL, NULL, NULL);
        (void)fclose(file);
        file = open_file(dir, ca, "key", "re");
        issuer_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        (void)fclose(file);
        must(issuer && issuer_key, ca);
    }
    add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE");
    if (san)
        add_extension(cert, issuer, NID_subject_alt_name, san);
    sign(cert, issuer, issuer_key);
    if (ca) {
        X509_free(issuer);
        EVP_PKEY_free(issuer_key);
    }
    write_both(dir, name, cert, key);
}
