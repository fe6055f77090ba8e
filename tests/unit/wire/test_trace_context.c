/* test_trace_context.c - W3C Trace Context: what is a traceparent, what is passed on. */
#include "wire/trace_context.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

#define TEXT(literal)                                                                              \
    { "" literal, sizeof(literal) - 1 }
#define ID   "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

/* clang-format off */
static const struct {
    const char *name;
    struct slice value;
    int want_flags; /* -1: not valid */
} parents[] = {
    {"the specification's example", TEXT("00-" ID "-" SPAN "-01"),          1},
    {"not sampled",                 TEXT("00-" ID "-" SPAN "-00"),          0},
    {"random, sampled",             TEXT("00-" ID "-" SPAN "-03"),          3},
    {"unknown flags are dropped",   TEXT("00-" ID "-" SPAN "-ff"),          3},
    {"a later version",             TEXT("01-" ID "-" SPAN "-01"),          1},
    {"a later version with more",   TEXT("cc-" ID "-" SPAN "-01-what"),     1},
    {"a later version, dash alone", TEXT("cc-" ID "-" SPAN "-01-"),         1},
    {"a later version, no dash",    TEXT("cc-" ID "-" SPAN "-01.what"),    -1},
    {"version 00 with more",        TEXT("00-" ID "-" SPAN "-01-what"),    -1},
    {"version 00, dash alone",      TEXT("00-" ID "-" SPAN "-01-"),        -1},
    {"version ff",                  TEXT("ff-" ID "-" SPAN "-01"),         -1},
    {"no version",                  TEXT(ID "-" SPAN "-01"),               -1},
    {"empty",                       TEXT(""),                              -1},
    {"one short",                   TEXT("00-" ID "-" SPAN "-0"),          -1},
    {"no flags",                    TEXT("00-" ID "-" SPAN),               -1},
    {"upper case",                  TEXT("00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01"), -1},
    {"upper case version",          TEXT("0A-" ID "-" SPAN "-01"),         -1},
    {"upper case flags",            TEXT("00-" ID "-" SPAN "-0A"),         -1},
    {"no hex in the id",            TEXT("00-0af7651916cd43dd8448eb211c80319g-" SPAN "-01"), -1},
    {"no hex in the span",          TEXT("00-" ID "-b7ad6b716920333 -01"), -1},
    {"no hex in the flags",         TEXT("00-" ID "-" SPAN "-.0"),         -1},
    {"all zero id",                 TEXT("00-00000000000000000000000000000000-" SPAN "-01"), -1},
    {"all zero span",               TEXT("00-" ID "-0000000000000000-01"), -1},
    {"another separator",           TEXT("00_" ID "_" SPAN "_01"),         -1},
    {"blank in front",              TEXT(" 00-" ID "-" SPAN "-01"),        -1},
    {"blank behind",                TEXT("00-" ID "-" SPAN "-01 "),        -1},
    {"NUL",                         TEXT("00-" ID "-" SPAN "-0\0"),        -1},
};

static const struct {
    const char *name;
    struct slice value;
    bool want;
} states[] = {
    {"one",                   TEXT("foo=1"),                         true},
    {"two",                   TEXT("foo=1,bar=2"),                   true},
    {"blanks around",         TEXT("foo=1 \t , \tbar=2"),            true},
    {"empty members",         TEXT("foo=1,,bar=2,"),                 true},
    {"key characters",        TEXT("a0_-*/=1"),                      true},
    {"a tenant",              TEXT("fw529a3039@dt=FfeO"),            true},
    {"a tenant with a digit", TEXT("0a@b=1"),                        true},
    {"value characters",      TEXT("a=! ~|\"#-"),                    true},
    {"nothing",               TEXT(""),                              false},
    {"commas",                TEXT(",,"),                            false},
    {"no equals",             TEXT("foo"),                           false},
    {"no key",                TEXT("=1"),                            false},
    {"no value",              TEXT("foo="),                          false},
    {"a blank value",         TEXT("foo= "),                         false},
    {"two equals",            TEXT("foo=1=2"),                       false},
    {"upper case key",        TEXT("Foo=1"),                         false},
    {"a digit first",         TEXT("1a=1"),                          false},
    {"a blank in the key",    TEXT("foo =1"),                        false},
    {"a point in the key",    TEXT("foo.bar=1"),                     false},
    {"NUL in the key",        TEXT("f\0o=1"),                        false},
    {"two ats",               TEXT("a@b@c=1"),                       false},
    {"no system",             TEXT("a@=1"),                          false},
    {"no tenant",             TEXT("@b=1"),                          false},
    {"system of 15",          TEXT("a@abcdefghijklmno=1"),           false},
    {"the same key twice",    TEXT("foo=1,foo=2"),                   false},
    {"a control character",   TEXT("foo=a\tb"),                      false},
    {"DEL",                   TEXT("foo=\x7f"),                      false},
    {"not ASCII",             TEXT("foo=\xc3\xa9"),                  false},
};
/* clang-format on */

