/* test_tls_session.c - sessions, both ends in memory: who is let in, who is refused and with which
 * words, and that the bytes come however they are cut. */
#include "tls_pair.h"

#include "certs.h"
#include "edge/tls_internal.h"

/* ---- what comes through ------------------------------------------------------- */

static const struct tls_files server_files = {.cert = "server"};
static const struct tls_files client_files = {.ca = "ca"};

static void test_every_split(void **state) {
    static char big[70000];
    struct tls *server = tls_of(TLS_SERVER, server_files, "h2");
    struct tls *client = tls_of(TLS_CLIENT, client_files, "h2");

    (void)state;
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i % 251);
    for (size_t piece = 1; piece <= 40000; piece += piece < 300 ? 1 : 4999) {
        struct pair p;

        pair_begin(&p, client, server, SERVER_NAME);
        settle(&p, piece);
        assert_true(p.client.open && p.server.open);
        say(&p.client, SLICE("hello"));
        say(&p.server, slice_of(big, sizeof(big)));
        tls_session_end(p.server.session);
        settle(&p, piece);
        assert_got(&p.server, SLICE("hello"));
        assert_got(&p.client, slice_of(big, sizeof(big)));
        assert_true(p.client.ended);
        say(&p.client, SLICE(", and goodbye")); /* half-closed: this way is still open */
        tls_session_end(p.client.session);
        settle(&p, piece);
        assert_got(&p.server, SLICE("hello, and goodbye"));
        assert_true(p.server.ended);
        pair_end(&p);
    }
    assert_int_equal(tls_stats(server)->established, 0); /* streams count, sessions don't */
    tls_free(client);
    tls_free(server);
}

/* Every prefix of a client's first flight, then nothing: no end and no crash; every byte of it
 * flipped: never an established session of both. */
static void test_broken_handshakes(void **state) {
    struct tls *server = tls_of(TLS_SERVER, server_files, NULL);
    struct tls *client = tls_of(TLS_CLIENT, client_files, NULL);
    struct pair p;

    (void)state;
    pair_begin(&p, client, server, SERVER_NAME);
    size_t len = p.client.out.len;
    pair_end(&p);
    for (size_t at = 0; at < len; at++) {
        pair_begin(&p, client, server, SERVER_NAME);
        p.client.out.len = at;
        carry(&p.client, &p.server, SIZE_MAX);
        assert_false(p.server.open || p.server.failed || p.server.out.len);
        pair_end(&p);
        if (at == 1 || at == 2)
            continue; /* the record's version means nothing (RFC 8446 5.1) */
        pair_begin(&p, client, server, SERVER_NAME);
        p.client.out.ptr[at] = (char)(p.client.out.ptr[at] ^ 0x55);
        settle(&p, SIZE_MAX);
        /* One that looks whole may wait for more; both can only agree on the same bytes. */
        assert_false(p.server.open && p.client.open);
        pair_end(&p);
    }
    tls_free(client);
    tls_free(server);
}

static void test_garbage(void **state) {
    static const struct {
        struct slice bytes;
        const char *problem;
    } rows[] = {
        {{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27}, "plain HTTP"},
        {{"POST /api HTTP/1.1\r\n", 20}, "plain HTTP"},
        {{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24}, "not TLS"},
        {{"SSH-2.0-x\r\n", 11}, "not TLS"},
        {{"\x15\x03\x03\x00\x02\x01\x00", 7}, "unexpected message"},
        {{"\x17\x03\x03\x00\x02xx", 7}, "unexpected message"},
        {{"\x16\x03\x01\xff\xff\x01\x00\x00\x00\x00\x00", 11}, "too long"},
    };
    struct tls *server = tls_of(TLS_SERVER, server_files, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct side side = {0};

        side.session = tls_session_new(server, (struct slice){NULL, 0}, &side.out);
        feed(&side, rows[i].bytes);
        if (!side.failed || !strstr(tls_session_problem(side.session), rows[i].problem))
            fail_msg("row %zu: \"%s\", wanted \"%s\"", i, tls_session_problem(side.session),
                     rows[i].problem);
        side_release(&side);
    }
    tls_free(server);
}

