/* certs.h - certificates for tests, made when the test runs.
 *
 * Files NAME.pem and NAME.key in a folder; elliptic-curve keys, because they are made in no time.
 */
#ifndef TESTS_LIB_CERTS_H
#define TESTS_LIB_CERTS_H

/* An authority. Aborts on failure, like the rest. */
void certs_make_ca(const char *dir, const char *name);

/* Signed by the authority 'ca' of the same folder, or by itself (NULL); 'san' is OpenSSL's way to
 * write names, "DNS:a,IP:127.0.0.1,URI:spiffe://x/y", or NULL. Valid from 'from_days' from now
 * until 'until_days' from now. */
void certs_make(const char *dir, const char *name, const char *ca, const char *san, int from_days,
                int until_days);

#endif
