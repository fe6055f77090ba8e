/* test_h2_memory.c - what nghttp2 gives back comes again, and not more of it is kept than agreed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/sanitizer.h"
#include "edge/h2_memory.h"
#include "test.h"

static struct h2_memory memory;

static int setup(void **state) {
    (void)state;
    h2_memory_init(&memory);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    h2_memory_release(&memory);
    return 0;
}

static void *take(size_t bytes) {
    void *piece = memory.mem.malloc(bytes, &memory);

    assert_non_null(piece);
    memset(piece, 0xa5, bytes); /* there is room */
    return piece;
}

static void give(void *piece) {
    memory.mem.free(piece, &memory);
}

static void test_a_piece_comes_again(void **state) {
    (void)state;
    if (MEMORY_IS_WATCHED)
        skip();
    void *piece = take(100);
    give(piece);
    assert_int_equal(memory.kept_bytes, 128);
    void *larger = take(129);
    assert_ptr_not_equal(larger, piece);
    void *zeroed = memory.mem.calloc(16, 8, &memory);
    assert_ptr_equal(zeroed, piece);
    assert_int_equal(memory.kept_bytes, 0);
    for (size_t i = 0; i < 128; i++)
        assert_int_equal(((char *)zeroed)[i], 0);
    give(zeroed);
    give(larger);
}

static void test_growing_keeps_the_bytes(void **state) {
    static const size_t sizes[] = {1, 64, 65, 1024, 1025, 5000};
    char *piece = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        piece = memory.mem.realloc(piece, sizes[i], &memory);
        assert_non_null(piece);
        assert_int_equal((uintptr_t)piece % _Alignof(max_align_t), 0);
        for (size_t at = 0; i && at < sizes[i - 1]; at++)
            assert_int_equal(piece[at], (char)i);
        memset(piece, (int)i + 1, sizes[i]);
    }
    give(piece);
    give(NULL);
}

static void test_what_is_kept_has_a_bound(void **state) {
    static void *pieces[2 * H2_MEMORY_KEPT_MAX / 1024];
    size_t count = sizeof(pieces) / sizeof(pieces[0]);

    (void)state;
    for (size_t i = 0; i < count; i++)
        pieces[i] = take(1024);
    for (size_t i = 0; i < count; i++)
        give(pieces[i]);
    assert_int_equal(memory.kept_bytes, MEMORY_IS_WATCHED ? 0 : H2_MEMORY_KEPT_MAX);
    give(take(100000)); /* of a size that nothing is kept of */
    assert_in_range(memory.kept_bytes, 0, H2_MEMORY_KEPT_MAX);
}

static void test_impossible_sizes(void **state) {
    (void)state;
    assert_null(memory.mem.calloc(SIZE_MAX / 2, 3, &memory));
    assert_null(memory.mem.malloc(SIZE_MAX - 8, &memory));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_piece_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_growing_keeps_the_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_kept_has_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_impossible_sizes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