static void test_traceparent(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parents); i++) {
        const struct trace_context before = {.trace_id = "untouched", .flags = 99};
        struct trace_context trace = before;
        bool got = traceparent_read(parents[i].value, &trace);

        if (got != (parents[i].want_flags >= 0))
            fail_msg("%s: %s", parents[i].name, got ? "taken" : "refused");
        if (got)
            assert_int_equal(trace.flags, parents[i].want_flags);
        else
            assert_memory_equal(&trace, &before, sizeof(trace));
    }
}

/* Any one character of a valid one replaced by any other gives none, or one that differs. */
static void test_every_character_counts(void **state) {
    struct trace_context good = {.flags = 0};

    (void)state;
    assert_true(traceparent_read(parents[0].value, &good));
    for (size_t at = 0; at < TRACEPARENT_BYTES; at++) {
        for (int c = 0; c < 256; c++) {
            char text[TRACEPARENT_BYTES];
            struct trace_context got = {.flags = 0};

            memcpy(text, parents[0].value.ptr, sizeof(text));
            if ((char)c == text[at])
                continue;
            text[at] = (char)c;
            /* Later versions and unknown flags mean the same. */
            if (!traceparent_read(slice_of(text, sizeof(text)), &got) || at < 2 || at >= 53)
                continue;
            assert_memory_not_equal(&got, &good, sizeof(got));
        }
    }
}

static void test_tracestate(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (tracestate_valid(states[i].value) != states[i].want)
            fail_msg("%s", states[i].name);
}

/* 'n' members "kNN=v". */
static size_t write_members(char *to, size_t size, unsigned n) {
    size_t len = 0;

    for (unsigned i = 0; i < n; i++)
        len += (size_t)snprintf(to + len, size - len, "%sk%02u=v", i ? "," : "", i);
    return len;
}

static void test_tracestate_limits(void **state) {
    char text[1024];

    (void)state;
    assert_true(tracestate_valid(slice_of(text, write_members(text, sizeof(text), 32))));
    assert_false(tracestate_valid(slice_of(text, write_members(text, sizeof(text), 33))));
    memset(text, 'k', sizeof(text));
    memcpy(text + 256, "=v", 2);
    assert_true(tracestate_valid(slice_of(text, 258)));
    memcpy(text + 256, "k=v", 3);
    assert_false(tracestate_valid(slice_of(text, 259)));
    memcpy(text, "k=", 2);
    memset(text + 2, 'v', 300);
    assert_true(tracestate_valid(slice_of(text, 2 + 256)));
    assert_false(tracestate_valid(slice_of(text, 2 + 257)));
}

/* ---- among a request's fields ---- */

static struct arena arena;

static const struct trace_context *read_fields(const char *const *names_and_values) {
    struct trace_fields fields = {.parents = 0};

    for (; names_and_values[0]; names_and_values += 2)
        trace_fields_add(&fields, slice_str(names_and_values[0]), slice_str(names_and_values[1]));
    return trace_fields_read(&fields, 0x0102030405060708u, &arena);
}

#define FIELDS(...) read_fields((const char *const[]){__VA_ARGS__, NULL, NULL})
#define PARENT      "00-" ID "-" SPAN "-01"

static void expect_state(const struct trace_context *trace, const char *want) {
    assert_non_null(trace);
    if (!slice_eq(trace->state, slice_str(want)))
        fail_msg("\"%.*s\" instead of \"%s\"", SLICE_ARGS(trace->state), want);
}

