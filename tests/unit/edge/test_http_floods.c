/* test_http_floods.c - HTTP/2's attacks on the HTTP port: each ends its connection, and another
 * client doesn't notice. */
#include "http_fixture.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "edge/conn_set.h"
#include "edge/flood_penalty.h"
#include "h2_attacks.h"

#define WINDOW 65535

static struct http_fixture http;

static unsigned ask(struct client *c, const char *path) {
    struct field fields[] = {{":method", "GET"}, {NULL, NULL}};

    return client_request(c, path, fields, SLICE(""), true);
}

static void test_attacks(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    struct client *friend = client_new(&http.base, WINDOW);
    for (size_t row = 0; row < h2_attack_count; row++) {
        int fd = raw_connect(&http.base);
        h2_attack_run(fd, &h2_attacks[row]);
        close(fd);
        unsigned i = ask(friend, "/echo");
        client_wait_closed(friend, (unsigned)row + 1);
        assert_int_equal(friend->replies[i].http, 200);
    }
    client_free(friend);
    http_stop(&http);
    assert_int_equal(http.floods, h2_attack_count);
}

static void test_patience(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    for (size_t row = 0; row < h2_attack_count; row++) {
        if (!h2_attacks[row].patience)
            continue;
        int fd = raw_connect(&http.base);
        h2_attack_below(fd, &h2_attacks[row]);
        close(fd);
    }
    http_stop(&http);
    assert_int_equal(http.floods, 0);
}

/* The client's windows stay shut: answers of 100 KB are held up to a bound, requests behind most of
 * it aren't begun, and what is held is given up, with the connection. */
static void test_zero_window(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;
    unsigned refused = 0, calmed = 0;

    (void)state;
    conf.write_ms = 2000; /* all are asked before it is over, also on a busy machine */
    conf.streams_max = STREAMS_MAX;
    http_start(&http, &conf);
    struct client *c = client_new(&http.base, 0);
    for (unsigned i = 0; i < STREAMS_MAX; i++)
        (void)ask(c, "/bytes?100000");
    client_wait_end(c);
    for (unsigned i = 0; i < STREAMS_MAX; i++) {
        assert_int_equal(c->replies[i].bytes, 0);
        refused += c->replies[i].reset == NGHTTP2_REFUSED_STREAM;
        calmed += c->replies[i].reset == NGHTTP2_ENHANCE_YOUR_CALM;
    }
    assert_in_range(STREAMS_MAX - refused - calmed, 40, 62); /* 4 MiB of 100 KB, 6 at the most */
    assert_string_equal(c->goaway_text, "answers that are not taken");
    client_free(c);
    http_stop(&http);
    assert_int_equal(http.floods, 1);
}

/* All are asked before any is answered: what doesn't fit is reset, as nobody may say that nothing
 * has happened. */
static void test_zero_window_and_late_answers(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;

    (void)state;
    conf.write_ms = 300;
    http_start(&http, &conf);
    struct client *c = client_new(&http.base, 0);
    struct client *other = client_new(&http.base, WINDOW);
    for (unsigned i = 0; i < 100; i++)
        (void)ask(c, "/hold");
    client_flush(c);
    (void)ask(c, "/nothing-more"); /* beyond streams_max: waits in the client */
    unsigned i = ask(other, "/echo");
    client_wait_closed(other, 1);
    assert_int_equal(other->replies[i].http, 200);
    (void)ask(other, "/release");
    client_wait_closed(other, 2);
    client_wait_end(c);
    client_free(c);
    client_free(other);
    http_stop(&http);
}

/* Behind the peer's FIN no window opens any more: its connection ends, not idle_ms later. */
static void test_zero_window_and_gone(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    struct client *c = client_new(&http.base, 0);
    (void)ask(c, "/bytes?1000");
    client_flush(c);
    shutdown(c->fd, SHUT_WR);
    client_wait_end(c);
    client_free(c);
    http_stop(&http);
    assert_int_equal(http.by_status[200], 1);
}

/* 100 bodies that begin and never end: each gets its 408, or a 503 when they are too many. */
static void test_unfinished_bodies(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;
    unsigned slow = 0, busy = 0;
    size_t bytes = 200000;
    char *part = calloc(1, bytes);

    (void)state;
    conf.body_ms = 2000;
    http_start(&http, &conf);
    struct client *c = client_new(&http.base, WINDOW);
    for (unsigned i = 0; i < 100; i++)
        client_request(c, "/large", NULL, slice_of(part, bytes), false);
    client_wait_closed(c, 100);
    for (unsigned i = 0; i < 100; i++) {
        slow += c->replies[i].http == 408;
        busy += c->replies[i].http == 503;
    }
    assert_int_equal(slow + busy, 100);
    assert_in_range(slow, 10, 26); /* 5 MiB of 200 KB, whose buffers are up to twice that */
    free(part);
    client_free(c);
    http_stop(&http);
}

