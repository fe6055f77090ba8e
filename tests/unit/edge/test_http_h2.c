/* test_http_h2.c - HTTP/2 requests against a real server: answers, refusals, ends. */
#include "http_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "h2_attacks.h"

#define WINDOW 65535

static struct http_fixture http;
static struct client *client;

static void open_both(const struct http_server_conf *conf, uint32_t window) {
    http_start(&http, conf);
    client = client_new(&http.base, window);
}

static void close_both(void) {
    client_free(client);
    http_stop(&http);
}

static const struct reply *reply(unsigned i) {
    return &client->replies[i];
}

static unsigned ask(const char *method, const char *path, struct slice body) {
    struct field fields[] = {{":method", method}, {NULL, NULL}};

    return client_request(client, path, fields, body, true);
}

static void expect_body(unsigned i, const char *want) {
    if (reply(i)->bytes != strlen(want) || memcmp(reply(i)->first, want, strlen(want)) != 0)
        fail_msg("got \"%.*s\", wanted \"%s\"", (int)reply(i)->bytes, reply(i)->first, want);
}

/* ---- answers ------------------------------------------------------------- */

static void test_answers(void **state) {
    static const struct {
        const char *method;
        const char *path;
        struct slice body;
        int status;
        const char *want;
    } rows[] = {
        {"GET", "/echo", {"", 0}, 200, "GET /echo "},
        {"POST", "/echo?a=1&b", {"text", 4}, 200, "POST /echo?a=1&b text"},
        {"PUT", "/echo?", {"x", 1}, 200, "PUT /echo? x"},
        {"DELETE", "/echo/%2F", {"", 0}, 200, "DELETE /echo/%2F "},
        {"OPTIONS", "*", {"", 0}, 200, "OPTIONS * "},
        {"PATCH", "/echo", {"", 0}, 200, "other /echo "},
        {"BREW", "/echo", {"", 0}, 501, "the method is unknown"},
        {"GET", "/echo\\", {"", 0}, 400, NULL},
    };

    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    for (unsigned row = 0; row < ARRAY_LEN(rows); row++) {
        unsigned i = ask(rows[row].method, rows[row].path, rows[row].body);

        client_wait_closed(client, row + 1);
        if (reply(i)->http != rows[row].status)
            fail_msg("%s %s: %d", rows[row].method, rows[row].path, reply(i)->http);
        if (rows[row].want)
            expect_body(i, rows[row].want);
    }
    close_both();
    assert_int_equal(http.floods, 0);
}

static void test_the_fields_of_a_response(void **state) {
    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    unsigned i =
        client_request(client, "/echo", (struct field[]){{"x-request-id", "mine"}, {NULL, NULL}},
                       SLICE("body"), true);
    unsigned head = ask("HEAD", "/echo", SLICE(""));
    unsigned empty = ask("GET", "/empty", SLICE(""));
    client_wait_closed(client, 3);
    const char *fields = reply(i)->fields;
    assert_ptr_equal(strstr(fields, ":status: 200\ncontent-type: text/plain\ndate: "), fields);
    assert_non_null(
        strstr(fields, " GMT\ncontent-length: 15\nx-request-id: mine\nx-fixture: Yes\n"));
    assert_null(strstr(fields, "onnection"));
    assert_non_null(strstr(reply(head)->fields, "content-length: 11\n"));
    assert_int_equal(reply(head)->bytes, 0);
    assert_int_equal(reply(empty)->http, 204);
    assert_null(strstr(reply(empty)->fields, "content-length"));
    assert_null(strstr(reply(empty)->fields, "content-type"));
    close_both();
}

/* More header fields than fit without growing, names in lower case, values as they came. */
static void test_the_fields_of_a_request(void **state) {
    struct field fields[14] = {{":method", "GET"}};
    char names[12][8];

    (void)state;
    for (unsigned n = 0; n < 12; n++) {
        (void)snprintf(names[n], sizeof(names[n]), "x-%u", n);
        fields[n + 1] = (struct field){names[n], n % 2 ? "Odd" : ""};
    }
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    unsigned i = client_request(client, "/fields", fields, SLICE(""), true);
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->http, 200);
    /* te, content-type, then ours: "x-0=\n" or "x-1=Odd\n" and two that are one longer */
    assert_int_equal(reply(i)->bytes,
                     strlen("te=trailers\ncontent-type=application/grpc\n") + 6 * 5 + 6 * 8 + 2);
    close_both();
}