/* ---- who is let in -------------------------------------------------------------- */

struct meeting {
    const char *name;
    struct tls_files server;
    struct tls_files client;
    const char *server_name;
    const char *client_says; /* why it refuses, NULL: it doesn't */
    const char *server_says;
};

static void add_certificates(void) {
    certs_make(tls_pki, "expired", "ca", "DNS:" SERVER_NAME, -10, -1);
    certs_make(tls_pki, "early", "ca", "DNS:" SERVER_NAME, 1, 10);
    certs_make(tls_pki, "itself", NULL, "DNS:" SERVER_NAME, -1, 10);
    certs_make(tls_pki, "stranger", "other-ca", "DNS:" SERVER_NAME ",DNS:gateway.test", -1, 10);
    certs_make(tls_pki, SERVER_NAME, "ca", NULL, -1, 10); /* its common name, and no SAN */
    certs_make(tls_pki, "wild", "ca", "DNS:*.gw.test", -1, 10);
}

/* clang-format off */
static const struct meeting meetings[] = {
    {"by name",             {"server", NULL, NULL}, {NULL, "ca", NULL}, SERVER_NAME, NULL, NULL},
    {"in capitals",         {"server", NULL, NULL}, {NULL, "ca", NULL}, "COUNTER.test", NULL, NULL},
    {"a rooted name",       {"server", NULL, NULL}, {NULL, "ca", NULL}, SERVER_NAME ".", NULL, NULL},
    {"by IPv4",             {"server", NULL, NULL}, {NULL, "ca", NULL}, "127.0.0.1", NULL, NULL},
    {"by IPv6",             {"server", NULL, NULL}, {NULL, "ca", NULL}, "::1", NULL, NULL},
    {"by wildcard",         {"server", NULL, NULL}, {NULL, "ca", NULL}, "a.wild.test", NULL, NULL},
    {"two labels",          {"server", NULL, NULL}, {NULL, "ca", NULL}, "a.b.wild.test", "names it should", NULL},
    {"wrong name",          {"server", NULL, NULL}, {NULL, "ca", NULL}, "other.test", "names it should", NULL},
    {"wrong address",       {"server", NULL, NULL}, {NULL, "ca", NULL}, "127.0.0.2", "IP address mismatch", NULL},
    {"common name only",    {SERVER_NAME, NULL, NULL}, {NULL, "ca", NULL}, SERVER_NAME, "names it should", NULL},
    {"expired",             {"expired", NULL, NULL}, {NULL, "ca", NULL}, SERVER_NAME, "has expired", NULL},
    {"not yet",             {"early", NULL, NULL}, {NULL, "ca", NULL}, SERVER_NAME, "not yet valid", NULL},
    {"self-signed",         {"itself", NULL, NULL}, {NULL, "ca", NULL}, SERVER_NAME, "self-signed", NULL},
    {"unknown CA",          {"stranger", NULL, NULL}, {NULL, "ca", NULL}, SERVER_NAME, "unable to get local issuer", NULL},
    {"a system's CAs",      {"server", NULL, NULL}, {NULL, NULL, NULL}, SERVER_NAME, "unable to get local issuer", NULL},
    {"mutual",              {"server", "ca", NULL}, {"client", "ca", NULL}, SERVER_NAME, NULL, NULL},
    {"no certificate",      {"server", "ca", NULL}, {NULL, "ca", NULL}, SERVER_NAME, NULL, "no certificate"},
    {"another CA's client", {"server", "ca", NULL}, {"stranger", "ca", NULL}, SERVER_NAME, NULL, "unable to get local issuer"},
    {"an expired client",   {"server", "ca", NULL}, {"expired", "ca", NULL}, SERVER_NAME, NULL, "has expired"},
    {"allowed by DNS",      {"server", "ca", "x.test, gateway.test"}, {"client", "ca", NULL}, SERVER_NAME, NULL, NULL},
    {"allowed by URI",      {"server", "ca", "spiffe://test/gateway"}, {"client", "ca", NULL}, SERVER_NAME, NULL, NULL},
    {"a part of the URI",   {"server", "ca", "spiffe://test/gatewa"}, {"client", "ca", NULL}, SERVER_NAME, NULL, "names it should"},
    {"not allowed",         {"server", "ca", "gateway2.test"}, {"client", "ca", NULL}, SERVER_NAME, NULL, "names it should"},
    {"no names at all",     {"server", "ca", "gateway.test"}, {SERVER_NAME, "ca", NULL}, SERVER_NAME, NULL, "names it should"},
    {"an allowed stranger", {"server", "ca", "gateway.test"}, {"stranger", "ca", NULL}, SERVER_NAME, NULL, "unable to get local issuer"},
    {"names, not address",  {"server", NULL, NULL}, {NULL, "ca", SERVER_NAME}, "10.0.0.1", NULL, NULL},
    {"names over address",  {"server", NULL, NULL}, {NULL, "ca", "else.test"}, "127.0.0.1", "names it should", NULL},
    {"a wildcard client",   {"server", "ca", "a.gw.test"}, {"wild", "ca", NULL}, SERVER_NAME, NULL, NULL},
};
/* clang-format on */

