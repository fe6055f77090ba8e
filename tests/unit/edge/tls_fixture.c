/* tls_fixture.c */
#include "tls_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "certs.h"

char tls_pki[] = "/tmp/hgp-tls-XXXXXX";

int tls_pki_make(void **state) {
    (void)state;
    (void)snprintf(tls_pki, sizeof(tls_pki), "/tmp/hgp-tls-XXXXXX");
    if (!mkdtemp(tls_pki))
        return -1;
    certs_make_ca(tls_pki, "ca");
    certs_make_ca(tls_pki, "other-ca");
    certs_make(tls_pki, "server", "ca", "DNS:" SERVER_NAME ",DNS:*.wild.test,IP:127.0.0.1,IP:::1",
               -1, 90);
    certs_make(tls_pki, "client", "ca", "DNS:gateway.test,URI:spiffe://test/gateway", -1, 90);
    return 0;
}

int tls_pki_remove(void **state) {
    char command[64];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -r %s", tls_pki);
    return system(command);
}

const char *tls_file(const char *name, const char *suffix) {
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];

    if (!name)
        return NULL;
    (void)snprintf(path, sizeof(paths[0]), "%s/%s.%s", tls_pki, name, suffix);
    return path;
}

struct tls *tls_of(enum tls_side side, struct tls_files files, const char *alpn) {
    struct tls_conf conf = {
        .side = side,
        .cert_file = tls_file(files.cert, "pem"),
        .key_file = tls_file(files.cert, "key"),
        .ca_file = tls_file(files.ca, "pem"),
        .names = files.names,
        .alpn = {alpn},
        .handshake_ms = HANDSHAKE_MS,
    };
    struct tls_problem problem;
    struct tls *tls;

    if (tls_new(&conf, &tls, &problem) != ERR_OK)
        fail_msg("tls_new(): %s", problem.text);
    return tls;
}
