/* test_transport.c - the rules of transport.h: plain and under TLS, on both back ends.
 *
 * Both ends of a socket pair are on one loop; what a decent peer can't be made to do is written
 * into a bare descriptor instead.
 */
#include "../loop/harness.h"
#include "tls_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "edge/transport.h"
#include "loop/endpoint.h"

#define BIG         (4 * MIB)
#define PATIENCE_MS 10000

struct end;
typedef void (*react)(struct end *end);

/* One end, and all that it was told. */
struct end {
    const char *name;
    struct transport transport;
    struct buf in;
    struct slice alpn; /* at the first bytes */
    unsigned fins, broken, sent_ok, sent_closed, closed;
    bool live;
    bool paused;
    char problem[128];
    react on_bytes, on_fin, on_sent, on_broken;
    struct timer later;
    struct end *peer;
};

static struct loop *loop;
static struct tls *server_tls;
static struct tls *client_tls;
static struct timer watchdog;
static bool (*done)(void);
static struct loop_hook looking;
static struct end client;
static struct end server;
static char *big;

static void end_close(struct end *end) {
    end->live = false;
    timer_stop(loop, &end->later);
    transport_close(&end->transport);
}

static void run(react what, struct end *end) {
    if (what)
        what(end);
}

static void on_read(void *ctx, struct slice bytes) {
    struct end *end = ctx;

    assert_true(end->live);
    assert_int_equal(end->fins, 0);
    assert_int_equal(end->broken, 0);
    if (bytes.len == 0) {
        end->fins++;
        run(end->on_fin, end);
        return;
    }
    if (end->in.len == 0)
        end->alpn = transport_alpn(&end->transport);
    buf_add_slice(&end->in, bytes);
    run(end->on_bytes, end);
}

static void on_sent(void *ctx, enum err err) {
    struct end *end = ctx;

    assert_int_equal(end->closed, 0);
    *(err == ERR_OK ? &end->sent_ok : &end->sent_closed) += 1;
    if (end->live)
        run(end->on_sent, end);
}

static void on_broken(void *ctx) {
    struct end *end = ctx;
    const char *problem = transport_peer_problem(&end->transport);

    assert_true(end->live);
    end->broken++;
    (void)snprintf(end->problem, sizeof(end->problem), "%s", problem ? problem : "");
    run(end->on_broken, end);
}

static void on_closed(void *ctx) {
    struct end *end = ctx;

    assert_false(end->live);
    end->closed++;
}

static const struct stream_events events = {on_read, on_sent, on_broken, on_closed};

static void hang(struct timer *timer) {
    (void)timer;
    fprintf(stderr, "hangs: client fins %u broken %u sent %u, server fins %u broken %u sent %u\n",
            client.fins, client.broken, client.sent_ok, server.fins, server.broken, server.sent_ok);
    abort();
}

static void look(struct loop_hook *hook) {
    (void)hook;
    if (done())
        loop_stop(loop);
}

static void run_until(bool (*what)(void)) {
    if (what())
        return;
    done = what;
    timer_start(loop, &watchdog, PATIENCE_MS);
    assert_int_equal(loop_run(loop), ERR_OK);
    timer_stop(loop, &watchdog);
}

static void begin(struct end *end, const char *name, int fd, bool accepts, bool plain) {
    struct stream *stream = stream_new(loop, fd);

    *end = (struct end){.name = name, .live = true, .peer = end == &client ? &server : &client};
    assert_non_null(stream);
    if (accepts)
        assert_true(transport_accept_tls(&end->transport, stream, plain ? NULL : server_tls));
    else
        assert_true(transport_connect_tls(&end->transport, stream, plain ? NULL : client_tls,
                                          SLICE(SERVER_NAME)));
}

static void make_pair(int out[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, out), 0);
}

static void meet(bool plain) {
    int fds[2];

    make_pair(fds);
    begin(&client, "client", fds[0], false, plain);
    begin(&server, "server", fds[1], true, plain);
    transport_start(&client.transport, &events, &client);
    transport_start(&server.transport, &events, &server);
}

/* The server against a bare descriptor. */
static int meet_raw(void) {
    int fds[2];

    make_pair(fds);
    client = (struct end){.name = "raw"};
    begin(&server, "server", fds[1], true, false);
    transport_start(&server.transport, &events, &server);
    return fds[0];
}

static void end_release(struct end *end) {
    if (end->live)
        end_close(end);
}

static bool all_closed(void) {
    return !client.live && !server.live && client.closed == (client.transport.stream != NULL) &&
           server.closed == (server.transport.stream != NULL);
}

/* Closes what is still open; every end has heard of that once, and of each send too. */
static void part(void) {
    end_release(&client);
    end_release(&server);
    run_until(all_closed);
    buf_release(&client.in);
    buf_release(&server.in);
}