static bool says(const struct side *side, const char *want) {
    const char *problem = tls_session_problem(side->session);

    return want ? side->failed && strstr(problem, want) : !side->failed;
}

static void test_meetings(void **state) {
    (void)state;
    add_certificates();
    for (size_t i = 0; i < ARRAY_LEN(meetings); i++) {
        const struct meeting *m = &meetings[i];
        struct tls *server = tls_of(TLS_SERVER, m->server, "h2");
        struct tls *client = tls_of(TLS_CLIENT, m->client, "h2");
        struct pair p;

        pair_begin(&p, client, server, m->server_name);
        settle(&p, SIZE_MAX);
        /* The one that is refused is told so by an alert. */
        const char *client_says = m->server_says ? "the peer refused: " : m->client_says;
        const char *server_says = m->client_says ? "the peer refused: " : m->server_says;
        if (!says(&p.client, client_says) || !says(&p.server, server_says))
            fail_msg("%s: client \"%s\", server \"%s\"", m->name,
                     tls_session_problem(p.client.session), tls_session_problem(p.server.session));
        if (!client_says)
            assert_true(p.client.open && p.server.open);
        pair_end(&p);
        tls_free(client);
        tls_free(server);
    }
}

static void test_alpn(void **state) {
    static const struct {
        const char *server[TLS_ALPN_MAX];
        const char *client[TLS_ALPN_MAX];
        bool required;
        const char *chosen; /* NULL: refused */
    } rows[] = {
        {{"h2", "http/1.1"}, {"h2"}, false, "h2"},
        {{"h2", "http/1.1"}, {"http/1.1"}, false, "http/1.1"},
        {{"h2", "http/1.1"}, {"http/1.1", "h2"}, false, "h2"}, /* the server's order */
        {{"h2", "http/1.1"}, {"spdy/3", "h2"}, true, "h2"},
        {{"h2", "http/1.1"}, {"spdy/3"}, false, NULL},
        {{"h2", "http/1.1"}, {"h2c"}, false, NULL},
        {{"http/1.1"}, {"h2"}, false, NULL},
        {{"h2", "http/1.1"}, {NULL}, false, ""}, /* it doesn't know ALPN */
        {{"h2", "http/1.1"}, {NULL}, true, NULL},
        {{NULL}, {NULL}, false, ""},
        {{NULL}, {"h2"}, false, NULL}, /* the client's refusal: the server chose nothing */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_conf conf = {.side = TLS_SERVER,
                                .cert_file = tls_file("server", "pem"),
                                .key_file = tls_file("server", "key"),
                                .alpn_required = rows[i].required};
        struct tls_problem problem;
        struct tls *server;
        struct tls *client;
        struct pair p;

        memcpy(conf.alpn, rows[i].server, sizeof(conf.alpn));
        assert_int_equal(tls_new(&conf, &server, &problem), ERR_OK);
        conf = (struct tls_conf){.side = TLS_CLIENT, .ca_file = tls_file("ca", "pem")};
        memcpy(conf.alpn, rows[i].client, sizeof(conf.alpn));
        assert_int_equal(tls_new(&conf, &client, &problem), ERR_OK);
        pair_begin(&p, client, server, SERVER_NAME);
        settle(&p, SIZE_MAX);
        assert_int_equal(p.client.failed, !rows[i].chosen);
        if (rows[i].chosen) {
            assert_true(slice_eq(tls_session_alpn(p.client.session), slice_str(rows[i].chosen)));
            assert_true(slice_eq(tls_session_alpn(p.server.session), slice_str(rows[i].chosen)));
        } else {
            const char *why = p.server.failed ? "no application protocol" : "chose no protocol";
            assert_non_null(strstr(tls_session_problem(p.client.session), why));
            assert_non_null(strstr(
                p.server.failed ? tls_session_problem(p.server.session) : "(ALPN)", "(ALPN)"));
        }
        pair_end(&p);
        tls_free(client);
        tls_free(server);
    }
}

