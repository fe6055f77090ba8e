/* test_http1.c - what an accepted request says, and what the parser keeps. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "http1_check.h"

/* clang-format off */
static const struct {
    const char *name;
    const char *in;
    enum http_method method;
    const char *path;
    const char *query; /* NULL: none */
    const char *body;  /* NULL: none announced */
} said[] = {
    {"GET",      GET "\r\n",                               HTTP_GET,     "/", NULL, NULL},
    {"HEAD",     "HEAD /a HTTP/1.1\r\n" HOST "\r\n",       HTTP_HEAD,    "/a", NULL, NULL},
    {"POST",     POST "Content-Length: 2\r\n\r\nhi",       HTTP_POST,    "/", NULL, "hi"},
    {"PUT",      "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", HTTP_PUT, "/a", NULL, ""},
    {"DELETE",   "DELETE /a HTTP/1.1\r\n" HOST "\r\n",     HTTP_DELETE,  "/a", NULL, NULL},
    {"OPTIONS",  "OPTIONS /a HTTP/1.1\r\n" HOST "\r\n",    HTTP_OPTIONS, "/a", NULL, NULL},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",    HTTP_OPTIONS, "*", NULL, NULL},
    {"PATCH",    "PATCH /a HTTP/1.1\r\n" HOST "\r\n",      HTTP_OTHER_METHOD, "/a", NULL, NULL},
    {"TRACE",    "TRACE /a HTTP/1.1\r\n" HOST "\r\n",      HTTP_OTHER_METHOD, "/a", NULL, NULL},
    {"CONNECT",  "CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n",   HTTP_OTHER_METHOD, "h:1", NULL, NULL},
    {"a query",  "GET /a?b=c&d?e HTTP/1.1\r\n" HOST "\r\n", HTTP_GET,    "/a", "b=c&d?e", NULL},
    {"an empty query", "GET /a? HTTP/1.1\r\n" HOST "\r\n", HTTP_GET,     "/a", "", NULL},
    {"empty parts", "GET //a// HTTP/1.1\r\n" HOST "\r\n",  HTTP_GET,     "//a//", NULL, NULL},
    {"escapes stay", "GET /a%2Fb/c%00 HTTP/1.1\r\n" HOST "\r\n", HTTP_GET, "/a%2Fb/c%00", NULL, NULL},
    {"absolute", "GET http://h/a?b HTTP/1.1\r\n" HOST "\r\n", HTTP_GET,  "/a", "b", NULL},
    {"absolute in capitals", "GET HTTPS://H/a HTTP/1.1\r\n" HOST "\r\n", HTTP_GET, "/a", NULL, NULL},
    {"absolute without a path", "GET http://h HTTP/1.1\r\n" HOST "\r\n", HTTP_GET, "/", NULL, NULL},
    {"absolute with a query only", "GET http://h?b HTTP/1.1\r\n" HOST "\r\n", HTTP_GET, "/", "b", NULL},
    {"absolute with a body", "POST http://h HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi",
        HTTP_POST, "/", NULL, "hi"},
    {"absolute in HTTP/1.0", "GET http://h/a HTTP/1.0\r\n\r\n", HTTP_GET, "/a", NULL, NULL},
    {"chunks",   CHUNKED "2\r\nhi\r\n6\r\n there\r\n0\r\n\r\n", HTTP_POST, "/", NULL, "hi there"},
    {"no chunks", CHUNKED "0\r\n\r\n",                     HTTP_POST,    "/", NULL, ""},
    {"CRLF as data", CHUNKED "4\r\n\r\n\r\n\r\n0\r\n\r\n", HTTP_POST,    "/", NULL, "\r\n\r\n"},
};
/* clang-format on */

static bool same(struct slice got, const char *want) {
    return want ? got.ptr && slice_eq(got, slice_str(want)) : !got.ptr && got.len == 0;
}