static void send_text(struct end *end, const char *text) {
    if (transport_send(&end->transport, slice_str(text)))
        end->sent_ok++;
}

static void send_big(struct end *end) {
    if (transport_send(&end->transport, slice_of(big, BIG)))
        end->sent_ok++;
}

static bool got(const struct end *end, const char *text) {
    return slice_eq(buf_slice(&end->in), slice_str(text));
}

/* ---- data ------------------------------------------------------------------------ */

static void answer(struct end *end) {
    if (got(end, "hello"))
        send_text(end, "and to you");
}

static bool answered(void) {
    return got(&client, "and to you");
}

static void test_hello(void **state) {
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        uint64_t before = tls_stats(server_tls)->established;

        meet(plain);
        server.on_bytes = answer;
        send_text(&client, "hello"); /* waits for the handshake */
        run_until(answered);
        assert_int_equal(client.sent_ok, 1);
        assert_true(slice_eq(client.alpn, plain ? SLICE("") : SLICE("h2")));
        assert_true(slice_eq(server.alpn, plain ? SLICE("") : SLICE("h2")));
        assert_null(transport_peer_problem(&server.transport));
        part();
        assert_int_equal(tls_stats(server_tls)->established - before, plain ? 0 : 1);
    }
}

static bool server_paused(void) {
    return server.paused;
}

static bool server_has_big(void) {
    return server.in.len == BIG;
}

static void resume(struct timer *timer) {
    struct end *end = CONTAINER_OF(timer, struct end, later);

    end->paused = false;
    transport_resume(&end->transport);
}

static void pause_a_moment(struct end *end) {
    assert_true(!end->paused || !end->transport.tls); /* under TLS nothing comes in a pause */
    end->paused = true;
    transport_pause(&end->transport);
    end->later.fire = resume;
    timer_start(loop, &end->later, 0);
}

static void pause_for_long(struct end *end) {
    end->paused = true;
    transport_pause(&end->transport);
}

static unsigned turns;

static bool some_turns(void) {
    return ++turns == 200;
}

static void no_op(struct timer *timer) {
    timer_start(loop, timer, 0); /* keeps the loop turning */
}

static void test_back_pressure(void **state) {
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        struct timer turning = {.fire = no_op};

        meet(plain);
        server.on_bytes = pause_for_long;
        send_big(&client);
        run_until(server_paused);
        turns = 0;
        timer_start(loop, &turning, 0);
        run_until(some_turns);
        timer_stop(loop, &turning);
        assert_int_equal(client.sent_ok, 0);
        assert_true(server.in.len < BIG / 4);
        server.on_bytes = pause_a_moment;
        resume(&server.later);
        run_until(server_has_big);
        assert_true(pattern_is(server.in.ptr, BIG, 0));
        assert_int_equal(client.sent_ok, 1);
        assert_int_equal(client.sent_closed, 0);
        part();
    }
}

/* A pause inside a read of many records: the rest waits, in order, and so does the end. */
static char *records_next;

static void send_next_records(struct end *end) {
    while (records_next < big + 5000) {
        records_next += 50;
        if (!transport_send(&end->transport, slice_of(records_next - 50, 50)))
            return;
    }
    transport_shutdown(&end->transport);
    end->on_sent = NULL;
}

static bool server_ended(void) {
    return server.fins == 1;
}

static void test_pause_between_records(void **state) {
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        meet(plain);
        records_next = big;
        server.on_bytes = pause_a_moment;
        client.on_sent = send_next_records;
        send_next_records(&client);
        run_until(server_ended);
        assert_int_equal(server.in.len, 5000);
        assert_true(pattern_is(server.in.ptr, 5000, 0));
        part();
    }
}

static void fin(struct end *end) {
    transport_shutdown(&end->transport);
}

static void send_big_and_fin(struct end *end) {
    send_big(end);
    transport_shutdown(&end->transport);
}

static bool client_ended(void) {
    return client.fins == 1;
}

static void test_half_close(void **state) {
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        meet(plain);
        server.on_fin = send_big_and_fin;
        client.on_sent = fin;
        if (transport_send(&client.transport, SLICE("last words")))
            fin(&client);
        run_until(client_ended);
        assert_true(got(&server, "last words"));
        assert_int_equal(client.in.len, BIG);
        assert_true(pattern_is(client.in.ptr, BIG, 0));
        assert_int_equal(server.sent_ok, 1);
        assert_int_equal(client.broken + server.broken, 0);
        part();
    }
}

static void test_both_end(void **state) {
    (void)state;
    meet(false);
    server.on_bytes = fin;
    client.on_fin = fin;
    send_text(&client, "x");
    run_until(server_ended);
    run_until(client_ended);
    assert_int_equal(client.broken + server.broken, 0);
    part();
}

