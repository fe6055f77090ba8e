/* test_log.c - whatever a value holds, a line is one line and one JSON object. */
#include "base/log.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/attr.h"
#include "test.h"

#define LINE_MAX_BYTES 2048

/* SLICE() for a static table, where a compound literal is no constant. */
#define TEXT(literal)                                                                              \
    { literal, sizeof(literal) - 1 }

static char captured[8192];
static int saved_stderr;
static int memory;

static void capture_begin(void) {
    memory = memfd_create("log", 0);
    assert_true(memory >= 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(dup2(memory, STDERR_FILENO) >= 0);
}

static size_t capture_end(void) {
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    ssize_t n = pread(memory, captured, sizeof(captured) - 1, 0);
    close(memory);
    assert_true(n >= 0);
    captured[n] = '\0';
    return (size_t)n;
}

/* What was captured as the one object it must be. */
static json_t *parse(size_t len) {
    json_error_t error;

    assert_true(len > 0 && len <= LINE_MAX_BYTES);
    assert_ptr_equal(strchr(captured, '\n'), captured + len - 1);
    for (size_t i = 0; i + 1 < len; i++)
        assert_true((unsigned char)captured[i] >= 0x20 && captured[i] != 0x7f);
    json_t *line = json_loadb(captured, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!line)
        fail_msg("%s in %s", error.text, captured);
    return line;
}

/* clang-format off */
static const struct {
    const char *name;
    struct slice value;
    struct slice want; /* inside the quotes of the line */
} strings[] = {
    {"plain",              TEXT("abc"),                    TEXT("abc")},
    {"empty",              TEXT(""),                       TEXT("")},
    {"quote",              TEXT("a\"b"),                   TEXT("a\\\"b")},
    {"backslash",          TEXT("a\\b"),                   TEXT("a\\\\b")},
    {"newline",            TEXT("a\nb"),                   TEXT("a\\nb")},
    {"forged line",        TEXT("\r\n{\"level\":\"x\"}"),  TEXT("\\u000d\\n{\\\"level\\\":\\\"x\\\"}")},
    {"NUL",                TEXT("a\0b"),                   TEXT("a\\u0000b")},
    {"escape sequence",    TEXT("\x1b[2J"),                TEXT("\\u001b[2J")},
    {"DEL",                TEXT("\x7f"),                   TEXT("\\u007f")},
    {"C1 control",         TEXT("\xc2\x9b" "2J"),          TEXT("\\u009b2J")},
    {"two bytes",          TEXT("\xc3\xa9"),               TEXT("\xc3\xa9")},
    {"three bytes",        TEXT("\xe2\x82\xac"),           TEXT("\xe2\x82\xac")},
    {"four bytes",         TEXT("\xf0\x9f\x98\x80"),       TEXT("\xf0\x9f\x98\x80")},
    {"line separator",     TEXT("\xe2\x80\xa8"),           TEXT("\\u2028")},
    {"right-to-left",      TEXT("\xe2\x80\xae"),           TEXT("\\u202e")},
    {"isolate",            TEXT("\xe2\x81\xa6"),           TEXT("\\u2066")},
    {"Arabic letter mark", TEXT("\xd8\x9c"),               TEXT("\\u061c")},
    {"stray continuation", TEXT("a\x80z"),                 TEXT("a\\ufffdz")},
    {"overlong slash",     TEXT("\xc0\xaf"),               TEXT("\\ufffd\\ufffd")},
    {"overlong three",     TEXT("\xe0\x80\xaf"),           TEXT("\\ufffd\\ufffd\\ufffd")},
    {"surrogate",          TEXT("\xed\xa0\x80"),           TEXT("\\ufffd\\ufffd\\ufffd")},
    {"past U+10FFFF",      TEXT("\xf4\x90\x80\x80"),       TEXT("\\ufffd\\ufffd\\ufffd\\ufffd")},
    {"cut sequence",       TEXT("\xe2\x82"),               TEXT("\\ufffd\\ufffd")},
    {"0xff",               TEXT("\xff"),                   TEXT("\\ufffd")},
};
/* clang-format on */

static void test_strings(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        char want[128];

        capture_begin();
        log_line(LOG_INFO, "test", LOG_SLICE("value", strings[i].value));
        size_t len = capture_end();
        json_decref(parse(len));
        (void)snprintf(want, sizeof(want), "\"value\":\"%.*s\"}\n", SLICE_ARGS(strings[i].want));
        if (!strstr(captured, want))
            fail_msg("%s: no %s in %s", strings[i].name, want, captured);
    }
}

static void test_types(void **state) {
    (void)state;
    capture_begin();
    log_line(LOG_WARN, "types", LOG_STR("s", "x"), LOG_STR("none", (const char *)NULL),
             LOG_INT("low", INT64_MIN), LOG_INT("high", INT64_MAX), LOG_F64("half", 0.5),
             LOG_F64("nan", NAN), LOG_F64("inf", -INFINITY));
    json_t *line = parse(capture_end());
    assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(line, "msg")), "types");
    assert_int_equal(strlen(json_string_value(json_object_get(line, "ts"))), 24);
    assert_true(json_is_null(json_object_get(line, "none")));
    assert_true(json_integer_value(json_object_get(line, "low")) == INT64_MIN);
    assert_true(json_integer_value(json_object_get(line, "high")) == INT64_MAX);
    assert_true(json_real_value(json_object_get(line, "half")) == 0.5);
    assert_true(json_is_null(json_object_get(line, "nan")));
    assert_true(json_is_null(json_object_get(line, "inf")));
    json_decref(line);
}