/* To the end of one request. */
static const struct http1_request *read_one(struct http1_parser *parser, struct slice in) {
    size_t used;

    assert_int_equal(http1_parse(parser, in, &used), HTTP1_HEAD);
    assert_int_equal(http1_parse(parser, slice_skip(in, used), &used), HTTP1_REQUEST);
    return http1_request(parser);
}

/* clang-format off */
static const struct {
    const char *in;
    bool foreign;
} first_lines[] = {
    {"INVALID CONNECTION PREFACE\r\n", true},
    {"\r\nHELO mail example\r\n",      true},
    {"GET / PREFACE\r\n",              false},
    {"BREW / HTTP/1.2\r\n",            false},
    {"BREW / HTTP/!\r\n",              false},
    {"BREW /\r\n",                     false},
    {"GET / HTTP/1.1\r\nA B C\r\n",   false},
};
/* clang-format on */

/* Whole, and cut at every byte. */
static void test_foreign(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(first_lines); row++)
        for (size_t cut = 0; cut < strlen(first_lines[row].in); cut++) {
            struct http1_parser *parser = http1_new(&usual);
            struct slice in = slice_str(first_lines[row].in);
            size_t used;

            if (http1_parse(parser, slice_of(in.ptr, cut), &used) == HTTP1_MORE)
                (void)http1_parse(parser, slice_skip(in, cut), &used);
            if (http1_foreign(parser) != first_lines[row].foreign)
                fail_msg("%s, cut at %zu", first_lines[row].in, cut);
            http1_free(parser);
        }
}

static void test_said(void **state) {
    (void)state;
    struct http1_parser *parser = http1_new(&usual);

    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        struct slice in = slice_str(said[i].in);
        const struct http1_request *request = read_one(parser, in);
        struct slice body = request->body;

        if (request->method != said[i].method || !same(request->path, said[i].path) ||
            !same(request->query, said[i].query) || !same(body, said[i].body) ||
            request->has_body != (said[i].body != NULL))
            fail_msg("%s: method %d, path %.*s, query %.*s, body %.*s", said[i].name,
                     (int)request->method, SLICE_ARGS(request->path), SLICE_ARGS(request->query),
                     SLICE_ARGS(body));
        http1_next(parser);
        check_row(said[i].name, &usual, in, ERR_OK, 1);
    }
    http1_free(parser);
}

static void test_headers(void **state) {
    (void)state;
    struct http1_parser *parser = http1_new(&usual);
    struct slice in =
        SLICE("GET / HTTP/1.1\r\nHost: h\r\nX-A:  one \t\r\nX-B:\r\nx-a: two\r\n\r\n");
    const struct http1_request *request = read_one(parser, in);

    assert_int_equal(request->header_count, 4);
    assert_true(same(http1_header(request, SLICE("X-a")), "one"));
    assert_true(same(http1_header(request, SLICE("X-B")), ""));
    assert_true(same(http1_header(request, SLICE("X-C")), NULL));
    assert_true(same(request->headers[3].name, "x-a"));
    assert_true(same(request->headers[3].value, "two"));
    http1_free(parser);
}

/* What is told apart by a name's class before anything is compared. */
static void test_header_classes(void **state) {
    (void)state;
    struct http1_parser *parser = http1_new(&usual);
    struct slice in = SLICE("GET / HTTP/1.1\r\nhOST: h\r\naccept: one\r\n\r\n");
    const struct http1_request *request = read_one(parser, in);

    assert_true(same(http1_header(request, SLICE("Host")), "h"));
    assert_true(same(http1_header(request, SLICE("ACCEPT")), "one"));
    assert_true(http1_name_bit(SLICE("Actual")) == http1_name_bit(SLICE("accept")));
    assert_true(same(http1_header(request, SLICE("Actual")), NULL));
    assert_true(same(http1_header(request, SLICE("")), NULL));
    struct http1_request unknown = *request;
    unknown.absent = 0; /* of requests that somebody else has put together */
    assert_true(same(http1_header(&unknown, SLICE("Accept")), "one"));
    assert_true(same(http1_header(&unknown, SLICE("Cookie")), NULL));
    http1_free(parser);
}