/* ---- versions, tickets -------------------------------------------------------------- */

/* A client that only speaks up to 'version', by the same session code. */
static void meet_old_client(int version, const char *suites, struct pair *p, struct tls *client,
                            struct tls *server) {
    SSL_CTX_set_security_level(client->ctx, 0);
    SSL_CTX_set_min_proto_version(client->ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(client->ctx, version);
    SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT);
    assert_int_equal(SSL_CTX_set_cipher_list(client->ctx, suites), 1);
    pair_begin(p, client, server, SERVER_NAME);
    settle(p, SIZE_MAX);
}

static void test_versions_and_suites(void **state) {
    static const struct {
        int version;
        const char *suites;
        bool good;
    } rows[] = {
        {TLS1_VERSION, "ALL", false},
        {TLS1_1_VERSION, "ALL", false},
        {TLS1_2_VERSION, "ALL", true},
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", false}, /* no AEAD */
        {TLS1_2_VERSION, "DHE", false},
        {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
        {TLS1_3_VERSION, "ALL", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls *server = tls_of(TLS_SERVER, server_files, NULL);
        struct tls *client = tls_of(TLS_CLIENT, client_files, NULL);
        struct pair p;

        meet_old_client(rows[i].version, rows[i].suites, &p, client, server);
        if (p.server.open != rows[i].good || p.client.open != rows[i].good)
            fail_msg("row %zu: client \"%s\", server \"%s\"", i,
                     tls_session_problem(p.client.session), tls_session_problem(p.server.session));
        pair_end(&p);
        tls_free(client);
        tls_free(server);
    }
}

static unsigned tickets;

static int count_ticket(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    tickets += SSL_SESSION_has_ticket(session) == 1;
    return 0;
}

/* Only TLS 1.3 has tickets, and only where clients show no certificates. */
static void test_tickets(void **state) {
    static const struct {
        int version;
        const char *ca;
        bool some;
    } rows[] = {
        {TLS1_2_VERSION, NULL, false},
        {TLS1_3_VERSION, NULL, true},
        {TLS1_2_VERSION, "ca", false},
        {TLS1_3_VERSION, "ca", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls *server =
            tls_of(TLS_SERVER, (struct tls_files){"server", rows[i].ca, NULL}, NULL);
        struct tls *client = tls_of(TLS_CLIENT, (struct tls_files){"client", "ca", NULL}, NULL);
        struct pair p;

        tickets = 0;
        SSL_CTX_sess_set_new_cb(client->ctx, count_ticket);
        meet_old_client(rows[i].version, "ALL", &p, client, server);
        assert_true(p.server.open && p.client.open);
        assert_int_equal(tickets > 0, rows[i].some);
        pair_end(&p);
        tls_free(client);
        tls_free(server);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split), cmocka_unit_test(test_broken_handshakes),
        cmocka_unit_test(test_garbage),     cmocka_unit_test(test_meetings),
        cmocka_unit_test(test_alpn),        cmocka_unit_test(test_versions_and_suites),
        cmocka_unit_test(test_tickets),
    };

    return cmocka_run_group_tests_name("edge/tls_session", tests, tls_pki_make, tls_pki_remove);
}
