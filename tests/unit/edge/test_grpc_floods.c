/* test_grpc_floods.c - what a hostile client sends: each attack ends its connection, and another
 * client doesn't notice. */
#include "grpc_fixture.h"
#include "h2_attacks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WINDOW 65535

static struct server server;

static void test_attacks(void **state) {
    (void)state;
    server_start(&server, &FIXTURE_CONF);
    struct client *friend = client_new(&server, WINDOW);
    for (size_t row = 0; row < h2_attack_count; row++) {
        int fd = raw_connect(&server);
        h2_attack_run(fd, &h2_attacks[row]);
        close(fd);
        unsigned i = client_call(friend, "/echo.Echo/Unary", SLICE("me too"));
        client_wait_closed(friend, (unsigned)row + 1);
        assert_int_equal(friend->replies[i].status, GRPC_OK);
    }
    client_free(friend);
    server_stop(&server);
    assert_int_equal(server.floods, h2_attack_count);
}

/* Just below each limit nobody is bothered. */
static void test_patience(void **state) {
    (void)state;
    server_start(&server, &FIXTURE_CONF);
    for (size_t row = 0; row < h2_attack_count; row++) {
        if (!h2_attacks[row].patience)
            continue;
        int fd = raw_connect(&server);
        h2_attack_below(fd, &h2_attacks[row]);
        close(fd);
    }
    server_stop(&server);
    assert_int_equal(server.floods, 0);
}

/* The client's windows stay shut: 1,000 answers of 100 KB don't fit into what may be held, and
 * those that do aren't held for long: the connection ends. */
static void test_zero_window(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    unsigned refused = 0;

    (void)state;
    conf.write_ms = 2000; /* all are asked before it is over, also on a busy machine */
    server_start(&server, &conf);
    struct client *c = client_new(&server, 0);
    for (unsigned i = 0; i < STREAMS_MAX; i++)
        client_call(c, "/echo.Echo/Stream", SLICE("1 100000"));
    client_wait_end(c);
    for (unsigned i = 0; i < STREAMS_MAX; i++) {
        assert_int_equal(c->replies[i].bytes, 0);
        refused += c->replies[i].status == GRPC_RESOURCE_EXHAUSTED;
    }
    assert_in_range(STREAMS_MAX - refused, 50, 62); /* 6 MiB of 100 KB */
    assert_int_equal(c->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_string_equal(c->goaway_text, "answers that are not taken");
    client_free(c);
    server_stop(&server);
    assert_int_equal(server.floods, 1);
}

/* A few of them are only reset, with the handler told; who takes another one meanwhile isn't
 * bothered. */
static void test_a_few_are_not_taken(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;

    (void)state;
    conf.write_ms = 100;
    server_start(&server, &conf);
    struct client *c = client_new(&server, 0);
    for (unsigned round = 0; round < 3; round++) {
        unsigned first = client_call(c, "/echo.Echo/Watch", SLICE("1"));
        for (unsigned i = 1; i < 6; i++)
            client_call(c, "/echo.Echo/Unary", SLICE("x"));
        client_wait_closed(c, 7 * round + 6);
        for (unsigned i = first; i < first + 6; i++)
            assert_int_equal(c->replies[i].reset, NGHTTP2_CANCEL);
        unsigned taken = client_call(c, "/echo.Echo/Unary", SLICE("x"));
        client_flush(c);
        nghttp2_submit_window_update(c->session, 0, (int32_t)(2 * taken + 1), 100);
        client_wait_closed(c, 7 * round + 7);
        assert_int_equal(c->replies[taken].status, GRPC_OK);
    }
    client_free(c);
    server_stop(&server);
    assert_int_equal(server.floods, 0);
    assert_int_equal(server.echo.gone, 3); /* the Watches */
}

/* A byte now and then doesn't prolong it. */
static void test_a_dribble(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;

    (void)state;
    conf.write_ms = 200;
    server_start(&server, &conf);
    struct client *c = client_new_stingy(&server, 1);
    for (unsigned i = 0; i < 20; i++)
        client_call(c, "/echo.Echo/Unary", SLICE("0123456789"));
    client_flush(c);
    for (unsigned i = 0; !c->end; i = (i + 1) % 20) {
        nghttp2_submit_window_update(c->session, 0, (int32_t)(2 * i + 1), 1);
        client_wait_ms(c, 15);
    }
    assert_string_equal(c->goaway_text, "answers that are not taken");
    client_free(c);
    server_stop(&server);
    assert_int_equal(server.floods, 1);
}

/* 1,000 messages that begin and never end: what came of them is bounded, what was announced costs
 * nothing. */
static void test_unfinished_messages(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    struct buf body = {0};
    unsigned refused = 0;

    (void)state;
    conf.deadline_max_ms = 3000;
    server_start(&server, &conf);
    struct client *c = client_new(&server, WINDOW);
    buf_add_slice(&body, SLICE("\0\0\77\377\377"));
    char *part = calloc(1, 16000);
    buf_add(&body, part, 16000);
    for (unsigned i = 0; i < STREAMS_MAX; i++)
        client_request(c, "/echo.Echo/Unary", NULL, buf_slice(&body), false);
    client_wait_closed(c, STREAMS_MAX);
    for (unsigned i = 0; i < STREAMS_MAX; i++)
        refused += c->replies[i].status == GRPC_RESOURCE_EXHAUSTED;
    assert_in_range(refused, 500, 900); /* 5 MiB of 16 KB are some 300 */
    free(part);
    buf_release(&body);
    client_free(c);
    server_stop(&server);
    assert_int_equal(server.echo.by_status[GRPC_RESOURCE_EXHAUSTED], refused);
    assert_int_equal(server.echo.by_status[GRPC_DEADLINE_EXCEEDED], STREAMS_MAX - refused);
}

/* A peer that doesn't read its socket: no more is read from it, and it is dropped. */
static void test_a_peer_that_does_not_read(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    struct buf out = {0};
    int small = 4096;

    (void)state;
    conf.write_ms = 300;
    server_start(&server, &conf);
    struct client *c = client_new(&server, 1u << 30);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    nghttp2_submit_window_update(c->session, 0, 0, 1 << 30);
    for (unsigned i = 0; i < 900; i++)
        client_call(c, "/echo.Echo/Stream", SLICE("5 100000"));
    client_flush(c);
    server_stop(&server); /* returns: the connection is gone although nothing was read */
    buf_release(&out);
    client_free(c);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attacks),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_zero_window),
        cmocka_unit_test(test_a_few_are_not_taken),
        cmocka_unit_test(test_a_dribble),
        cmocka_unit_test(test_unfinished_messages),
        cmocka_unit_test(test_a_peer_that_does_not_read),
    };

    return cmocka_run_group_tests_name("edge/grpc_floods", tests, NULL, NULL);
}

int main(void) {
    return fixture_run("edge/grpc_floods", group);
}
