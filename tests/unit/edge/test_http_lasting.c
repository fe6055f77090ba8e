/* test_http_lasting.c - replies that come bit by bit, over HTTP/1 and HTTP/2. */
#include "http_fixture.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define WINDOW  65535
#define READ_MS 20000
#define SLOW_MS 300

static struct http_fixture http;

/* ---- HTTP/1, byte for byte ------------------------------------------------- */

static struct buf got; /* on the connection that is looked at, since look_at() */

static void look_at(void) {
    buf_clear(&got);
}

static bool has(const char *text) {
    return got.len && memmem(got.ptr, got.len, text, strlen(text));
}

/* Until 'want' has come; NULL: until the end. */
static void read_until(int fd, const char *want) {
    char bytes[4096];

    while (!want || !has(want)) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

        if (poll(&poll_fd, 1, READ_MS) != 1)
            fail_msg("nothing comes behind \"%.*s\"", (int)got.len, got.ptr);
        ssize_t n = read(fd, bytes, sizeof(bytes));
        if (n <= 0 && !want)
            return;
        if (n <= 0)
            fail_msg("the end behind \"%.*s\"", (int)got.len, got.ptr);
        buf_add(&got, bytes, (size_t)n);
    }
}

static int ask(const char *request) {
    int fd = raw_connect(&http.base);

    assert_true(raw_write(fd, request, strlen(request)));
    return fd;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* On a connection of its own; what it is answered is in 'got'. */
static void tell(const char *request, const char *want) {
    int fd = ask(request);

    look_at();
    read_until(fd, want);
    close(fd);
}

/* Until so many of those that last are ready. */
static void wait_for(const char *ready) {
    int64_t end_ms = clock_mono_ms() + READ_MS;

    do
        tell(GET("/more?0"), " of ");
    while (!has(ready) && clock_mono_ms() < end_ms);
    assert_true(has(ready));
}

static void test_chunks(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    int fd = ask(GET("/last"));
    look_at();
    read_until(fd, "\r\n\r\n5\r\nbegun\r\n");
    assert_true(has("\r\nTransfer-Encoding: chunked\r\n"));
    assert_false(has("Content-Length"));
    assert_false(has("Connection"));
    tell(GET("/more?17"), "\r\n\r\n1");
    look_at();
    read_until(fd, "11\r\nmmmmmmmmmmmmmmmmm\r\n");
    tell(GET("/finish"), "finished");
    look_at();
    read_until(fd, "0\r\n\r\n");
    assert_true(raw_write(fd, GET("/echo"), strlen(GET("/echo"))));
    read_until(fd, "GET /echo "); /* the connection goes on */
    close(fd);
    http_stop(&http);
    assert_int_equal(http.gone, 0);
    assert_int_equal(http.by_status[200], 4);
}

/* What was asked behind it waits for its end; what was asked before comes before it. */
static void test_in_order(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    int fd = ask(GET("/echo?1") GET("/last") GET("/echo?2"));
    look_at();
    read_until(fd, "begun");
    assert_true(has("GET /echo?1 "));
    assert_false(has("GET /echo?2 "));
    tell(GET("/finish"), "finished");
    look_at();
    read_until(fd, "GET /echo?2 ");
    close(fd);
    http_stop(&http);
}

static void test_http_1_0(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    int fd = ask("GET /last HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    look_at();
    read_until(fd, "\r\n\r\nbegun");
    assert_false(has("chunked"));
    assert_true(has("\r\nConnection: close\r\n"));
    tell(GET("/finish"), "finished");
    look_at();
    read_until(fd, NULL);
    assert_int_equal(got.len, 0);
    close(fd);
    http_stop(&http);
}

static void test_a_head_gets_no_body(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    int fd = ask("HEAD /last HTTP/1.1\r\nHost: x\r\n\r\n" GET("/echo"));
    look_at();
    read_until(fd, "GET /echo ");
    assert_true(has("\r\nTransfer-Encoding: chunked\r\n"));
    assert_false(has("begun"));
    close(fd);
    http_stop(&http);
    assert_int_equal(http.gone, 0);
}

/* A client that has closed its side only would be told for ever. */
static void test_clients_that_go(void **state) {
    static const int hows[] = {SHUT_WR, SHUT_RDWR};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(hows); i++) {
        http_start(&http, &HTTP_FIXTURE_CONF);
        int fd = ask(GET("/last"));
        look_at();
        read_until(fd, "begun");
        shutdown(fd, hows[i]);
        if (hows[i] == SHUT_WR)
            read_until(fd, NULL);
        else
            tell(GET("/more?10"), "\r\n\r\n");
        close(fd);
        http_stop(&http);
        assert_int_equal(http.gone, 1);
        assert_int_equal(http.slow, 0);
    }
}

/* Gone before it has begun, behind an answer that is still owed. */
static void test_a_client_that_went_before(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    int fd = ask(GET("/hold") GET("/last"));
    shutdown(fd, SHUT_WR);
    tell(GET("/echo"), "GET /echo ");
    tell(GET("/release"), "released");
    look_at();
    read_until(fd, NULL);
    assert_true(has("held"));
    close(fd);
    http_stop(&http);
    assert_true(http.gone <= 1);
}

/* It is sent what the kernel's buffers take, then nothing, and is given up in time. */
static void test_one_that_does_not_read(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;
    unsigned sent = 0;

    (void)state;
    conf.write_ms = SLOW_MS;
    http_start(&http, &conf);
    int slow = ask(GET("/last"));
    look_at();
    read_until(slow, "begun");
    do
        tell(GET("/more?100000"), " of ");
    while (has("1 of 1") && ++sent < 1000);
    assert_true(has("0 of 1"));
    wait_for("0 of 0");
    close(slow);
    http_stop(&http);
    assert_int_equal(http.gone, 1);
    assert_int_equal(http.slow, 1);
}

static void test_a_drain(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    int fd = ask(GET("/last"));
    look_at();
    read_until(fd, "begun");
    http_drain(&http);
    read_until(fd, NULL);
    assert_true(got.len > 5 && memcmp(got.ptr + got.len - 5, "0\r\n\r\n", 5) == 0);
    close(fd);
    http_stop(&http);
    assert_int_equal(http.gone, 0);
}

/* ---- HTTP/2 ---------------------------------------------------------------- */

static struct client *client;

static unsigned get(const char *method, const char *path) {
    struct field fields[] = {{":method", method}, {NULL, NULL}};

    return client_request(client, path, fields, SLICE(""), true);
}

static void test_data_frames(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    client = client_new(&http.base, WINDOW);
    unsigned head = get("HEAD", "/last");
    client_wait_closed(client, 1);
    assert_int_equal(client->replies[head].bytes, 0);
    unsigned first = get("GET", "/last");
    unsigned second = get("GET", "/last");
    client_wait_bytes(client, first, 5);
    client_wait_bytes(client, second, 5);
    assert_null(strstr(client->replies[first].fields, "content-length"));
    unsigned more = get("GET", "/more?1000");
    client_wait_bytes(client, first, 1005);
    client_wait_bytes(client, second, 1005);
    client_wait_closed(client, 2);
    assert_int_equal(client->replies[more].first[0], '2');
    (void)get("GET", "/finish");
    client_wait_closed(client, 5);
    assert_int_equal(client->replies[first].reset, 0);
    client_free(client);
    http_stop(&http);
    assert_int_equal(http.gone, 0);
}

static void test_resets(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    client = client_new(&http.base, WINDOW);
    unsigned last = get("GET", "/last");
    client_wait_bytes(client, last, 5);
    assert_int_equal(nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE,
                                               (int32_t)(2 * last + 1), NGHTTP2_CANCEL),
                     0);
    unsigned more = get("GET", "/more?10");
    client_wait_closed(client, 2);
    assert_int_equal(client->replies[more].first[0], '0');
    (void)get("GET", "/last"); /* goes with its connection */
    client_wait_bytes(client, last + 2, 5);
    client_free(client);
    wait_for("0 of 0");
    http_stop(&http);
    assert_int_equal(http.gone, 2);
    assert_int_equal(http.slow, 0);
}

