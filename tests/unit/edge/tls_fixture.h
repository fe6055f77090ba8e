/* tls_fixture.h - a folder of certificates, and contexts over it. */
#ifndef TESTS_EDGE_TLS_FIXTURE_H
#define TESTS_EDGE_TLS_FIXTURE_H

#include "test.h"

#include "base/slice.h"
#include "edge/tls.h"

#define SERVER_NAME  "counter.test"
#define HANDSHAKE_MS 20000

/* Has ca, other-ca; server, client (of ca), and whatever tls_pki_add() adds. */
extern char tls_pki[];

/* Both are for cmocka_run_group_tests(). */
int tls_pki_make(void **state);
int tls_pki_remove(void **state);

/* "FOLDER/name.suffix"; good for some calls. NULL for a NULL name. */
const char *tls_file(const char *name, const char *suffix);

/* Files by their names in the folder; NULL: none. */
struct tls_files {
    const char *cert;
    const char *ca;
    const char *names;
};
struct tls *tls_of(enum tls_side side, struct tls_files files, const char *alpn);

#endif
