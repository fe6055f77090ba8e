/* test_uri.c - path parts and their escapes. */
#include "wire/uri.h"

#include "test.h"

#define BYTES(s)                                                                                   \
    { "" s, sizeof(s) - 1 }

/* clang-format off */
static const struct {
    const char *name;
    struct slice in;
    enum err want;
    struct slice out;
} rows[] = {
    {"plain",                     BYTES("test"),           ERR_OK, BYTES("test")},
    {"empty",                     BYTES(""),               ERR_OK, BYTES("")},
    {"plus is itself",            BYTES("a+b"),            ERR_OK, BYTES("a+b")},
    {"a slash inside",            BYTES("a%2Fb"),          ERR_OK, BYTES("a/b")},
    {"lower-case hex",            BYTES("a%2fb"),          ERR_OK, BYTES("a/b")},
    {"escapes only",              BYTES("%41%42"),         ERR_OK, BYTES("AB")},
    {"decoded once",              BYTES("%2541"),          ERR_OK, BYTES("%41")},
    {"space, CR, LF",             BYTES("%20%0D%0a"),      ERR_OK, BYTES(" \r\n")},
    {"dots are a name",           BYTES("%2e%2E"),         ERR_OK, BYTES("..")},
    {"UTF-8 escaped",             BYTES("caf%C3%A9"),      ERR_OK, BYTES("caf\xc3\xa9")},
    {"UTF-8 half escaped",        BYTES("\xc3%A9"),        ERR_OK, BYTES("\xc3\xa9")},
    {"UTF-8 raw",                 BYTES("\xe2\x82\xac"),   ERR_OK, BYTES("\xe2\x82\xac")},
    {"four bytes",                BYTES("%F0%9F%98%80"),   ERR_OK, BYTES("\xf0\x9f\x98\x80")},
    {"U+0001",                    BYTES("%01"),            ERR_OK, BYTES("\x01")},
    {"escaped NUL",               BYTES("a%00b"),          ERR_INVALID, {0}},
    {"raw NUL",                   BYTES("a\0b"),           ERR_INVALID, {0}},
    {"percent at the end",        BYTES("a%"),             ERR_INVALID, {0}},
    {"one digit",                 BYTES("a%4"),            ERR_INVALID, {0}},
    {"no digit first",            BYTES("%g1"),            ERR_INVALID, {0}},
    {"no digit second",           BYTES("%1g"),            ERR_INVALID, {0}},
    {"a sign",                    BYTES("%+1"),            ERR_INVALID, {0}},
    {"percent percent",           BYTES("%%41"),           ERR_INVALID, {0}},
    {"IIS's %u",                  BYTES("%u0041"),         ERR_INVALID, {0}},
    {"invalid UTF-8",             BYTES("%FF"),            ERR_INVALID, {0}},
    {"invalid raw UTF-8",         BYTES("a\xff"),          ERR_INVALID, {0}},
    {"a cut sequence",            BYTES("%C3"),            ERR_INVALID, {0}},
    {"overlong slash",            BYTES("%C0%AF"),         ERR_INVALID, {0}},
    {"overlong NUL",              BYTES("%C0%80"),         ERR_INVALID, {0}},
    {"overlong in three",         BYTES("%E0%80%AF"),      ERR_INVALID, {0}},
    {"a surrogate",               BYTES("%ED%A0%80"),      ERR_INVALID, {0}},
    {"past U+10FFFF",             BYTES("%F4%90%80%80"),   ERR_INVALID, {0}},
};
/* clang-format on */

static void test_decode(void **state) {
    (void)state;
    struct arena arena;

    arena_init(&arena, 256, 4096);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice out = SLICE("untouched");
        const char *detail = NULL;
        enum err got = uri_decode_part(rows[i].in, &arena, &out, &detail);
        struct slice want = got == ERR_OK ? rows[i].out : SLICE("untouched");

        if (got != rows[i].want || !slice_eq(out, want) || (got != ERR_OK) != (detail != NULL))
            fail_msg("%s: %s, \"%.*s\"", rows[i].name, err_name(got), SLICE_ARGS(out));
    }
    arena_release(&arena);
}

static void test_decodes_in_place(void **state) {
    (void)state;
    struct arena arena;
    struct slice in = SLICE("plain"), out;
    const char *detail;

    arena_init(&arena, 256, 4096);
    assert_int_equal(uri_decode_part(in, &arena, &out, &detail), ERR_OK);
    assert_ptr_equal(out.ptr, in.ptr);
    assert_int_equal(arena.held, 0);
    arena_release(&arena);
}

static void test_stops_at_the_arenas_cap(void **state) {
    (void)state;
    struct arena arena;
    struct slice out;
    const char *detail = NULL;

    arena_init(&arena, 16, 16);
    assert_int_equal(uri_decode_part(SLICE("%41bcdefghijklmnop"), &arena, &out, &detail),
                     ERR_NO_MEMORY);
    assert_non_null(detail);
    arena_release(&arena);
}

static void test_parts(void **state) {
    (void)state;
    static const struct {
        struct slice path, part, rest;
    } cases[] = {
        {BYTES("a/b/c"), BYTES("a"), BYTES("b/c")}, {BYTES("c"), BYTES("c"), BYTES("")},
        {BYTES("/b"), BYTES(""), BYTES("b")},       {BYTES("a/"), BYTES("a"), BYTES("")},
        {BYTES(""), BYTES(""), BYTES("")},          {BYTES("a%2Fb/c"), BYTES("a%2Fb"), BYTES("c")},
        {BYTES("//"), BYTES(""), BYTES("/")},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice path = cases[i].path;
        struct slice part = uri_next_part(&path);

        if (!slice_eq(part, cases[i].part) || !slice_eq(path, cases[i].rest))
            fail_msg("%.*s: %.*s and %.*s", SLICE_ARGS(cases[i].path), SLICE_ARGS(part),
                     SLICE_ARGS(path));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_decodes_in_place),
        cmocka_unit_test(test_stops_at_the_arenas_cap),
        cmocka_unit_test(test_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
