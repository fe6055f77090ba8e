/* tls_names.c - which peers a certificate may name.
 *
 * A peer is who its certificate's subject alternative names say (RFC 9525 1.2): the subject's
 * common name is never looked at.
 */
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/tls_internal.h"

#define BLANKS ", \t"

enum err tls_names_init(struct tls_names *names, const char *list, struct tls_problem *problem) {
    char *rest = NULL;

    if (!list || !*list)
        return ERR_OK;
    names->text = strdup(list);
    if (!names->text) {
        (void)snprintf(problem->text, sizeof(problem->text), "out of memory");
        return ERR_NO_MEMORY;
    }
    for (char *name = strtok_r(names->text, BLANKS, &rest); name;
         name = strtok_r(NULL, BLANKS, &rest)) {
        if (names->count == TLS_NAMES_MAX) {
            (void)snprintf(problem->text, sizeof(problem->text),
                           "more than %d names of peers are given", TLS_NAMES_MAX);
            return ERR_INVALID;
        }
        names->name[names->count++] = name;
    }
    if (names->count)
        return ERR_OK;
    /* Taken for "any" this would let in everybody whom the CA has signed. */
    (void)snprintf(problem->text, sizeof(problem->text), "the list of peers' names holds no name");
    return ERR_INVALID;
}

void tls_names_release(struct tls_names *names) {
    free(names->text);
}

static bool has_uri(const GENERAL_NAMES *sans, const char *uri) {
    size_t len = strlen(uri);

    for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, i);

        if (san->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *text = san->d.uniformResourceIdentifier;
        if ((size_t)ASN1_STRING_length(text) == len &&
            memcmp(ASN1_STRING_get0_data(text), uri, len) == 0)
            return true;
    }
    return false;
}

static bool has_dns(X509 *peer, const char *name) {
    return X509_check_host(peer, name, strlen(name),
                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                           NULL) == 1;
}

bool tls_names_allow(const struct tls_names *names, X509 *peer) {
    GENERAL_NAMES *sans = X509_get_ext_d2i(peer, NID_subject_alt_name, NULL, NULL);
    bool allowed = false;

    for (size_t i = 0; i < names->count && !allowed; i++)
        allowed = strchr(names->name[i], ':') ? sans && has_uri(sans, names->name[i])
                                              : has_dns(peer, names->name[i]);
    GENERAL_NAMES_free(sans);
    return allowed;
}
