/* A counter's name in one line: what redis_counter_id() writes is read back, and what isn't one. */
#include "edge/redis_name.h"

#include "edge/redis_apply.h"
#include "test.h"

static const struct {
    const char *resource;
    const char *type;
    const char *name;
} rows[] = {
    {"post-1", "like", "post-1:like"}, {"a:b", "c", "a:b:c"}, {"a", "b:c", "a:b%3Ac"},
    {"a%", "50%", "a%:50%25"},         {":", ":", "::%3A"},   {"a%3A", "%3A%25", "a%3A:%253A%2525"},
};

static void test_there_and_back(void **state) {
    struct buf name = {0};
    struct buf type = {0};
    struct slice resource;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_clear(&name);
        redis_counter_id(&name, slice_str(rows[i].resource), slice_str(rows[i].type));
        if (!slice_eq(buf_slice(&name), slice_str(rows[i].name)))
            fail_msg("%s is written %.*s", rows[i].name, SLICE_ARGS(buf_slice(&name)));
        assert_int_equal(redis_name_read(buf_slice(&name), &resource, &type), ERR_OK);
        assert_true(slice_eq(resource, slice_str(rows[i].resource)));
        assert_true(slice_eq(buf_slice(&type), slice_str(rows[i].type)));
    }
    buf_release(&name);
    buf_release(&type);
}

static void test_no_names(void **state) {
    static const struct slice texts[] = {
        {"", 0},     {"a", 1},     {":a", 2},    {"a:", 2},     {"a:%", 3},
        {"a:%2", 4}, {"a:%3a", 5}, {"a:%41", 5}, {"a\0b:c", 5}, {"a:b\0", 4},
    };
    struct buf type = {0};
    struct slice resource;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (redis_name_read(texts[i], &resource, &type) != ERR_INVALID)
            fail_msg("row %zu is taken for a name", i);
    buf_release(&type);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_no_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