static void test_traces(void **state) {
    const struct trace_context trace = {.trace_id = {0x0a, 0xf7, [15] = 0x9c},
                                        .parent_id = {0xb7, [7] = 0x31},
                                        .span_id = {1, 2, 3, 4, 5, 6, 7, 8}};

    (void)state;
    capture_begin();
    log_line(LOG_WARN, "traced", LOG_INT("before", 1), LOG_TRACE(&trace), LOG_INT("after", 2));
    json_t *line = parse(capture_end());
    assert_string_equal(json_string_value(json_object_get(line, "trace_id")),
                        "0af7000000000000000000000000009c");
    assert_string_equal(json_string_value(json_object_get(line, "span_id")), "0102030405060708");
    assert_string_equal(json_string_value(json_object_get(line, "parent_span_id")),
                        "b700000000000031");
    assert_int_equal(json_integer_value(json_object_get(line, "after")), 2);
    json_decref(line);

    capture_begin();
    log_line(LOG_WARN, "untraced", LOG_TRACE(NULL), LOG_INT("after", 2));
    line = parse(capture_end());
    assert_int_equal(json_object_size(line), 4);
    json_decref(line);
}

/* Every length around the cut, so that each of name, quote, escape and number
 * is once the part that doesn't fit. */
static void test_cuts_long_lines(void **state) {
    (void)state;
    static char filler[2600];
    unsigned cut = 0;

    memset(filler, 'x', sizeof(filler));
    filler[100] = '\x01';
    for (size_t len = 1850; len < 2200; len++) {
        filler[len - 1] = '\n';
        capture_begin();
        log_line(LOG_ERROR, "long", LOG_SLICE("value", slice_of(filler, len)),
                 LOG_INT("number", 1234567), LOG_STR("last", "end"));
        json_t *line = parse(capture_end());
        bool truncated = json_is_true(json_object_get(line, "truncated"));
        json_t *number = json_object_get(line, "number");

        filler[len - 1] = 'x';
        assert_int_equal(truncated, json_object_get(line, "last") == NULL ||
                                        json_string_length(json_object_get(line, "last")) != 3);
        if (number)
            assert_int_equal(json_integer_value(number), 1234567);
        cut += truncated;
        json_decref(line);
    }
    assert_true(cut > 100 && cut < 340);
}

/* Any bytes at all; the seed is fixed. */
static void test_noise(void **state) {
    (void)state;
    uint64_t random = 0x9e3779b97f4a7c15u;

    for (int round = 0; round < 500; round++) {
        char noise[200];

        for (size_t i = 0; i < sizeof(noise); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            noise[i] = (char)random;
        }
        capture_begin();
        log_line(LOG_INFO, "noise", LOG_SLICE("a", slice_of(noise, 120)),
                 LOG_SLICE("b", slice_of(noise + 120, 80)));
        json_decref(parse(capture_end()));
    }
}

static void test_levels_and_console(void **state) {
    (void)state;
    log_setup(LOG_WARN, LOG_CONSOLE);
    capture_begin();
    log_line(LOG_INFO, "not shown");
    log_line(LOG_WARN, "shown", LOG_STR("by", "a\nb"), LOG_INT("n", 3));
    errno = EBADF;
    log_line(LOG_ERROR, "shown too");
    assert_int_equal(errno, EBADF);
    capture_end();
    log_setup(LOG_INFO, LOG_JSON);
    assert_null(strstr(captured, "not shown"));
    assert_non_null(strstr(captured, "Z warn  shown by=\"a\\nb\" n=3\n"));
    assert_non_null(strstr(captured, "Z error shown too\n"));
}

static void test_console_cut(void **state) {
    (void)state;
    static char filler[3000];

    memset(filler, 'y', sizeof(filler));
    log_setup(LOG_INFO, LOG_CONSOLE);
    capture_begin();
    log_line(LOG_INFO, "long", LOG_SLICE("value", slice_of(filler, sizeof(filler))));
    size_t len = capture_end();
    log_setup(LOG_INFO, LOG_JSON);
    assert_true(len <= LINE_MAX_BYTES);
    assert_non_null(strstr(captured, "y\" truncated=true\n"));
}

#define WRITERS    4
#define LINES_EACH 200

static void *write_lines(void *arg) {
    static const char filler[300] = "";

    for (int i = 0; i < LINES_EACH; i++)
        log_line(LOG_INFO, "concurrent", LOG_SLICE("filler", slice_of(filler, sizeof(filler))),
                 LOG_INT("writer", *(const int *)arg), LOG_INT("i", i));
    return NULL;
}

/* Through a pipe, where a line in two writes would be interleaved. */
static void test_lines_stay_whole(void **state) {
    static char line[LINE_MAX_BYTES * 2];
    pthread_t threads[WRITERS];
    int ids[WRITERS];
    int ends[2];
    unsigned lines = 0;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    for (int i = 0; i < WRITERS; i++) {
        ids[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &ids[i]), 0);
    }
    FILE *reader = fdopen(ends[0], "r");
    assert_non_null(reader);
    for (; lines < WRITERS * LINES_EACH && fgets(line, sizeof(line), reader); lines++) {
        json_t *parsed = json_loads(line, JSON_ALLOW_NUL, NULL);

        assert_non_null(json_object_get(parsed, "i"));
        json_decref(parsed);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    (void)fclose(reader);
    assert_int_equal(lines, WRITERS * LINES_EACH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),     cmocka_unit_test(test_types),
        cmocka_unit_test(test_traces),      cmocka_unit_test(test_cuts_long_lines),
        cmocka_unit_test(test_noise),       cmocka_unit_test(test_levels_and_console),
        cmocka_unit_test(test_console_cut), cmocka_unit_test(test_lines_stay_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