/* Who has heard the peer's end and closes still says its own: no broken end for the peer. */
static void test_goodbye(void **state) {
    (void)state;
    meet(false);
    client.on_bytes = fin;
    server.on_bytes = answer;
    server.on_fin = end_close;
    send_text(&client, "hello");
    run_until(client_ended);
    assert_int_equal(client.broken, 0);
    assert_int_equal(server.fins, 1);
    part();
}

/* ---- breaks ----------------------------------------------------------------------- */

static bool server_broke(void) {
    return server.broken == 1;
}

static bool client_broke(void) {
    return client.broken == 1;
}

static void close_peer(struct end *end) {
    end_release(end->peer);
}

/* The handshake is over, and all that belongs to it was read: a close is a FIN, no reset. */
static void meet_and_talk(void) {
    meet(false);
    server.on_bytes = answer;
    send_text(&client, "hello");
    run_until(answered);
    server.on_bytes = NULL;
}

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

/* While the reader has paused, what came before is still delivered, and then the break. */
static void send_records_and_close(struct end *end) {
    while (records_next < big + 5000) {
        records_next += 50;
        if (!transport_send(&end->transport, slice_of(records_next - 50, 50)))
            return;
    }
    end_close(end);
}

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

/* ---- closing everywhere ------------------------------------------------------------ */

static void test_close_in_callbacks(void **state) {
    (void)state;
    for (int row = 0; row < 6; row++) {
        meet(false);
        if (row == 0)
            server.on_bytes = end_close;
        if (row == 1)
            client.on_sent = end_close;
        if (row == 2) {
            client.on_sent = fin;
            server.on_fin = end_close;
        }
        if (row == 3) {
            server.on_bytes = close_peer;
            server.on_broken = end_close;
        }
        if (row == 4)
            end_close(&server); /* before anything came */
        if (row == 5)
            end_close(&client);
        client.on_broken = server.on_broken = client.on_fin = end_close;
        if (client.live)
            send_big(&client);
        run_until(all_closed);
        assert_int_equal(client.sent_ok + client.sent_closed, row == 5 ? 0 : 1);
        part();
    }
}

static void test_close_while_sending(void **state) {
    (void)state;
    meet(false);
    server.on_bytes = pause_for_long;
    send_big(&client);
    run_until(server_paused);
    end_close(&client);
    assert_int_equal(client.sent_closed, 0); /* not inside of the call */
    end_close(&server);
    run_until(all_closed);
    assert_int_equal(client.sent_closed, 1);
    assert_int_equal(client.sent_ok, 0);
    part();
}

static void test_close_before_start(void **state) {
    int fds[2];

    (void)state;
    make_pair(fds);
    begin(&server, "server", fds[1], true, false);
    client = (struct end){.name = "none"};
    end_close(&server);
    server.closed = 1; /* nobody to tell, as with a plain stream; loop_free() asserts the rest */
    part();
    close(fds[0]);
}

/* ---- ------------------------------------------------------------------------------- */

static int open_loop(void **state) {
    (void)state;
    loop = harness_loop();
    looking.run = look;
    loop_hook_add(loop, &looking);
    watchdog.fire = hang;
    client = server = (struct end){0};
    server_tls = tls_of(TLS_SERVER, (struct tls_files){.cert = "server"}, "h2");
    client_tls = tls_of(TLS_CLIENT, (struct tls_files){.ca = "ca"}, "h2");
    return 0;
}

static int close_loop(void **state) {
    (void)state;
    end_release(&client); /* only after a failure */
    end_release(&server);
    loop_hook_remove(&looking);
    loop_free(loop);
    tls_free(server_tls);
    tls_free(client_tls);
    return 0;
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

static int group(void) {
    const struct CMUnitTest tests[] = {
        ROW(test_hello),
        ROW(test_back_pressure),
        ROW(test_pause_between_records),
        ROW(test_half_close),
        ROW(test_both_end),
        ROW(test_goodbye),
        ROW(test_cut_off),
        ROW(test_cut_off_in_a_pause),
        ROW(test_hang_up_in_handshake),
        ROW(test_garbage),
        ROW(test_garbage_and_silence),
        ROW(test_handshake_deadline),
        ROW(test_send_when_broken),
        ROW(test_shutdown_in_handshake),
        ROW(test_refused_client),
        ROW(test_refused_server),
        ROW(test_close_in_callbacks),
        ROW(test_close_while_sending),
        ROW(test_close_before_start),
    };

    return cmocka_run_group_tests_name("edge/transport", tests, tls_pki_make, tls_pki_remove);
}

int main(void) {
    int failed;

    big = pattern_new(BIG);
    failed = harness_run("edge/transport", group);
    free(big);
    return failed;
}
