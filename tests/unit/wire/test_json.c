/* test_json.c - the pull parser: its tokens, its limits, where its errors point. */
#include "wire/json.h"

#include <inttypes.h>

#include "base/buf.h"
#include "test.h"

/* clang-format off */
/* SLICE() for tables: a compound literal is no constant. */
#define BYTES(literal) {"" literal, sizeof(literal) - 1}
/* clang-format on */

/* ---- tokens ---- */

/* Every token of 'document' as one letter, strings and numbers with their raw text. */
static void trace(struct buf *out, const char *document) {
    static const char letters[] = "!.ntf#$[]{}:";
    static const enum json_type order[] = {
        JSON_ERROR,  JSON_END,   JSON_NULL,      JSON_TRUE,   JSON_FALSE,      JSON_NUMBER,
        JSON_STRING, JSON_ARRAY, JSON_ARRAY_END, JSON_OBJECT, JSON_OBJECT_END, JSON_KEY,
    };
    struct json_reader reader;
    struct json_token token;

    json_reader_init(&reader, slice_str(document));
    do {
        json_next(&reader, &token);
        for (size_t i = 0; i < ARRAY_LEN(order); i++)
            if (order[i] == token.type)
                buf_add_char(out, letters[i]);
        buf_add_slice(out, token.raw);
    } while (token.type != JSON_END && token.type != JSON_ERROR);
    /* Both repeat. */
    assert_int_equal(json_next(&reader, &token), token.type);
}

/* clang-format off */
static const struct {
    const char *document;
    const char *tokens;
} traces[] = {
    {"null",                               "n."},
    {" \t\r\n true \t\r\n ",               "t."},
    {"\"\"",                               "$."},
    {"-0.5e+7",                            "#-0.5e+7."},
    {"[]",                                 "[]."},
    {" [ ] ",                              "[]."},
    {"{}",                                 "{}."},
    {" { } ",                              "{}."},
    {"[1,\"a\" , [false],{}]",             "[#1$a[f]{}]."},
    {"{\"a\":1,\"b\" : [ {\"c\":null} ]}", "{:a#1:b[{:cn}]}."},
    {"{\"a\":{},\"a\":[]}",                "{:a{}:a[]}."},
    {"[\"\\u0000\\\"\"]",                  "[$\\u0000\\\"]."},
    {"[1 2]",                              "[#1!"},
    {"{\"a\":1]",                          "{:a#1!"},
};
/* clang-format on */

static void test_tokens(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
        struct buf got = {0};

        trace(&got, traces[i].document);
        if (!slice_eq(buf_slice(&got), slice_str(traces[i].tokens)))
            fail_msg("%s: got %.*s", traces[i].document, SLICE_ARGS(buf_slice(&got)));
        buf_release(&got);
    }
}

/* ---- errors ---- */

/* clang-format off */
static const struct {
    struct slice document;
    size_t at;
    const char *says; /* part of the sentence */
} errors[] = {
    {{NULL, 0},                        0, "ends where a value must be"},
    {BYTES(""),                        0, "ends where a value must be"},
    {BYTES("  "),                      2, "ends where a value must be"},
    {BYTES("nul"),                     0, "expected a value"},
    {BYTES("True"),                    0, "expected a value"},
    {BYTES("nullx"),                   4, "bytes behind the document"},
    {BYTES("{} x"),                    3, "bytes behind the document"},
    {BYTES("{}\0"),                    2, "bytes behind the document"},
    {BYTES("1 1"),                     2, "bytes behind the document"},
    {BYTES("\xEF\xBB\xBF{}"),          0, "byte order mark"},
    {BYTES("\v1"),                     0, "expected a value"},
    {BYTES("/**/1"),                   0, "expected a value"},
    {BYTES("'a'"),                     0, "expected a value"},
    {BYTES("NaN"),                     0, "expected a value"},
    {BYTES("+1"),                      0, "expected a value"},
    {BYTES(".5"),                      0, "expected a value"},
    {BYTES("["),                       1, "ends where a value must be"},
    {BYTES("[1"),                      2, "ends inside an array"},
    {BYTES("[1,"),                     3, "ends where a value must be"},
    {BYTES("[1,]"),                    3, "expected a value"},
    {BYTES("[,1]"),                    1, "expected a value"},
    {BYTES("[1}"),                     2, "expected ',' or ']'"},
    {BYTES("]"),                       0, "expected a value"},
    {BYTES("{"),                       1, "field name"},
    {BYTES("{1:2}"),                   1, "field name"},
    {BYTES("{\"a\"}"),                 4, "':'"},
    {BYTES("{\"a\":}"),                5, "expected a value"},
    {BYTES("{\"a\":1"),                6, "ends inside an object"},
    {BYTES("{\"a\":1,}"),              7, "field name"},
    {BYTES("{\"a\":1;"),               6, "expected ',' or '}'"},
    {BYTES("\"a"),                     2, "ends inside a string"},
    {BYTES("\"a\nb\""),                2, "control character"},
    {BYTES("\"a\x1F\""),               2, "control character"},
    {BYTES("\"a\0b\""),                2, "control character"},
    {BYTES("\"a\\"),                   2, "hexadecimal"},
    {BYTES("\"a\\x\""),                2, "no such escape"},
    {BYTES("\"a\\u12\""),              2, "hexadecimal"},
    {BYTES("\"a\\u12G4\""),            2, "hexadecimal"},
    {BYTES("\"a\\u+123\""),            2, "hexadecimal"},
    {BYTES("\"ab\\uD800\""),           3, "without its other half"},
    {BYTES("\"ab\\uDC00\""),           3, "without its other half"},
    {BYTES("\"ab\\uD800\\uD800\""),    3, "without its other half"},
    {BYTES("\"ab\\uDC00\\uDC00\""),    3, "without its other half"},
    {BYTES("\"ab\\uDC00\\uD800\""),    3, "without its other half"},
    {BYTES("\"ab\\uD800\\n\""),        3, "without its other half"},
    {BYTES("\"ab\\uD800\\uDC0\""),     3, "without its other half"},
    {BYTES("[\"\xC0\x80\"]"),          2, "UTF-8"},
    {BYTES("[\"\xED\xA0\x80\"]"),      2, "UTF-8"},
    {BYTES("{\"\xFF\":1}"),            2, "UTF-8"},
    {BYTES("[\xFF]"),                  1, "expected a value"},
    {BYTES("-"),                       1, "digit"},
    {BYTES("-a"),                      1, "digit"},
    {BYTES("01"),                      0, "begin with 0"},
    {BYTES("-01"),                     1, "begin with 0"},
    {BYTES("1."),                      2, "behind its point"},
    {BYTES("1.e1"),                    2, "behind its point"},
    {BYTES("1e"),                      2, "exponent"},
    {BYTES("1e+"),                     3, "exponent"},
    {BYTES("1.0E-x"),                  5, "exponent"},
};
/* clang-format on */