/* Its window is shut: what was sent waits, and nothing more is sent. */
static void test_a_window_that_stays_shut(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;

    (void)state;
    conf.write_ms = SLOW_MS;
    http_start(&http, &conf);
    client = client_new_stingy(&http.base, 10);
    unsigned last = get("GET", "/last");
    client_wait_bytes(client, last, 5);
    (void)get("GET", "/more?100");
    client_wait_bytes(client, last, 10);
    client_wait_closed(client, 2);
    assert_int_equal(client->replies[last].reset, NGHTTP2_CANCEL);
    client_free(client);
    http_stop(&http);
    assert_int_equal(http.gone, 1);
    assert_int_equal(http.slow, 1);
}

static void test_a_drain_over_http2(void **state) {
    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    client = client_new(&http.base, WINDOW);
    unsigned last = get("GET", "/last");
    client_wait_bytes(client, last, 5);
    http_drain(&http);
    client_wait_end(client);
    assert_true(client->replies[last].closed);
    assert_int_equal(client->replies[last].reset, 0);
    client_free(client);
    http_stop(&http);
    assert_int_equal(http.gone, 0);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_http_1_0),
        cmocka_unit_test(test_a_head_gets_no_body),
        cmocka_unit_test(test_clients_that_go),
        cmocka_unit_test(test_a_client_that_went_before),
        cmocka_unit_test(test_one_that_does_not_read),
        cmocka_unit_test(test_a_drain),
        cmocka_unit_test(test_data_frames),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_a_window_that_stays_shut),
        cmocka_unit_test(test_a_drain_over_http2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    int failed = fixture_run("http_lasting", group);

    buf_release(&got);
    return failed;
}