/* What was asked first is answered last. */
static void test_answers_in_any_order(void **state) {
    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    unsigned held = ask("GET", "/hold", SLICE(""));
    unsigned quick = ask("GET", "/echo", SLICE(""));
    client_wait_closed(client, 1);
    assert_true(reply(quick)->closed && !reply(held)->closed);
    ask("GET", "/release", SLICE(""));
    client_wait_closed(client, 3);
    expect_body(held, "held");
    close_both();
}

static void test_a_hundred_at_once(void **state) {
    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    for (unsigned i = 0; i < 1000; i++) {
        char text[16];
        int len = snprintf(text, sizeof(text), "%u", i);

        (void)ask("POST", "/echo", slice_of(text, (size_t)len)); /* nghttp2 keeps to streams_max */
    }
    client_wait_closed(client, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(reply(i)->http, 200);
        assert_int_equal(atoi((const char *)reply(i)->first + strlen("POST /echo ")), i);
    }
    close_both();
    assert_int_equal(http.by_status[200], 1000);
}

static void test_large_bodies_through_small_windows(void **state) {
    size_t bytes = 1u << 20;
    char *large = calloc(1, bytes);

    (void)state;
    open_both(&HTTP_FIXTURE_CONF, 1000);
    unsigned up = ask("POST", "/large", slice_of(large, bytes));
    unsigned down = ask("GET", "/bytes?1000000", SLICE(""));
    client_wait_closed(client, 2);
    assert_int_equal(reply(up)->http, 200);
    assert_int_equal(reply(up)->bytes, bytes + strlen("POST /large "));
    assert_int_equal(reply(down)->bytes, 1000000);
    free(large);
    close_both();
}

static void test_continue(void **state) {
    struct field expects[] = {{"expect", "100-continue"}, {NULL, NULL}};

    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    unsigned i = client_request(client, "/echo", expects, SLICE("x"), true);
    client_wait_closed(client, 1);
    assert_int_equal(reply(i)->interim, 1);
    assert_int_equal(reply(i)->http, 200);
    unsigned no = client_request(client, "/refuse", expects, SLICE("x"), true);
    client_wait_closed(client, 2);
    assert_int_equal(reply(no)->interim, 0);
    assert_int_equal(reply(no)->http, 405);
    close_both();
}

static void test_dribbled_input(void **state) {
    const uint8_t *bytes;
    ssize_t len;

    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    client = calloc(1, sizeof(*client));
    client_free(client_new(&http.base, WINDOW)); /* a connection that only says hello */
    free(client);
    client = client_new(&http.base, WINDOW);
    unsigned i = ask("POST", "/echo", SLICE("slowly but surely"));
    while ((len = nghttp2_session_mem_send(client->session, &bytes)) > 0)
        for (ssize_t k = 0; k < len; k++)
            assert_true(raw_write(client->fd, bytes + k, 1));
    client_wait_closed(client, 1);
    expect_body(i, "POST /echo slowly but surely");
    close_both();
    assert_int_equal(http.floods, 0);
}

/* ---- refusals ------------------------------------------------------------ */

static char long_text[9000];