static void test_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct json_error error = {0};

        if (json_validate(errors[i].document, &error))
            fail_msg("accepted: %.*s", SLICE_ARGS(errors[i].document));
        if (error.at != errors[i].at || !strstr(error.what, errors[i].says))
            fail_msg("%.*s: byte %zu: %s", SLICE_ARGS(errors[i].document), error.at, error.what);
    }
}

/* 'levels' of "[" or {"a": around a 1. */
static void nest(struct buf *out, unsigned levels, bool objects) {
    buf_clear(out);
    for (unsigned i = 0; i < levels; i++)
        buf_add_str(out, objects ? "{\"a\":" : "[");
    buf_add_char(out, '1');
    for (unsigned i = 0; i < levels; i++)
        buf_add_char(out, objects ? '}' : ']');
}

static void test_depth(void **state) {
    (void)state;
    struct buf doc = {0};
    struct json_error error = {0};

    for (int objects = 0; objects < 2; objects++) {
        nest(&doc, JSON_MAX_DEPTH, objects);
        assert_true(json_validate(buf_slice(&doc), &error));
        nest(&doc, JSON_MAX_DEPTH + 1, objects);
        assert_false(json_validate(buf_slice(&doc), &error));
        assert_int_equal(error.at, JSON_MAX_DEPTH * (objects ? 5 : 1));
        assert_non_null(strstr(error.what, "32 deep"));
    }
    buf_release(&doc);
}

/* A document cut anywhere isn't one. */
static void test_every_prefix_fails(void **state) {
    (void)state;
    struct slice whole =
        SLICE("{\"a\":[1,-2.5e-3,\"\\u00e9\\ud83d\\ude00\\n\",true,null],\"\":{}}");
    struct json_error error;

    assert_true(json_validate(whole, &error));
    for (size_t len = 0; len < whole.len; len++)
        assert_false(json_validate(slice_of(whole.ptr, len), &error));
}

