/* test_arena.c - the cap holds, chunks are kept over a reset, copies end in NUL. */
#include "base/arena.h"

#include <string.h>

#include "test.h"

static void test_stops_at_cap(void **state) {
    (void)state;
    struct arena arena;

    arena_init(&arena, 64, 256);
    for (int i = 0; i < 4; i++)
        assert_non_null(arena_alloc(&arena, 64));
    assert_false(arena_overflowed(&arena));
    assert_null(arena_alloc(&arena, 1));
    assert_true(arena_overflowed(&arena));
    arena_reset(&arena, SIZE_MAX);
    assert_false(arena_overflowed(&arena));
    assert_int_equal(arena.held, 256);
    assert_non_null(arena_alloc(&arena, 64));
    arena_release(&arena);
}

static void test_keeps_only_what_was_asked(void **state) {
    (void)state;
    struct arena arena;

    arena_init(&arena, 64, 4096);
    for (int i = 0; i < 8; i++)
        assert_non_null(arena_alloc(&arena, 64));
    arena_reset(&arena, 128);
    assert_int_equal(arena.held, 128);
    /* A piece larger than a kept chunk gets a chunk of its own. */
    char *big = arena_alloc(&arena, 1000);
    assert_non_null(big);
    memset(big, 'x', 1000);
    arena_release(&arena);
}

static void test_copy_ends_in_nul(void **state) {
    (void)state;
    struct arena arena;

    arena_init(&arena, 64, 128);
    struct slice copy = arena_copy(&arena, SLICE("abc"));
    assert_int_equal(copy.len, 3);
    assert_string_equal(copy.ptr, "abc");
    assert_null(arena_copy(&arena, slice_of("", 1000)).ptr);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops_at_cap),
        cmocka_unit_test(test_keeps_only_what_was_asked),
        cmocka_unit_test(test_copy_ends_in_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
