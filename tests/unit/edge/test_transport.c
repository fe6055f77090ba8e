/* test_transport.c - the rules of transport.h while all goes well, and closing: plain and under
 * TLS, on both back ends. */
#include "transport_fixture.h"

#include <unistd.h>

/* ---- data ------------------------------------------------------------------------ */

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

static bool server_has_big(void) {
    return server.in.len == BIG;
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

static void send_big_and_fin(struct end *end) {
    send_big(end);
    transport_shutdown(&end->transport);
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

static int group(void) {
    const struct CMUnitTest tests[] = {
        ROW(test_hello),
        ROW(test_back_pressure),
        ROW(test_pause_between_records),
        ROW(test_half_close),
        ROW(test_both_end),
        ROW(test_goodbye),
        ROW(test_close_in_callbacks),
        ROW(test_close_while_sending),
        ROW(test_close_before_start),
    };

    return cmocka_run_group_tests_name("edge/transport", tests, tls_pki_make, tls_pki_remove);
}

int main(void) {
    return transport_run("edge/transport", group);
}
