/* test_tls.c - contexts: which files they refuse, in which words, and reloading them. */
#include "tls_pair.h"

#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs.h"

static const struct tls_files server_files = {.cert = "server"};
static const struct tls_files client_files = {.ca = "ca"};

static void write_file(const char *path, const char *text, mode_t mode) {
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fchmod(fileno(file), mode), 0);
    (void)fclose(file);
}

static void write_encrypted_key(const char *path) {
    FILE *file = fopen(path, "we");
    EVP_PKEY *key = EVP_EC_gen("P-256");

    assert_non_null(file);
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(file, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    (void)fclose(file);
    EVP_PKEY_free(key);
}

static void test_refused_files(void **state) {
    static const struct {
        const char *cert, *key, *ca, *names, *problem;
    } rows[] = {
        {"none", "server", NULL, NULL, "none.pem can't be used: No such file"},
        {"server", "none", NULL, NULL, "none.key can't be used: No such file"},
        {"empty", "server", NULL, NULL, "empty.pem can't be used: it holds none in PEM"},
        {"garbled", "server", NULL, NULL, "garbled.pem can't be used: "},
        {"server", "client", NULL, NULL, "client.key can't be used: it is not the certificate's"},
        {"server", "locked", NULL, NULL, "locked.key can't be used: it is encrypted"},
        {"server", "empty", NULL, NULL, "empty.key can't be used: "},
        {"server", "open", NULL, NULL, "open.key can't be used: others may read it; say chmod 600"},
        {"server", "server", "none", NULL, "none.pem can't be used: No such file"},
        {"server", "server", "empty", NULL, "empty.pem can't be used: "},
        {"server", "server", "ca", " , ", "holds no name"},
    };

    (void)state;
    write_file(tls_file("empty", "pem"), "", 0644);
    write_file(tls_file("empty", "key"), "", 0600);
    write_file(tls_file("open", "key"), "", 0644);
    write_file(tls_file("garbled", "pem"),
               "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0644);
    write_encrypted_key(tls_file("locked", "key"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_conf conf = {.side = TLS_SERVER,
                                .cert_file = tls_file(rows[i].cert, "pem"),
                                .key_file = tls_file(rows[i].key, "key"),
                                .ca_file = tls_file(rows[i].ca, "pem"),
                                .names = rows[i].names};
        struct tls_problem problem;
        struct tls *tls = NULL;

        assert_int_equal(tls_new(&conf, &tls, &problem), ERR_INVALID);
        assert_null(tls);
        if (!strstr(problem.text, rows[i].problem))
            fail_msg("row %zu: \"%s\", wanted \"%s\"", i, problem.text, rows[i].problem);
    }
}

/* Every bit that lets others at the key; a group may read root's (the tests may not be root). */
static void test_key_modes(void **state) {
    struct tls_conf conf = {.side = TLS_SERVER,
                            .cert_file = tls_file("server", "pem"),
                            .key_file = tls_file("server", "key")};
    struct tls_problem problem;
    bool root = geteuid() == 0;

    (void)state;
    for (mode_t mode = 0400; mode <= 0477; mode++) {
        enum err want = mode == 0400 || (mode == 0440 && root) ? ERR_OK : ERR_INVALID;
        struct tls *tls = NULL;

        assert_int_equal(chmod(conf.key_file, mode), 0);
        enum err got = tls_new(&conf, &tls, &problem);
        if (got != want)
            fail_msg("%o: %s \"%s\"", (unsigned)mode, err_text(got), problem.text);
        tls_free(tls);
    }
    if (root && chown(conf.key_file, 1, 0) == 0) { /* not root's any more */
        struct tls *tls = NULL;

        assert_int_equal(chmod(conf.key_file, 0440), 0);
        assert_int_equal(tls_new(&conf, &tls, &problem), ERR_INVALID);
        assert_int_equal(chown(conf.key_file, 0, 0), 0);
    }
    assert_int_equal(chmod(conf.key_file, 0600), 0);
}

static bool meets(struct tls *client, struct tls *server) {
    struct pair p;

    pair_begin(&p, client, server, SERVER_NAME);
    settle(&p, SIZE_MAX);
    bool met = p.client.open && p.server.open && !p.client.failed && !p.server.failed;
    pair_end(&p);
    return met;
}

static void test_reload(void **state) {
    struct tls_problem problem;
    struct pair before;

    (void)state;
    certs_make(tls_pki, "renewed", "ca", "DNS:" SERVER_NAME, -1, 10);
    struct tls *server = tls_of(TLS_SERVER, (struct tls_files){.cert = "renewed"}, NULL);
    struct tls *client = tls_of(TLS_CLIENT, client_files, NULL);
    struct tls *other = tls_of(TLS_CLIENT, (struct tls_files){.ca = "other-ca"}, NULL);
    int64_t expires_s = tls_expires_s(server);
    assert_true(meets(client, server));
    assert_false(meets(other, server));
    pair_begin(&before, client, server, SERVER_NAME);
    settle(&before, SIZE_MAX);

    /* A key that isn't the new certificate's: half of a renewal. Nothing changes. */
    certs_make(tls_pki, "half", "other-ca", "DNS:" SERVER_NAME, -1, 20);
    assert_int_equal(rename(tls_file("half", "pem"), tls_file("renewed", "pem")), 0);
    assert_int_equal(tls_reload(server, &problem), ERR_INVALID);
    assert_non_null(strstr(problem.text, "renewed.key can't be used: it is not the certificate's"));
    assert_true(meets(client, server));
    assert_int_equal(tls_expires_s(server), expires_s);

    assert_int_equal(rename(tls_file("half", "key"), tls_file("renewed", "key")), 0);
    assert_int_equal(tls_reload(server, &problem), ERR_OK);
    assert_string_equal(problem.text, "");
    assert_false(meets(client, server));
    assert_true(meets(other, server));
    assert_in_range(tls_expires_s(server) - expires_s, 10 * 86400 - 60, 10 * 86400 + 60);

    /* The connection from before goes on. */
    say(&before.client, SLICE("still here"));
    settle(&before, SIZE_MAX);
    assert_got(&before.server, SLICE("still here"));
    pair_end(&before);
    tls_free(other);
    tls_free(client);
    tls_free(server);
}

#define RELOADS 200

static void *reload_often(void *arg) {
    struct tls_problem problem;
    intptr_t failed = 0;

    for (int i = 0; i < RELOADS; i++)
        failed += tls_reload(arg, &problem) != ERR_OK;
    return (void *)failed;
}

/* One thread makes connections, as a loop does, while another reloads. */
static void test_reload_beside(void **state) {
    struct tls *server = tls_of(TLS_SERVER, server_files, NULL);
    struct tls *client = tls_of(TLS_CLIENT, client_files, NULL);
    pthread_t thread;
    void *failed;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, reload_often, server), 0);
    for (int i = 0; i < RELOADS; i++)
        assert_true(meets(client, server));
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    tls_free(client);
    tls_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_key_modes),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_reload_beside),
    };

    return cmocka_run_group_tests_name("edge/tls", tests, tls_pki_make, tls_pki_remove);
}
