/* test_http1_limits.c - each limit one below, at it and one above, whole and in
 * pieces, and also while the line that breaks it has no end yet. */
#include <stdlib.h>
#include <string.h>

#include "http1_check.h"

static const struct http1_limits small = {
    .line_bytes = 40, .header_bytes = 60, .header_count = 4, .body_bytes = 8};

/* "before", 'n' times 'fill', "behind". */
static struct buf text_of(const char *before, char fill, size_t n, const char *behind) {
    struct buf text = {0};

    buf_add_str(&text, before);
    for (size_t i = 0; i < n; i++)
        buf_add_char(&text, fill);
    buf_add_str(&text, behind);
    assert_false(buf_failed(&text));
    return text;
}

/* clang-format off */
static const struct {
    const char *name;
    const char *before;
    char fill;
    size_t fills;
    const char *behind;
    enum err want;
    size_t requests;
} rows[] = {
    /* "GET /" and " HTTP/1.1" have 14 bytes of the 40. */
    {"line below its limit",  "GET /", 'a', 25, " HTTP/1.1\r\n" HOST "\r\n", ERR_OK, 1},
    {"line at its limit",     "GET /", 'a', 26, " HTTP/1.1\r\n" HOST "\r\n", ERR_OK, 1},
    {"line above its limit",  "GET /", 'a', 27, " HTTP/1.1\r\n" HOST "\r\n", ERR_URI_TOO_LONG, 0},
    {"line at its limit, no end",    "GET /", 'a', 35, "", ERR_OK, 0},
    {"line above its limit, no end", "GET /", 'a', 36, "", ERR_URI_TOO_LONG, 0},
    {"a method without end",         "", 'A', 41, "", ERR_URI_TOO_LONG, 0},
    {"a bad byte before the limit",  "GET /", 'a', 34, "\x01", ERR_INVALID, 0},
    {"a bad byte behind the limit",  "GET /", 'a', 36, "\x01", ERR_URI_TOO_LONG, 0},
    /* "Host: h\r\n" and "X: \r\n" have 14 bytes of the 60. */
    {"fields below their limit",     GET "X: ", 'a', 45, "\r\n\r\n", ERR_OK, 1},
    {"fields at their limit",        GET "X: ", 'a', 46, "\r\n\r\n", ERR_OK, 1},
    {"fields above their limit",     GET "X: ", 'a', 47, "\r\n\r\n", ERR_HEADERS, 0},
    {"fields at their limit, no end",    GET "X: ", 'a', 48, "", ERR_OK, 0},
    {"fields above their limit, no end", GET "X: ", 'a', 49, "", ERR_HEADERS, 0},
    {"a name without end",           GET "", 'a', 52, "", ERR_HEADERS, 0},
    {"fields below their count",     GET "a:\r\nb:\r\n", ' ', 0, "\r\n", ERR_OK, 1},
    {"fields at their count",        GET "a:\r\nb:\r\nc:\r\n", ' ', 0, "\r\n", ERR_OK, 1},
    {"fields above their count",     GET "a:\r\nb:\r\nc:\r\nd:\r\n", ' ', 0, "\r\n", ERR_HEADERS, 0},
    {"too many fields, no end",      GET "a:\r\nb:\r\nc:\r\nd", ' ', 0, "", ERR_HEADERS, 0},
    {"body below its limit",  POST "Content-Length: 7\r\n\r\n", 'b', 7, "", ERR_OK, 1},
    {"body at its limit",     POST "Content-Length: 8\r\n\r\n", 'b', 8, "", ERR_OK, 1},
    {"body above its limit",  POST "Content-Length: 9\r\n\r\n", 'b', 9, "", ERR_TOO_LARGE, 0},
    {"body above its limit by word only", POST "Content-Length: 9\r\n\r\n", 'b', 1, "",
        ERR_TOO_LARGE, 0},
    {"a huge body", POST "Content-Length: 100000000000000000\r\n\r\n", 'b', 1, "",
        ERR_TOO_LARGE, 0},
    {"chunks below their limit", CHUNKED "3\r\nabc\r\n4\r\nabcd\r\n0\r\n\r\n", ' ', 0, "", ERR_OK, 1},
    {"chunks at their limit",    CHUNKED "4\r\nabcd\r\n4\r\nabcd\r\n0\r\n\r\n", ' ', 0, "", ERR_OK, 1},
    {"chunks above their limit", CHUNKED "4\r\nabcd\r\n5\r\n", ' ', 0, "", ERR_TOO_LARGE, 0},
    {"a huge chunk",             CHUNKED "FFFFFFFFFFFFFFF\r\n", ' ', 0, "", ERR_TOO_LARGE, 0},
    /* Host and Transfer-Encoding have 37 bytes of the 60. */
    {"trailers below the fields' limit", CHUNKED "0\r\nX: ", 'a', 17, "\r\n\r\n", ERR_OK, 1},
    {"trailers at the fields' limit",    CHUNKED "0\r\nX: ", 'a', 18, "\r\n\r\n", ERR_OK, 1},
    {"trailers above the fields' limit", CHUNKED "0\r\nX: ", 'a', 19, "\r\n\r\n", ERR_HEADERS, 0},
    {"trailers at the fields' count",    CHUNKED "0\r\na:\r\nb:\r\n\r\n", ' ', 0, "", ERR_OK, 1},
    {"trailers above the fields' count", CHUNKED "0\r\na:\r\nb:\r\nc:\r\n\r\n", ' ', 0, "",
        ERR_HEADERS, 0},
    /* 1,024 bytes of extensions for one body, CR and ';' of their lines counted in. */
    {"extensions at their limit",    CHUNKED "0;", 'a', 1023, "\r\n\r\n", ERR_OK, 1},
    {"extensions above their limit", CHUNKED "0;", 'a', 1024, "\r\n\r\n", ERR_INVALID, 0},
    {"extensions add up", CHUNKED "1;abc\r\nx\r\n0;", 'a', 1020, "\r\n\r\n", ERR_INVALID, 0},
    {"fifteen digits",  CHUNKED "", '0', 14, "1\r\nx\r\n0\r\n\r\n", ERR_OK, 1},
    {"sixteen digits",  CHUNKED "", '0', 15, "1\r\nx\r\n0\r\n\r\n", ERR_INVALID, 0},
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf text = text_of(rows[i].before, rows[i].fill, rows[i].fills, rows[i].behind);

        check_row(rows[i].name, &small, buf_slice(&text), rows[i].want, rows[i].requests);
        buf_release(&text);
    }
}

