/* test_spare.c - pieces come back by size, within a bound; arenas and buffers live on them. */
#include "base/spare.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/sanitizer.h"
#include "test.h"

#define KEPT_MAX 8192u
#define CHUNK    (1024u - ARENA_CHUNK_HEAD)

static void test_rooms(void **state) {
    static const struct {
        size_t bytes, room;
    } rows[] = {{0, 256},    {1, 256},       {256, 256},     {257, 512},     {512, 512},
                {513, 1024}, {65535, 65536}, {65536, 65536}, {65537, 65537}, {SIZE_MAX, SIZE_MAX}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(spare_room(rows[i].bytes), rows[i].room);
}

/* The address sanitizer is to see every piece go. */
static size_t kept(size_t bytes) {
    return MEMORY_IS_WATCHED ? 0 : bytes;
}

static void test_by_size(void **state) {
    struct spare spare;

    (void)state;
    spare_init(&spare, KEPT_MAX);
    void *small = spare_take(&spare, 256);
    void *large = spare_take(&spare, 4096);
    assert_true(small && large);
    spare_give(&spare, small, 256);
    spare_give(&spare, large, 4096);
    assert_int_equal(spare.kept_bytes, kept(256 + 4096));
    void *other = spare_take(&spare, 512);
    assert_int_equal(spare.kept_bytes, kept(256 + 4096));
    void *again = spare_take(&spare, 4096);
    assert_true(MEMORY_IS_WATCHED || again == large);
    assert_int_equal(spare.kept_bytes, kept(256));
    spare_give(&spare, again, 4096);
    spare_give(&spare, other, 512);
    spare_release(&spare);
    assert_int_equal(spare.kept_bytes, 0);
}

static void test_bound(void **state) {
    struct spare spare;
    void *pieces[4];

    (void)state;
    spare_init(&spare, KEPT_MAX);
    for (size_t i = 0; i < 4; i++)
        assert_non_null(pieces[i] = spare_take(&spare, 4096));
    for (size_t i = 0; i < 4; i++)
        spare_give(&spare, pieces[i], 4096);
    assert_int_equal(spare.kept_bytes, kept(KEPT_MAX));
    void *huge = spare_take(&spare, SPARE_LARGEST + 1);
    assert_non_null(huge);
    spare_give(&spare, huge, SPARE_LARGEST + 1);
    assert_int_equal(spare.kept_bytes, kept(KEPT_MAX));
    spare_give(&spare, NULL, 256);
    spare_release(&spare);
}

/* The second time all comes from what the first has given back. */
static void test_arena(void **state) {
    struct spare spare;
    struct arena arena;

    (void)state;
    spare_init(&spare, KEPT_MAX);
    arena_init_spare(&arena, &spare, CHUNK, KEPT_MAX);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            char *piece = arena_alloc(&arena, CHUNK);

            assert_non_null(piece);
            memset(piece, 'x', CHUNK);
        }
        char *large = arena_alloc(&arena, 1500);
        assert_non_null(large);
        memset(large, 'y', 1500);
        assert_int_equal(arena.held, 3 * CHUNK + 2048 - ARENA_CHUNK_HEAD);
        assert_int_equal(spare.kept_bytes, 0);
        arena_reset(&arena, CHUNK);
        assert_int_equal(arena.held, CHUNK);
        assert_int_equal(spare.kept_bytes, kept(2 * 1024 + 2048));
    }
    arena_release(&arena);
    assert_int_equal(spare.kept_bytes, kept(3 * 1024 + 2048));
    assert_non_null(arena_alloc(&arena, 1)); /* it goes on with the same spare */
    arena_release(&arena);
    spare_release(&spare);
}

static void test_buf(void **state) {
    struct spare spare;
    struct buf buf = {.spare = &spare};

    (void)state;
    spare_init(&spare, KEPT_MAX);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++)
            buf_add_char(&buf, (char)('a' + i % 26));
        assert_int_equal(buf.cap, 1024);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(buf.ptr[i], 'a' + i % 26);
        assert_int_equal(spare.kept_bytes, kept(256 + 512));
        buf_release(&buf);
        assert_int_equal(spare.kept_bytes, kept(256 + 512 + 1024));
    }
    /* Past the largest piece it is malloc's alone, and back. */
    assert_true(buf_reserve(&buf, SPARE_LARGEST));
    buf.len = SPARE_LARGEST;
    buf_add_char(&buf, 'z');
    assert_int_equal(buf.cap, 2 * SPARE_LARGEST);
    assert_int_equal(buf.ptr[SPARE_LARGEST], 'z');
    assert_true(buf_resize(&buf, 3 * SPARE_LARGEST));
    assert_int_equal(buf.ptr[SPARE_LARGEST], 'z');
    buf_release(&buf);
    spare_release(&spare);
}

/* What was needed once is taken at once, but not for a little. */
static void test_buf_again(void **state) {
    struct spare spare;
    struct buf buf = {.spare = &spare};

    (void)state;
    spare_init(&spare, KEPT_MAX);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3000; i++) {
            buf_add_char(&buf, 'a');
            if (i == 1000)
                assert_int_equal(buf.cap, 1024);
            else if (i == 1024)
                assert_int_equal(buf.cap, round && kept(1) ? 4096 : 2048);
        }
        assert_int_equal(buf.cap, 4096);
        buf_release(&buf);
    }
    assert_int_equal(spare_larger(&spare, 2048), kept(1) ? 4096 : 2048);
    assert_int_equal(spare_larger(&spare, 4096), 4096);
    assert_int_equal(spare_larger(&spare, SPARE_LARGEST + 1), SPARE_LARGEST + 1);
    spare_release(&spare);
}

static void test_none(void **state) {
    (void)state;
    void *piece = spare_take(NULL, 256);

    assert_non_null(piece);
    piece = spare_grow(NULL, piece, 256, 0, 1000);
    assert_non_null(piece);
    spare_give(NULL, piece, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rooms),     cmocka_unit_test(test_by_size),
        cmocka_unit_test(test_bound),     cmocka_unit_test(test_arena),
        cmocka_unit_test(test_buf),       cmocka_unit_test(test_none),
        cmocka_unit_test(test_buf_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