/* clang-format off */
static const struct {
    const char *version;
    const char *headers;
    bool keep_alive;
} keeps[] = {
    {"1.1", "",                                        true},
    {"1.1", "Connection: keep-alive\r\n",              true},
    {"1.1", "Connection: close\r\n",                   false},
    {"1.1", "Connection: Close\r\n",                   false},
    {"1.1", "connection: foo,\tclose ,bar\r\n",        false},
    {"1.1", "Connection: foo\r\nConnection: close\r\n", false},
    {"1.1", "Connection: close, keep-alive\r\n",       false},
    {"1.1", "Connection: closed\r\n",                  true},
    {"1.1", "Connection: no close\r\n",                true},
    {"1.1", "Connection:\r\n",                         true},
    {"1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n", true},
    {"1.1", "Proxy-Connection: close\r\n",             true},
    {"1.0", "",                                        false},
    {"1.0", "Connection: close\r\n",                   false},
    {"1.0", "Connection: keep-alive\r\n",              true},
    {"1.0", "Connection: Keep-Alive\r\n",              true},
    {"1.0", "Connection: keep-alive, close\r\n",       false},
    {"1.0", "Connection: close, keep-alive\r\n",       false},
    {"1.0", "Connection: foo\r\n",                     false},
};

static const struct {
    const char *name;
    const char *in;
    bool expects; /* at HTTP1_HEAD, with nothing of the body here */
    bool failed;
} expects[] = {
    {"a length",    POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", true, false},
    {"chunks",      POST "Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n", true, false},
    {"none",        POST "Content-Length: 5\r\n\r\n", false, false},
    {"no body",     GET "Expect: 100-continue\r\n\r\n", false, false},
    {"length 0",    POST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n", false, false},
    {"HTTP/1.0",    "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", false, false},
    {"the body is on its way", POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nh", false, false},
    {"something else", POST "Content-Length: 5\r\nExpect: 200-ok\r\n\r\n", false, true},
    {"both",        POST "Content-Length: 5\r\nExpect: 100-continue\r\nExpect: a\r\n\r\n", true, true},
    {"something else in HTTP/1.0", "GET / HTTP/1.0\r\nExpect: 200-ok\r\n\r\n", false, false},
};
/* clang-format on */

static void test_keep_alive(void **state) {
    (void)state;
    struct http1_parser *parser = http1_new(&usual);

    for (size_t i = 0; i < ARRAY_LEN(keeps); i++) {
        struct buf text = {0};

        buf_printf(&text, "GET / HTTP/%s\r\n" HOST "%s\r\n", keeps[i].version, keeps[i].headers);
        if (read_one(parser, buf_slice(&text))->keep_alive != keeps[i].keep_alive)
            fail_msg("HTTP/%s, %s", keeps[i].version, keeps[i].headers);
        http1_next(parser);
        buf_release(&text);
    }
    /* A refused tunnel's client may go on in another protocol. */
    assert_false(read_one(parser, SLICE("CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n"))->keep_alive);
    http1_free(parser);
}

static void test_expect(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(expects); i++) {
        struct http1_parser *parser = http1_new(&usual);
        size_t used;

        assert_int_equal(http1_parse(parser, slice_str(expects[i].in), &used), HTTP1_HEAD);
        const struct http1_request *request = http1_request(parser);
        if (request->expects_continue != expects[i].expects ||
            request->expectation_failed != expects[i].failed)
            fail_msg("%s", expects[i].name);
        /* Nobody is to send the 100 twice. */
        (void)http1_parse(parser, SLICE(""), &used);
        assert_false(request->expects_continue);
        http1_free(parser);
    }
}

/* Seven requests of all kinds in one input, each with the right body. */
static void test_pipeline(void **state) {
    (void)state;
    struct slice in = SLICE(GET "\r\n" POST "Content-Length: 5\r\n\r\nfirst" CHUNKED
                                "6\r\nsecond\r\n0\r\nA: b\r\n\r\n"
                                "\r\n" POST "Content-Length: 0\r\n\r\n" GET
                                "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" POST
                                "Content-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"
                                "HEAD / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    struct transcript got = check_cuts("pipeline", &usual, in);
    const char *text = got.text.ptr;

    assert_int_equal(got.requests, 7);
    assert_int_equal(got.problem, ERR_OK);
    assert_true(got.idle);
    buf_add_char(&got.text, '\0');
    assert_non_null(strstr(text = got.text.ptr, "body=first\n"));
    assert_non_null(strstr(text, "body=second\n"));
    assert_non_null(strstr(text, "body=GET / HTTP/1.1\r\nHost: h\r\n\r\n\n"));
    buf_release(&got.text);
}

static void test_idle(void **state) {
    (void)state;
    struct http1_parser *parser = http1_new(&usual);
    size_t used;

    assert_true(http1_idle(parser));
    assert_int_equal(http1_parse(parser, SLICE("\r\n"), &used), HTTP1_MORE);
    assert_true(http1_idle(parser)); /* an empty line is nothing of a request */
    assert_int_equal(http1_parse(parser, SLICE("G"), &used), HTTP1_MORE);
    assert_false(http1_idle(parser));
    assert_int_equal(http1_parse(parser, SLICE("ET / HTTP/1.1\r\n" HOST "\r\n"), &used),
                     HTTP1_HEAD);
    assert_false(http1_idle(parser));
    assert_int_equal(http1_parse(parser, SLICE(""), &used), HTTP1_REQUEST);
    assert_false(http1_idle(parser));
    http1_next(parser);
    assert_true(http1_idle(parser));
    http1_free(parser);
}

/* A request that lies in one input isn't copied, with its body or without. */
static void test_in_place(void **state) {
    (void)state;
    struct http1_parser *parser = http1_new(&usual);
    struct slice in = SLICE("POST /a HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello");
    const struct http1_request *request = read_one(parser, in);

    assert_ptr_equal(request->path.ptr, in.ptr + strlen("POST "));
    assert_ptr_equal(request->headers[0].name.ptr, in.ptr + strlen("POST /a HTTP/1.1\r\n"));
    assert_ptr_equal(request->body.ptr, in.ptr + in.len - 5);
    http1_free(parser);
}

/* What connections that idle hold: less than 1 KiB each, whatever they sent. */
static void test_idle_memory(void **state) {
    (void)state;
    struct buf text = {0};
    size_t cut, used;

    buf_add_str(&text, POST "Content-Length: 30000\r\n");
    for (int i = 0; i < 98; i++)
        buf_printf(&text, "X-%d: some value that takes its place\r\n", i);
    buf_add_str(&text, "\r\n");
    cut = text.len / 2;
    for (int i = 0; i < 30000; i++)
        buf_add_char(&text, 'b');
    struct slice in = buf_slice(&text);
    struct mallinfo2 before = mallinfo2();
    struct http1_parser *parser = http1_new(&usual);

    assert_int_equal(http1_parse(parser, slice_of(in.ptr, cut), &used), HTTP1_MORE);
    in = slice_skip(in, cut);
    assert_int_equal(http1_parse(parser, in, &used), HTTP1_HEAD);
    in = slice_skip(in, used);
    assert_int_equal(http1_parse(parser, slice_of(in.ptr, 10), &used), HTTP1_MORE);
    assert_int_equal(http1_parse(parser, slice_skip(in, 10), &used), HTTP1_REQUEST);
    assert_int_equal(http1_request(parser)->header_count, 100);
    http1_next(parser);
    struct mallinfo2 after = mallinfo2();
    if (before.uordblks) /* a sanitizer's malloc doesn't count */
        assert_in_range(after.uordblks - before.uordblks, 1, 1023);
    http1_free(parser);
    buf_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign),     cmocka_unit_test(test_said),
        cmocka_unit_test(test_headers),     cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_expect),      cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_idle),        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_idle_memory), cmocka_unit_test(test_header_classes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