static const struct {
    const char *name;
    const char *path;
    struct field field;
    size_t body;
    int status; /* 0: the stream is reset as malformed */
    const char *want;
} refusals[] = {
    {"the largest body", "/bytes?1", {NULL, NULL}, 65536, 200, "b"},
    {"a body too large", "/echo", {NULL, NULL}, 65537, 413, "the body is too large"},
    {"announced too large",
     "/echo",
     {"content-length", "65537"},
     65537,
     413,
     "the body is too large"},
    {"not what was announced", "/echo", {"content-length", "5"}, 4, 0, NULL},
    {"a length that is none", "/echo", {"content-length", "x"}, 4, 0, NULL},
    {"a long target", NULL, {NULL, NULL}, 0, 414, "the request line is too long"},
    {"a large field", "/echo", {"x-large", long_text}, 0, 431, "the header fields are too large"},
    {"refused by its head", "/refuse", {NULL, NULL}, 10, 405, NULL},
    {"another expectation", "/echo", {"expect", "200-ok"}, 0, 417, NULL},
    {"two hosts", "/echo", {"host", "other"}, 0, 400, "Host differs from :authority"},
    {"a user in it", "/echo", {":authority", "a@b"}, 0, 400, "the :authority is malformed"},
    {"a connection field", "/echo", {"connection", "close"}, 0, 0, NULL},
    {"a control character", "/echo", {"idempotency-key", "a\1b"}, 0, 0, NULL},
    {"a space behind it", "/echo", {"idempotency-key", "ab "}, 0, 0, NULL},
    {"a target without slash", "echo", {NULL, NULL}, 0, 0, NULL},
};

static void test_refusals(void **state) {
    static char body[65537];

    (void)state;
    memset(long_text, 'l', sizeof(long_text) - 1);
    long_text[0] = '/';
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    for (unsigned row = 0; row < ARRAY_LEN(refusals); row++) {
        struct field fields[] = {refusals[row].field, {NULL, NULL}};
        const char *path = refusals[row].path ? refusals[row].path : long_text;
        unsigned i = client_request(client, path, fields, slice_of(body, refusals[row].body), true);

        client_wait_closed(client, row + 1);
        if (reply(i)->http != refusals[row].status)
            fail_msg("%s: %d, reset %u", refusals[row].name, reply(i)->http, reply(i)->reset);
        if (reply(i)->http == 0 && reply(i)->reset != NGHTTP2_PROTOCOL_ERROR)
            fail_msg("%s: reset with %u", refusals[row].name, reply(i)->reset);
        if (refusals[row].want)
            expect_body(i, refusals[row].want);
    }
    close_both();
    assert_int_equal(http.floods, 0);
}

static void test_too_many_fields(void **state) {
    struct field fields[22] = {{NULL, NULL}};
    char names[21][8];

    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    for (unsigned n = 0; n < 19; n++) { /* beside te and content-type */
        (void)snprintf(names[n], sizeof(names[n]), "x-%u", n);
        fields[n] = (struct field){names[n], "v"};
        unsigned i = client_request(client, "/echo", fields, SLICE(""), true);
        client_wait_closed(client, n + 1);
        assert_int_equal(reply(i)->http, n + 3 <= 20 ? 200 : 431);
    }
    close_both();
}

/* A body that doesn't end gets its 408 on its own stream; another isn't disturbed. */
static void test_a_slow_body(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;

    (void)state;
    conf.body_ms = 100;
    open_both(&conf, WINDOW);
    unsigned slow = client_request(client, "/echo", NULL, SLICE("half"), false);
    unsigned held = ask("GET", "/hold", SLICE(""));
    client_wait_closed(client, 1);
    assert_int_equal(reply(slow)->http, 408);
    assert_int_equal(reply(slow)->reset, NGHTTP2_NO_ERROR);
    (void)ask("GET", "/release", SLICE(""));
    client_wait_closed(client, 3);
    assert_int_equal(reply(held)->http, 200);
    close_both();
}

/* A header block that doesn't end ends its connection: nothing else can come on it. */
static void test_a_slow_head(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;
    struct buf out = {0};
    char bytes[512];
    ssize_t n, all = 0;

    (void)state;
    conf.header_ms = 100;
    http_start(&http, &conf);
    int fd = raw_connect(&http.base);
    h2_add_preface(&out);
    h2_add_frame(&out, NGHTTP2_HEADERS, 0, 1, SLICE(H2_REQUEST_HEAD));
    assert_true(raw_write(fd, out.ptr, out.len));
    while ((n = recv(fd, bytes + all, sizeof(bytes) - (size_t)all, 0)) > 0)
        all += n;
    assert_non_null(memmem(bytes, (size_t)all, "a header block without an end", 29));
    buf_release(&out);
    close(fd);
    http_stop(&http);
    assert_int_equal(http.floods, 1);
}