static void add_fields(struct buf *text, size_t count) {
    for (size_t i = 0; i < count; i++)
        buf_printf(text, "X-H-%zu: value\r\n", i);
}

/* With the limits of the product (RELIABILITY 4): Host and 99 more are 100. */
static void test_many_fields(void **state) {
    (void)state;
    static const struct {
        size_t count;
        enum err want;
    } cases[] = {{98, ERR_OK}, {99, ERR_OK}, {100, ERR_HEADERS}, {10000, ERR_HEADERS}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf text = {0};

        buf_add_str(&text, GET);
        add_fields(&text, cases[i].count);
        buf_add_str(&text, "\r\n");
        struct transcript got = transcript_of(&usual, buf_slice(&text), NULL, 0);
        assert_int_equal(got.problem, cases[i].want);
        assert_int_equal(got.requests, cases[i].want == ERR_OK);
        buf_release(&got.text);
        buf_release(&text);
    }
}

/* COMP-LONG-URL-OK, MAL-LONG-URL, MAL-LONG-METHOD, MAL-LONG-HEADER-NAME,
 * MAL-LONG-HEADER-VALUE and MAL-CHUNK-EXT-64K of Http11Probe. */
static void test_long_parts(void **state) {
    (void)state;
    static const struct {
        const char *before;
        size_t fills;
        const char *behind;
        enum err want;
    } cases[] = {
        {"GET /", 7900, " HTTP/1.1\r\n" HOST "\r\n", ERR_OK},
        {"GET /", 100000, " HTTP/1.1\r\n" HOST "\r\n", ERR_URI_TOO_LONG},
        {"", 100000, " / HTTP/1.1\r\n" HOST "\r\n", ERR_URI_TOO_LONG},
        {GET, 100000, ": value\r\n\r\n", ERR_HEADERS},
        {GET "X-Big: ", 100000, "\r\n\r\n", ERR_HEADERS},
        {CHUNKED "5;ext=", 65536, "\r\nhello\r\n0\r\n\r\n", ERR_INVALID},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf text = text_of(cases[i].before, 'A', cases[i].fills, cases[i].behind);
        struct transcript got = transcript_of(&usual, buf_slice(&text), NULL, 0);

        assert_int_equal(got.problem, cases[i].want);
        assert_int_equal(got.requests, cases[i].want == ERR_OK);
        buf_release(&got.text);
        buf_release(&text);
    }
}

/* The server widens the limit for the batch endpoints, for one request. */
static void test_limit_for_one_request(void **state) {
    (void)state;
    struct http1_parser *parser = http1_new(&small);
    struct slice in = SLICE(POST "Content-Length: 9\r\n\r\nninebytes");
    const char *detail;
    size_t used;

    assert_int_equal(http1_parse(parser, in, &used), HTTP1_HEAD);
    http1_limit_body(parser, 9);
    assert_int_equal(http1_parse(parser, slice_skip(in, used), &used), HTTP1_REQUEST);
    assert_true(slice_eq(http1_request(parser)->body, SLICE("ninebytes")));
    http1_next(parser);
    assert_int_equal(http1_parse(parser, in, &used), HTTP1_HEAD);
    assert_int_equal(http1_parse(parser, slice_skip(in, used), &used), HTTP1_ERROR);
    assert_int_equal(http1_problem(parser, &detail), ERR_TOO_LARGE);
    /* Broken stays broken. */
    assert_int_equal(http1_parse(parser, in, &used), HTTP1_ERROR);
    assert_int_equal(used, 0);
    http1_free(parser);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_long_parts),
        cmocka_unit_test(test_limit_for_one_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
