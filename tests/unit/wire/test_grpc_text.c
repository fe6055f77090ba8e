/* test_grpc_text.c - grpc-message, grpc-timeout and "-bin" values; each rule a row. */
#include "test.h"

#include <inttypes.h>

#include "wire/grpc_text.h"

static const struct {
    const char *plain;
    const char *encoded;
} messages[] = {
    {"", ""},
    {"plain text, with ~ and !", "plain text, with ~ and !"},
    {"50%", "50%25"},
    {"line\nfeed", "line%0Afeed"},
    {"\xc3\xa9", "%C3%A9"},
    {"\x7f\x1f", "%7F%1F"},
};

static void test_percent(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        struct buf encoded = {0};
        struct buf back = {0};

        grpc_percent_encode(&encoded, slice_str(messages[i].plain));
        if (!slice_eq(buf_slice(&encoded), slice_str(messages[i].encoded)))
            fail_msg("row %zu: %.*s", i, SLICE_ARGS(buf_slice(&encoded)));
        grpc_percent_decode(&back, buf_slice(&encoded));
        if (!slice_eq(buf_slice(&back), slice_str(messages[i].plain)))
            fail_msg("row %zu comes back as %.*s", i, SLICE_ARGS(buf_slice(&back)));
        buf_release(&encoded);
        buf_release(&back);
    }
}

static const struct {
    const char *in;
    const char *want;
} broken[] = {
    {"%", "%"},     {"%4", "%4"},     {"%4g", "%4g"},
    {"%g4", "%g4"}, {"a%41%", "aA%"}, {"%c3%a9", "\xc3\xa9"},
};

static void test_percent_never_fails(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct buf out = {0};

        grpc_percent_decode(&out, slice_str(broken[i].in));
        if (!slice_eq(buf_slice(&out), slice_str(broken[i].want)))
            fail_msg("%s: %.*s", broken[i].in, SLICE_ARGS(buf_slice(&out)));
        buf_release(&out);
    }
}

static const struct {
    const char *in;
    enum err want;
    int64_t ms;
} timeouts[] = {
    {"100m", ERR_OK, 100},
    {"0m", ERR_OK, 0},
    {"1S", ERR_OK, 1000},
    {"2M", ERR_OK, 120000},
    {"1H", ERR_OK, 3600000},
    {"99999999H", ERR_OK, INT64_C(359999996400000)},
    {"1u", ERR_OK, 1},
    {"1000u", ERR_OK, 1},
    {"1001u", ERR_OK, 2},
    {"1n", ERR_OK, 1},
    {"99999999n", ERR_OK, 100},
    {"", ERR_INVALID, 0},
    {"m", ERR_INVALID, 0},
    {"5", ERR_INVALID, 0},
    {"5s", ERR_INVALID, 0},
    {"-5m", ERR_INVALID, 0},
    {"5.0m", ERR_INVALID, 0},
    {" 5m", ERR_INVALID, 0},
    {"123456789m", ERR_INVALID, 0},
};

static void test_timeout(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
        int64_t ms = 0;
        enum err got = grpc_timeout_parse(slice_str(timeouts[i].in), &ms);

        if (got != timeouts[i].want || ms != timeouts[i].ms)
            fail_msg("\"%s\": %s, %" PRId64 " ms", timeouts[i].in, err_name(got), ms);
    }
}

static const struct {
    int64_t ms;
    const char *want;
} written[] = {
    {0, "0m"},
    {1500, "1500m"},
    {99999999, "99999999m"},
    {100000000, "100000S"},
    {100000001, "100001S"},
    {INT64_C(99999999001), "1666667M"},
    {INT64_MAX, "99999999H"},
};

static void test_timeout_write(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(written); i++) {
        struct buf out = {0};

        grpc_timeout_write(&out, written[i].ms);
        if (!slice_eq(buf_slice(&out), slice_str(written[i].want)))
            fail_msg("%" PRId64 ": %.*s", written[i].ms, SLICE_ARGS(buf_slice(&out)));
        buf_release(&out);
    }
}

static const struct {
    const char *plain;
    size_t len;
    const char *encoded;
    const char *padded;
} base64[] = {
    {"", 0, "", ""},
    {"f", 1, "Zg", "Zg=="},
    {"fo", 2, "Zm8", "Zm8="},
    {"foo", 3, "Zm9v", "Zm9v"},
    {"foob", 4, "Zm9vYg", "Zm9vYg=="},
    {"\0\377\376", 3, "AP/+", "AP/+"},
};

static void test_base64(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(base64); i++) {
        struct slice plain = slice_of(base64[i].plain, base64[i].len);
        struct buf out = {0};

        grpc_base64_encode(&out, plain);
        assert_true(slice_eq(buf_slice(&out), slice_str(base64[i].encoded)));
        buf_clear(&out);
        assert_int_equal(grpc_base64_decode(&out, slice_str(base64[i].encoded)), ERR_OK);
        assert_true(slice_eq(buf_slice(&out), plain));
        buf_clear(&out);
        assert_int_equal(grpc_base64_decode(&out, slice_str(base64[i].padded)), ERR_OK);
        assert_true(slice_eq(buf_slice(&out), plain));
        buf_release(&out);
    }
}

static void test_base64_refuses(void **state) {
    static const char *const rows[] = {"Z", "Zm9vY", "Zg=", "Z===", "Z g", "Zg==Zg", "Zm9-", "="};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = {0};

        if (grpc_base64_decode(&out, slice_str(rows[i])) != ERR_INVALID)
            fail_msg("\"%s\" was taken", rows[i]);
        buf_release(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent), cmocka_unit_test(test_percent_never_fails),
        cmocka_unit_test(test_timeout), cmocka_unit_test(test_timeout_write),
        cmocka_unit_test(test_base64),  cmocka_unit_test(test_base64_refuses),
    };

    return cmocka_run_group_tests_name("wire/grpc_text", tests, NULL, NULL);
}