/* Strings are read several bytes at a time: each byte at each place of a long one. */
static void test_every_byte_everywhere(void **state) {
    (void)state;
    for (size_t place = 1; place < 20; place++)
        for (int c = 0; c < 256; c++) {
            char text[] = "\"abcdefghijklmnopqrst\"";
            struct slice document = slice_of(text, sizeof(text) - 1);
            struct json_error error = {0};

            text[place] = (char)c;
            /* What follows an unescaped quote isn't JSON, no letter from b to t but those of
             * escapes may be escaped, and a single byte from 0x80 on isn't UTF-8. */
            bool escape = c == '\\' && strchr("bfnrt", text[place + 1]);
            bool good = (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') || escape;

            if (json_validate(document, &error) != good)
                fail_msg("%02x at %zu: \"%s\"", c, place, error.what);
            if (!good)
                assert_int_equal(error.at, c == '"' ? place + 1 : c >= 0x80 ? 1 : place);
        }
}

static void test_skip(void **state) {
    (void)state;
    struct json_reader reader;
    struct json_token token;

    json_reader_init(&reader, SLICE("[[{\"a\":[1]},[]],2,{\"b\":[}]"));
    assert_int_equal(json_next(&reader, &token), JSON_ARRAY);
    assert_int_equal(json_next(&reader, &token), JSON_ARRAY);
    assert_true(json_skip(&reader, &token));
    assert_int_equal(reader.depth, 1);
    assert_int_equal(json_next(&reader, &token), JSON_NUMBER);
    assert_true(json_skip(&reader, &token));
    assert_int_equal(json_next(&reader, &token), JSON_OBJECT);
    assert_false(json_skip(&reader, &token));
    assert_int_equal(reader.error.at, 24);
    assert_int_equal(json_next(&reader, &token), JSON_ERROR);
    assert_false(json_skip(&reader, &token));
}

/* ---- values ---- */

/* clang-format off */
static const struct {
    const char *json; /* a string */
    struct slice text;
} texts[] = {
    {"\"\"",                                 BYTES("")},
    {"\"plain \xC3\xA9\"",                   BYTES("plain \xC3\xA9")},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",       BYTES("\"\\/\b\f\n\r\t")},
    {"\"a\\u0000b\"",                        BYTES("a\0b")},
    {"\"\\u007F\\u0080\\u07ff\\u0800\"",     BYTES("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80")},
    {"\"\\uD7FF\\uE000\\uFFFF\"",            BYTES("\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF")},
    {"\"\\uD800\\uDC00\\uDBFF\\uDFFF\"",     BYTES("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF")},
    {"\"\\ud83d\\ude00 \xF0\x9F\x98\x80\"",  BYTES("\xF0\x9F\x98\x80 \xF0\x9F\x98\x80")},
    {"\"\\\\u0041\"",                        BYTES("\\u0041")},
};
/* clang-format on */

static void test_texts(void **state) {
    (void)state;
    struct arena arena;

    arena_init(&arena, 256, 4096);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct json_reader reader;
        struct json_token token;
        struct slice text;

        json_reader_init(&reader, slice_str(texts[i].json));
        assert_int_equal(json_next(&reader, &token), JSON_STRING);
        assert_int_equal(json_text(&token, &arena, &text), ERR_OK);
        if (!slice_eq(text, texts[i].text) || !json_text_is(&token, texts[i].text))
            fail_msg("%s: got %.*s", texts[i].json, SLICE_ARGS(text));
        assert_false(json_text_is(&token, SLICE("other")));
        /* Without escapes the text is the document's own. */
        if (!strchr(texts[i].json, '\\'))
            assert_ptr_equal(text.ptr, texts[i].json + 1);
    }
    arena_release(&arena);
}

static void test_text_past_the_cap(void **state) {
    (void)state;
    struct json_reader reader;
    struct json_token token;
    struct slice text;
    struct arena arena;

    arena_init(&arena, 16, 16);
    json_reader_init(&reader, SLICE("[\"12345678901234567890\",\"\\t2345678901234567890\"]"));
    assert_int_equal(json_next(&reader, &token), JSON_ARRAY);
    assert_int_equal(json_next(&reader, &token), JSON_STRING);
    assert_int_equal(json_text(&token, &arena, &text), ERR_OK);
    assert_int_equal(json_next(&reader, &token), JSON_STRING);
    assert_int_equal(json_text(&token, &arena, &text), ERR_NO_MEMORY);
    arena_release(&arena);
}

/* A name far longer than any known one, all escapes, is just another name. */
static void test_long_escaped_name(void **state) {
    (void)state;
    struct buf doc = {0};
    struct json_reader reader;
    struct json_token token;

    buf_add_char(&doc, '"');
    for (int i = 0; i < 10 * JSON_TEXT_IS_MAX; i++)
        buf_add_str(&doc, "\\u0061");
    buf_add_char(&doc, '"');
    json_reader_init(&reader, buf_slice(&doc));
    assert_int_equal(json_next(&reader, &token), JSON_STRING);
    assert_false(json_text_is(&token, SLICE("a")));
    buf_release(&doc);
}

/* clang-format off */
static const struct {
    const char *json;
    bool ok;
    int64_t value;
} numbers[] = {
    {"0",                     true,  0},
    {"-0",                    true,  0},
    {"1",                     true,  1},
    {"-17",                   true,  -17},
    {"9223372036854775807",   true,  INT64_MAX},
    {"-9223372036854775808",  true,  INT64_MIN},
    {"9223372036854775808",   false, 0},
    {"-9223372036854775809",  false, 0},
    {"18446744073709551616",  false, 0},
    {"18446744073709551617",  false, 0},
    {"100000000000000000000", false, 0},
    {"1.0",                   false, 0},
    {"1e0",                   false, 0},
    {"1E2",                   false, 0},
};
/* clang-format on */

static void test_numbers(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct json_reader reader;
        struct json_token token;
        int64_t value = 0;

        json_reader_init(&reader, slice_str(numbers[i].json));
        assert_int_equal(json_next(&reader, &token), JSON_NUMBER);
        bool ok = json_i64(&token, &value);
        if (ok != numbers[i].ok || value != numbers[i].value)
            fail_msg("%s: got %d, %" PRId64, numbers[i].json, ok, value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_every_prefix_fails),
        cmocka_unit_test(test_every_byte_everywhere),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_text_past_the_cap),
        cmocka_unit_test(test_long_escaped_name),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