static void test_a_peer_that_does_not_read(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;
    int small = 4096;

    (void)state;
    conf.write_ms = 300;
    http_start(&http, &conf);
    struct client *c = client_new(&http.base, 1u << 30);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    nghttp2_submit_window_update(c->session, 0, 0, 1 << 30);
    for (unsigned i = 0; i < 100; i++)
        (void)ask(c, "/bytes?500000");
    client_flush(c);
    http_stop(&http); /* returns: the connection is gone although nothing was read */
    client_free(c);
}

/* HTTP/1, where nothing but the socket's buffers takes an answer. */
static void test_an_http1_peer_that_does_not_read(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;
    struct slice ask = SLICE("GET /bytes?100000 HTTP/1.1\r\nHost: t\r\n\r\n");
    int64_t end_ms = clock_mono_ns() / 1000000 + 20000;
    int small = 4096;

    (void)state;
    conf.write_ms = 200;
    conf.pipeline_max = 100;
    http_start(&http, &conf);
    int fd = raw_connect(&http.base);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (unsigned i = 0; i < 100; i++)
        assert_true(raw_write(fd, ask.ptr, ask.len));
    while (atomic_load(&http.connections) == 0 && clock_mono_ns() / 1000000 < end_ms)
        sched_yield();
    while (atomic_load(&http.connections) > 0) {
        if (clock_mono_ns() / 1000000 > end_ms)
            fail_msg("it is still open");
        usleep(1000);
    }
    close(fd);
    http_stop(&http);
}

/* ---- penalties ------------------------------------------------------------ */

static struct flood_penalty *penalty;

static void start_with_penalty(int64_t ms, const char *exempt) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;

    penalty = flood_penalty_new(
        &(struct flood_penalty_conf){.first_ms = ms, .max_ms = ms, .clients = 8, .exempt = exempt});
    assert_non_null(penalty);
    conf.penalty = penalty;
    conf.connections_max = CONN_SET_HELD_MAX + 8;
    http_start(&http, &conf);
}

static void stop_with_penalty(uint64_t penalties, uint64_t delayed, uint64_t refused) {
    const struct flood_penalty_stats *stats = flood_penalty_stats(penalty);

    http_stop(&http);
    assert_int_equal(stats->penalties, penalties);
    assert_int_equal(stats->delayed, delayed);
    assert_int_equal(stats->refused, refused);
    flood_penalty_free(penalty);
}

static void flood(void) {
    int fd = raw_connect(&http.base);

    h2_attack_run(fd, &h2_attacks[0]);
    close(fd);
}

/* Its next connection is served, later; one that was open isn't touched. */
static void test_a_penalty_delays(void **state) {
    int64_t began_ms = clock_mono_ms();

    (void)state;
    start_with_penalty(300, "");
    struct client *friend = client_new(&http.base, WINDOW);
    client_wait_closed(friend, ask(friend, "/echo") + 1);
    flood();
    struct client *next = client_new(&http.base, WINDOW);
    unsigned i = ask(friend, "/echo");
    client_wait_closed(friend, 2);
    assert_int_equal(friend->replies[i].http, 200);
    i = ask(next, "/echo");
    client_wait_closed(next, 1);
    assert_int_equal(next->replies[i].http, 200);
    assert_true(clock_mono_ms() - began_ms >= 300);
    client_free(next);
    client_free(friend);
    stop_with_penalty(1, 1, 0);
}

/* The drain at the end doesn't wait for them. */
static void test_so_many_wait(void **state) {
    int held[CONN_SET_HELD_MAX];
    char byte;

    (void)state;
    start_with_penalty(600000, "");
    flood();
    for (size_t i = 0; i < CONN_SET_HELD_MAX; i++)
        held[i] = raw_connect(&http.base);
    int fd = raw_connect(&http.base);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    stop_with_penalty(1, CONN_SET_HELD_MAX, 1);
    for (size_t i = 0; i < CONN_SET_HELD_MAX; i++) {
        assert_true(recv(held[i], &byte, 1, 0) <= 0);
        close(held[i]);
    }
}

static void test_who_is_exempt(void **state) {
    (void)state;
    start_with_penalty(600000, "127.0.0.0/8");
    flood();
    struct client *next = client_new(&http.base, WINDOW);
    client_wait_closed(next, ask(next, "/echo") + 1);
    client_free(next);
    stop_with_penalty(0, 0, 0);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attacks),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_zero_window),
        cmocka_unit_test(test_zero_window_and_late_answers),
        cmocka_unit_test(test_zero_window_and_gone),
        cmocka_unit_test(test_unfinished_bodies),
        cmocka_unit_test(test_a_peer_that_does_not_read),
        cmocka_unit_test(test_an_http1_peer_that_does_not_read),
        cmocka_unit_test(test_a_penalty_delays),
        cmocka_unit_test(test_so_many_wait),
        cmocka_unit_test(test_who_is_exempt),
    };

    return cmocka_run_group_tests_name("edge/http_floods", tests, NULL, NULL);
}

int main(void) {
    return fixture_run("edge/http_floods", group);
}