/* ---- which protocol ------------------------------------------------------ */

#define TEXT(...)                                                                                  \
    { __VA_ARGS__, sizeof(__VA_ARGS__) - 1 }

/* Each is sent in two pieces, cut at every place; the answer begins like this. */
static void test_what_is_spoken(void **state) {
    static const struct {
        const char *name;
        struct slice bytes;
        struct slice want;
    } rows[] = {
        {"HTTP/1",
         TEXT("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"),
         TEXT("HTTP/1.1 200 OK\r\n")},
        {"a method like the preface's", TEXT("PRI /echo HTTP/1.1\r\nHost: t\r\n\r\n"),
         TEXT("HTTP/1.1 400 ")},
        {"the preface with another end", TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"),
         TEXT("HTTP/1.1 505 ")},
        {"the preface", TEXT(NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0"),
         TEXT("\0\0\22\4\0\0\0\0\0")},
        {"HTTP/2 by Upgrade, which is ignored",
         {"GET /echo HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
          "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
          115},
         TEXT("HTTP/1.1 200 OK\r\n")},
    };

    (void)state;
    http_start(&http, &HTTP_FIXTURE_CONF);
    for (size_t row = 0; row < ARRAY_LEN(rows); row++)
        for (size_t cut = 0; cut < 24; cut++) {
            int fd = raw_connect(&http.base);
            char got[64];
            size_t len = 0;
            ssize_t n;

            assert_true(raw_write(fd, rows[row].bytes.ptr, cut));
            (void)raw_write(fd, rows[row].bytes.ptr + cut, rows[row].bytes.len - cut);
            shutdown(fd, SHUT_WR);
            while (len < rows[row].want.len && (n = recv(fd, got + len, sizeof(got) - len, 0)) > 0)
                len += (size_t)n;
            if (len < rows[row].want.len || memcmp(got, rows[row].want.ptr, rows[row].want.len))
                fail_msg("%s, cut at %zu: \"%.*s\"", rows[row].name, cut, (int)len, got);
            close(fd);
        }
    http_stop(&http);
    assert_int_equal(http.floods, 0);
}

static void test_half_a_preface(void **state) {
    static const struct {
        const char *bytes;
        bool ends; /* by the peer; else by time */
        const char *want;
    } rows[] = {
        {"P", false, "HTTP/1.1 408 "},
        {"PRI * HTTP/2.0\r\n\r\nSM", false, "HTTP/1.1 505 "},
        {"PR", true, "HTTP/1.1 400 "},
        {"", false, ""},
        {"", true, ""},
        {"INVALID CONNECTION PREFACE\r\n\r\n", false, ""}, /* h2spec 3.5.2 */
        {"GET / PREFACE\r\n\r\n", false, "HTTP/1.1 400 "},
    };
    struct http_server_conf conf = HTTP_FIXTURE_CONF;

    (void)state;
    conf.header_ms = 100;
    conf.idle_ms = 200;
    http_start(&http, &conf);
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        int fd = raw_connect(&http.base);
        char got[2048 + 1];
        size_t len = 0;
        ssize_t n;

        assert_true(raw_write(fd, rows[row].bytes, strlen(rows[row].bytes)));
        if (rows[row].ends)
            shutdown(fd, SHUT_WR);
        while ((n = recv(fd, got + len, sizeof(got) - 1 - len, 0)) > 0)
            len += (size_t)n;
        got[len] = '\0';
        if (n < 0 || strncmp(got, rows[row].want, strlen(rows[row].want)) != 0 ||
            (len == 0) != (rows[row].want[0] == '\0'))
            fail_msg("row %zu: \"%s\", %zd", row, got, n);
        close(fd);
    }
    http_stop(&http);
}

/* ---- ends ---------------------------------------------------------------- */

