/* tls_reason.c - OpenSSL's errors as sentences. */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "edge/tls_internal.h"

/* In OpenSSL's words these would send people the wrong way. */
static const struct {
    int lib;
    int reason;
    const char *text;
} rows[] = {
    {ERR_LIB_SSL, SSL_R_HTTP_REQUEST, "the peer speaks plain HTTP to a TLS port"},
    {ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER, "what the peer sent is not TLS"},
    {ERR_LIB_SSL, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the peer showed no certificate"},
    {ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL, "the peer shares no protocol with us (ALPN)"},
    {ERR_LIB_SSL, SSL_R_CALLBACK_FAILED, "the peer offered no protocol (ALPN)"},
    {ERR_LIB_PEM, PEM_R_NO_START_LINE, "it holds none in PEM"},
    {ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH, "it is not the certificate's key"},
    {ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH, "it is not the certificate's key"},
};

static const char *known(unsigned long code) {
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (ERR_GET_LIB(code) == rows[i].lib && ERR_GET_REASON(code) == rows[i].reason)
            return rows[i].text;
    return NULL;
}

/* The first is the cause; what follows it says where. */
void tls_reason(char *out, size_t size) {
    unsigned long code = ERR_get_error();
    const char *text = known(code);

    ERR_clear_error();
    if (!text && ERR_SYSTEM_ERROR(code))
        text = strerror(ERR_GET_REASON(code));
    if (!text)
        text = ERR_reason_error_string(code);
    (void)snprintf(out, size, "%s", text ? text : "for no reason that OpenSSL tells");
}

/* A peer that refuses us says so by an alert (RFC 8446 6): reasons from 1000 on. */
void tls_reason_of_peer(const SSL *ssl, char *out, size_t size) {
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    long verified = SSL_get_verify_result(ssl);

    if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET) {
        (void)snprintf(out, size, "the peer refused: %s",
                       SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
        ERR_clear_error();
    } else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        (void)snprintf(out, size, "the peer's certificate is refused: %s",
                       verified == X509_V_ERR_HOSTNAME_MISMATCH
                           ? "it has none of the names it should"
                           : X509_verify_cert_error_string(verified));
        ERR_clear_error();
    } else {
        tls_reason(out, size);
    }
}