static void test_fields(void **state) {
    (void)state;
    arena_init(&arena, 4096, 65536);
    assert_null(FIELDS("host", "x"));
    assert_null(FIELDS("tracestate", "a=1"));
    assert_null(FIELDS("traceparent", PARENT, "traceparent", PARENT));
    assert_null(FIELDS("traceparent", "nonsense", "tracestate", "a=1"));
    expect_state(FIELDS("TraceParent", PARENT, "host", "x"), "");
    expect_state(FIELDS("Tracestate", "a=1", "traceparent", PARENT), "a=1");
    expect_state(FIELDS("tracestate", "a=1", "traceparent", PARENT, "tracestate", "b=2"),
                 "a=1,b=2");
    expect_state(FIELDS("traceparent", PARENT, "tracestate", "a=1", "tracestate", "a=2"), "");
    expect_state(FIELDS("traceparent", PARENT, "tracestate", "a=1", "tracestate", ""), "a=1,");
    expect_state(FIELDS("traceparent", PARENT, "tracestate", "no"), "");
    arena_release(&arena);
}

static void test_long_and_scattered_states(void **state) {
    char text[TRACESTATE_BYTES_MAX + 2] = "a=";
    struct trace_fields fields = {.parents = 0};
    struct trace_fields *f = &fields;

    (void)state;
    arena_init(&arena, 4096, 65536);
    memset(text + 2, 'v', 200);
    memset(text + 202, ' ', TRACESTATE_BYTES_MAX - 205);
    memcpy(text + TRACESTATE_BYTES_MAX - 4, ",b=2", 4);
    text[202] = ' ';
    trace_fields_add(f, SLICE("traceparent"), SLICE(PARENT));
    trace_fields_add(f, SLICE("tracestate"), slice_of(text, TRACESTATE_BYTES_MAX));
    text[TRACESTATE_BYTES_MAX - 5] = ' ';
    const struct trace_context *trace = trace_fields_read(f, 1, &arena);
    assert_int_equal(trace->state.len, TRACESTATE_BYTES_MAX);
    text[TRACESTATE_BYTES_MAX] = '2';
    f->state[0].len++;
    trace = trace_fields_read(f, 1, &arena);
    assert_int_equal(trace->state.len, 0);

    fields = (struct trace_fields){.parents = 0};
    trace_fields_add(f, SLICE("traceparent"), SLICE(PARENT));
    for (unsigned i = 0; i <= TRACESTATE_FIELDS_MAX; i++)
        trace_fields_add(f, SLICE("tracestate"), SLICE("a=1"));
    trace = trace_fields_read(f, 1, &arena);
    assert_int_equal(trace->state.len, 0);
    arena_release(&arena);
}

static void test_what_is_passed_on(void **state) {
    char text[TRACEPARENT_BYTES];
    struct trace_context back = {.flags = 0};

    (void)state;
    arena_init(&arena, 4096, 65536);
    const struct trace_context *trace = FIELDS("traceparent", PARENT);
    traceparent_write(trace, text);
    assert_memory_equal(text, "00-" ID "-", 36);
    assert_memory_not_equal(text + 36, SPAN, 16);
    assert_true(traceparent_read(slice_of(text, sizeof(text)), &back));
    assert_memory_equal(back.parent_id, trace->span_id, SPAN_ID_BYTES);
    assert_int_equal(back.flags, trace->flags);

    struct trace_fields fields = {.parent = SLICE(PARENT), .parents = 1};
    trace = trace_fields_read(&fields, 0, &arena); /* an all-zero span id would be invalid */
    traceparent_write(trace, text);
    assert_true(traceparent_read(slice_of(text, sizeof(text)), &back));
    arena_release(&arena);
}

static void test_no_room(void **state) {
    struct trace_fields fields = {.parent = SLICE(PARENT), .parents = 1};

    (void)state;
    arena_init(&arena, 16, 16);
    assert_null(trace_fields_read(&fields, 1, &arena));
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traceparent),
        cmocka_unit_test(test_every_character_counts),
        cmocka_unit_test(test_tracestate),
        cmocka_unit_test(test_tracestate_limits),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_long_and_scattered_states),
        cmocka_unit_test(test_what_is_passed_on),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