/* What is under way is answered, whatever comes behind the first GOAWAY too. */
static void test_drain(void **state) {
    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    unsigned half = client_request(client, "/echo", NULL, SLICE("half"), false);
    client_flush(client);
    unsigned first = ask("GET", "/echo", SLICE(""));
    client_wait_closed(client, 1);
    http_drain(&http);
    client_wait_goaways(client, 2);
    assert_int_equal(client->goaway_last[0], INT32_MAX);
    assert_int_equal(client->goaway_last[1], (int)(2 * first + 1));
    assert_int_equal(client->goaway_code, NGHTTP2_NO_ERROR);
    assert_false(client->end);
    buf_add_slice(&client->bodies[half], SLICE(" and half"));
    nghttp2_session_resume_data(client->session, (int32_t)(2 * half + 1));
    client_flush(client);
    nghttp2_submit_trailer(client->session, (int32_t)(2 * half + 1), NULL, 0);
    client_wait_bytes(client, half, strlen("POST /echo half and half"));
    expect_body(half, "POST /echo half and half");
    client_wait_end(client);
    close_both();
    assert_int_equal(http.by_status[200], 2);
}

/* The client resets what the application still works on: its answer is heard by nobody. */
static void test_reset_while_held(void **state) {
    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    for (unsigned round = 0; round < 5; round++) {
        unsigned held = ask("GET", "/hold", SLICE(""));
        client_flush(client);
        nghttp2_submit_rst_stream(client->session, 0, (int32_t)(2 * held + 1), NGHTTP2_CANCEL);
    }
    (void)ask("GET", "/release", SLICE(""));
    client_wait_closed(client, 6);
    close_both();
    assert_int_equal(http.by_status[200], 6);
}

static void test_gone_while_held(void **state) {
    (void)state;
    open_both(&HTTP_FIXTURE_CONF, WINDOW);
    (void)ask("GET", "/hold", SLICE(""));
    unsigned seen = ask("GET", "/echo", SLICE(""));
    client_wait_closed(client, 1);
    assert_int_equal(reply(seen)->http, 200);
    client_free(client);
    http_stop(&http);
    assert_int_equal(http.by_status[200], 2);
}

/* Resets free a stream's place, not the work: beyond streams_max of it new ones are refused. */
static void test_work_of_reset_streams_is_bounded(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;
    unsigned refused = 0;

    (void)state;
    conf.streams_max = 10;
    open_both(&conf, WINDOW);
    for (unsigned round = 0; round < 30; round++) {
        unsigned held = ask("GET", "/hold", SLICE(""));
        client_flush(client);
        nghttp2_submit_rst_stream(client->session, 0, (int32_t)(2 * held + 1), NGHTTP2_CANCEL);
        client_flush(client);
    }
    unsigned last = ask("GET", "/echo", SLICE(""));
    client_wait_closed(client, 31);
    refused = reply(last)->reset == NGHTTP2_REFUSED_STREAM;
    close_both();
    assert_int_equal(refused, 1);
    assert_int_equal(http.by_status[200], 10);
}

static void test_idle_connections_end(void **state) {
    struct http_server_conf conf = HTTP_FIXTURE_CONF;

    (void)state;
    conf.idle_ms = 100;
    open_both(&conf, WINDOW);
    (void)ask("GET", "/echo", SLICE(""));
    client_wait_closed(client, 1);
    client_wait_end(client);
    assert_int_equal(client->goaway_code, NGHTTP2_NO_ERROR);
    close_both();
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_the_fields_of_a_response),
        cmocka_unit_test(test_the_fields_of_a_request),
        cmocka_unit_test(test_answers_in_any_order),
        cmocka_unit_test(test_a_hundred_at_once),
        cmocka_unit_test(test_large_bodies_through_small_windows),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_dribbled_input),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_fields),
        cmocka_unit_test(test_a_slow_body),
        cmocka_unit_test(test_a_slow_head),
        cmocka_unit_test(test_what_is_spoken),
        cmocka_unit_test(test_half_a_preface),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_reset_while_held),
        cmocka_unit_test(test_gone_while_held),
        cmocka_unit_test(test_work_of_reset_streams_is_bounded),
        cmocka_unit_test(test_idle_connections_end),
    };

    return cmocka_run_group_tests_name("edge/http_h2", tests, NULL, NULL);
}

int main(void) {
    return fixture_run("edge/http_h2", group);
}
