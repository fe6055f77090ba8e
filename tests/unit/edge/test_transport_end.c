/* test_transport_end.c - how transports break under TLS: cuts, garbage, strangers, silence. */
#include "transport_fixture.h"

#include <unistd.h>

static void test_cut_off(void **state) {
    (void)state;
    meet_and_talk();
    client.on_sent = end_close; /* a FIN without close_notify */
    if (transport_send(&client.transport, SLICE(", and half of a")))
        end_close(&client);
    run_until(server_broke);
    assert_int_equal(server.fins, 0);
    assert_true(got(&server, "hello, and half of a"));
    assert_non_null(strstr(server.problem, "without close_notify"));
    part();
}

static char *records_next;

static void send_records_and_close(struct end *end) {
    while (records_next < big + 5000) {
        records_next += 50;
        if (!transport_send(&end->transport, slice_of(records_next - 50, 50)))
            return;
    }
    end_close(end);
}

/* While the reader has paused, what came before is still delivered, and then the break. */
static void test_cut_off_in_a_pause(void **state) {
    (void)state;
    meet_and_talk();
    buf_clear(&server.in);
    records_next = big;
    server.on_bytes = pause_a_moment;
    client.on_sent = send_records_and_close;
    send_records_and_close(&client);
    run_until(server_broke);
    assert_int_equal(server.fins, 0);
    assert_int_equal(server.in.len, 5000);
    assert_true(pattern_is(server.in.ptr, 5000, 0));
    part();
}

static void test_hang_up_in_handshake(void **state) {
    uint64_t before = tls_stats(server_tls)->failed;

    (void)state;
    int fd = meet_raw();
    close(fd);
    run_until(server_broke);
    assert_non_null(strstr(server.problem, "hung up in the handshake"));
    part();
    assert_int_equal(tls_stats(server_tls)->failed - before, 1);
}

static void read_to_end(int fd, char *out, size_t size) {
    ssize_t n;
    size_t len = 0;

    while ((n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    assert_int_equal(n, 0); /* FIN, no reset */
    out[len] = '\0';
}

/* The peer reads our alert: it isn't lost to a reset. */
static void test_garbage(void **state) {
    static const struct {
        struct slice bytes;
        const char *problem;
        unsigned char alert; /* 0: none is sent */
    } rows[] = {
        {{"GET / HTTP/1.1\r\n\r\n", 18}, "plain HTTP", 0},
        {{"\x17\x03\x03\x00\x02xx", 7}, "unexpected message", 10},
        {{"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10}, "", 50},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = meet_raw();
        char answered_with[64];

        assert_int_equal(write(fd, rows[i].bytes.ptr, rows[i].bytes.len), rows[i].bytes.len);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        run_until(server_broke);
        assert_non_null(strstr(server.problem, rows[i].problem));
        part();
        read_to_end(fd, answered_with, sizeof(answered_with));
        if (rows[i].alert)
            assert_int_equal(answered_with[6], rows[i].alert);
        else
            assert_string_equal(answered_with, "");
        close(fd);
    }
}

/* And when it neither reads nor closes, its time is up. */
static void test_garbage_and_silence(void **state) {
    (void)state;
    int fd = meet_raw();
    assert_int_equal(write(fd, "\x17\x03\x03\x00\x02xx", 7), 7);
    run_until(server_broke);
    part();
    close(fd);
}

static bool server_resumed(void) {
    return !server.paused;
}

static void with_deadline(int64_t handshake_ms) {
    struct tls_conf conf = {.side = TLS_SERVER,
                            .cert_file = tls_file("server", "pem"),
                            .key_file = tls_file("server", "key"),
                            .alpn = {"h2"},
                            .handshake_ms = handshake_ms};
    struct tls_problem problem;

    tls_free(server_tls);
    assert_int_equal(tls_new(&conf, &server_tls, &problem), ERR_OK);
}

static void test_handshake_deadline(void **state) {
    (void)state;
    with_deadline(20);
    int fd = meet_raw();
    assert_int_equal(write(fd, "\x16\x03", 2), 2);
    send_text(&server, "never sent");
    run_until(server_broke);
    assert_string_equal(server.problem, "the handshake took too long");
    assert_int_equal(server.sent_closed, 1);
    part();
    close(fd);
    /* One that is done in time lives longer than that. */
    with_deadline(300);
    meet(false);
    server.on_bytes = answer;
    send_text(&client, "hello");
    run_until(answered);
    server.paused = true;
    server.later.fire = resume;
    timer_start(loop, &server.later, 400);
    run_until(server_resumed);
    assert_int_equal(server.broken, 0);
    part();
}

static void send_more(struct end *end) {
    assert_false(transport_send(&end->transport, SLICE("anybody there?")));
    end->on_sent = NULL;
}

static bool server_told_twice(void) {
    return server.sent_closed == 2;
}

static void test_send_when_broken(void **state) {
    (void)state;
    int fd = meet_raw();
    send_text(&server, "early");
    server.on_broken = send_more;
    close(fd);
    run_until(server_told_twice);
    assert_int_equal(server.broken, 1);
    part();
}

static void test_shutdown_in_handshake(void **state) {
    (void)state;
    int fd = meet_raw();
    send_text(&server, "early");
    transport_shutdown(&server.transport);
    run_until(server_broke);
    assert_int_equal(server.sent_closed, 1);
    part();
    close(fd);
}

/* Neither end speaks to a stranger: both are told, and each send ends once. */
static void test_refused_client(void **state) {
    (void)state;
    tls_free(server_tls);
    server_tls = tls_of(TLS_SERVER, (struct tls_files){"server", "ca", NULL}, "h2");
    meet(false);
    send_text(&client, "let me in");
    send_text(&server, "no secrets");
    client.on_broken = end_close;
    server.on_broken = end_close;
    run_until(all_closed);
    assert_int_equal(server.broken, 1);
    assert_int_equal(client.broken, 1);
    assert_int_equal(server.in.len + client.in.len, 0);
    assert_int_equal(server.sent_closed, 1);
    assert_int_equal(client.sent_ok + client.sent_closed, 1);
    assert_string_equal(server.problem, "the peer showed no certificate");
    assert_non_null(strstr(client.problem, "the peer refused: "));
    part();
}

static void test_refused_server(void **state) {
    (void)state;
    tls_free(client_tls);
    client_tls = tls_of(TLS_CLIENT, (struct tls_files){.ca = "other-ca"}, "h2");
    meet(false);
    send_text(&client, "my secrets");
    run_until(client_broke);
    run_until(server_broke);
    assert_int_equal(client.sent_closed, 1);
    assert_int_equal(server.in.len, 0);
    assert_non_null(strstr(client.problem, "certificate is refused"));
    assert_non_null(strstr(server.problem, "the peer refused: unknown CA"));
    part();
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        ROW(test_cut_off),          ROW(test_cut_off_in_a_pause),    ROW(test_hang_up_in_handshake),
        ROW(test_garbage),          ROW(test_garbage_and_silence),   ROW(test_handshake_deadline),
        ROW(test_send_when_broken), ROW(test_shutdown_in_handshake), ROW(test_refused_client),
        ROW(test_refused_server),
    };

    return cmocka_run_group_tests_name("edge/transport_end", tests, tls_pki_make, tls_pki_remove);
}

int main(void) {
    return transport_run("edge/transport_end", group);
}
