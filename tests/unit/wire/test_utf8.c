/* test_utf8.c - RFC 3629: borders of every length, and every code point. */
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "wire/uri.h"

#define BYTES(s)                                                                                   \
    { "" s, sizeof(s) - 1 }

/* clang-format off */
static const struct {
    struct slice in;
    bool want;
} rows[] = {
    {BYTES(""), true},                 {BYTES("a"), true},
    {BYTES("\0"), true},               {BYTES("\x7f"), true},
    {BYTES("eight888"), true},         {BYTES("seventeen 1234567"), true},
    {BYTES("\xc2\x80"), true},         {BYTES("\xdf\xbf"), true},
    {BYTES("\xe0\xa0\x80"), true},     {BYTES("\xed\x9f\xbf"), true},
    {BYTES("\xee\x80\x80"), true},     {BYTES("\xef\xbf\xbf"), true},
    {BYTES("\xf0\x90\x80\x80"), true}, {BYTES("\xf4\x8f\xbf\xbf"), true},
    {BYTES("1234567\xc3\xa9" "8"), true},
    {BYTES("\x80"), false},            {BYTES("\xbf"), false},
    {BYTES("\xc0\x80"), false},        {BYTES("\xc1\xbf"), false},
    {BYTES("\xc2"), false},            {BYTES("\xc2\x7f"), false},
    {BYTES("\xc2\xc0"), false},        {BYTES("\xe0\x9f\xbf"), false},
    {BYTES("\xed\xa0\x80"), false},    {BYTES("\xed\xbf\xbf"), false},
    {BYTES("\xe2\x82"), false},        {BYTES("\xe2\x28\xa1"), false},
    {BYTES("\xe2\x82\x28"), false},    {BYTES("\xf0\x8f\xbf\xbf"), false},
    {BYTES("\xf4\x90\x80\x80"), false}, {BYTES("\xf5\x80\x80\x80"), false},
    {BYTES("\xf0\x90\x80"), false},    {BYTES("\xf0\x90\x80\x7f"), false},
    {BYTES("\xf8\x88\x80\x80\x80"), false}, {BYTES("\xfe"), false}, {BYTES("\xff"), false},
    {BYTES("12345678\xff"), false},    {BYTES("1234567\xff"), false},
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        /* Memory of its own size: reading past the end is a report of ASan's. */
        size_t len = rows[i].in.len;
        char *copy = malloc(len ? len : 1);

        assert_non_null(copy);
        memcpy(copy, rows[i].in.ptr, len);
        bool got = utf8_valid(slice_of(copy, len));
        free(copy);
        if (got != rows[i].want)
            fail_msg("row %zu", i);
    }
    assert_true(utf8_valid((struct slice){NULL, 0}));
}

static size_t encode(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[n] | code);
    return n;
}

static void test_every_code_point(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x120000; code++) {
        char text[4];
        bool want = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);

        if (utf8_valid(slice_of(text, encode(code, text))) != want)
            fail_msg("U+%04X", code);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_code_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
