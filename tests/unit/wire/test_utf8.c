/* test_utf8.c - each bound of RFC 3629's grammar, on both sides. */
#include <stdlib.h>

#include "test.h"
#include "wire/uri.h"

/* clang-format off */
/* SLICE() for tables: a compound literal is no constant. */
#define BYTES(literal) {"" literal, sizeof(literal) - 1}
/* clang-format on */

/* clang-format off */
static const struct {
    const char *name;
    struct slice bytes;
    bool valid;
} rows[] = {
    {"empty",                        {NULL, 0},                     true },
    {"ASCII with NUL",               BYTES("a\0b"),                 true },
    {"U+007F",                       BYTES("\x7F"),                 true },
    {"U+0080",                       BYTES("\xC2\x80"),             true },
    {"U+07FF",                       BYTES("\xDF\xBF"),             true },
    {"U+0800",                       BYTES("\xE0\xA0\x80"),         true },
    {"U+D7FF",                       BYTES("\xED\x9F\xBF"),         true },
    {"U+E000",                       BYTES("\xEE\x80\x80"),         true },
    {"U+FFFF",                       BYTES("\xEF\xBF\xBF"),         true },
    {"U+10000",                      BYTES("\xF0\x90\x80\x80"),     true },
    {"U+10FFFF",                     BYTES("\xF4\x8F\xBF\xBF"),     true },
    {"a lone tail byte",             BYTES("\x80"),                 false},
    {"overlong, two bytes",          BYTES("\xC0\x80"),             false},
    {"overlong U+007F",              BYTES("\xC1\xBF"),             false},
    {"overlong, three bytes",        BYTES("\xE0\x9F\xBF"),         false},
    {"overlong, four bytes",         BYTES("\xF0\x8F\xBF\xBF"),     false},
    {"the first surrogate",          BYTES("\xED\xA0\x80"),         false},
    {"the last surrogate",           BYTES("\xED\xBF\xBF"),         false},
    {"U+110000",                     BYTES("\xF4\x90\x80\x80"),     false},
    {"lead byte F5",                 BYTES("\xF5\x80\x80\x80"),     false},
    {"lead byte FF",                 BYTES("\xFF"),                 false},
    {"cut after one of two",         BYTES("\xC2"),                 false},
    {"cut after two of three",       BYTES("\xE2\x82"),             false},
    {"cut after three of four",      BYTES("\xF0\x9F\x98"),         false},
    {"a third byte that is none",    BYTES("\xE2\x82g"),            false},
    {"a fourth byte that is none",   BYTES("\xF0\x9F\x98\xC0"),     false},
    {"bad behind eight good ones",   BYTES("12345678\xFF"),         false},
    {"bad inside a word",            BYTES("1234\xFF" "678901234"), false},
    {"good across a word's end",     BYTES("1234567\xE2\x82\xAC!"), true },
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (utf8_valid(rows[i].bytes) != rows[i].valid)
            fail_msg("%s", rows[i].name);
}

/* Copies to the heap, so that a sanitizer sees a read past the end. */
static void test_reads_no_further(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *copy = malloc(rows[i].bytes.len + 1);

        assert_non_null(copy);
        char *begin = copy + 1; /* also off the alignment */
        if (rows[i].bytes.len)
            memcpy(begin, rows[i].bytes.ptr, rows[i].bytes.len);
        assert_int_equal(utf8_valid(slice_of(begin, rows[i].bytes.len)), rows[i].valid);
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_reads_no_further),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
