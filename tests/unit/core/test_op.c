/* test_op.c - every rule of counter_add() is a row. 'after' is also what stays on an error. */
#include "core/op.h"

#include "test.h"

static const struct {
    const char *name;
    int64_t before;
    int64_t delta;
    enum err want;
    int64_t after;
} rows[] = {
    {"adds", 40, 2, ERR_OK, 42},
    {"crosses zero downwards", 5, -8, ERR_OK, -3},
    {"refuses a zero delta", 10, 0, ERR_INVALID, 10},
    {"reaches the top", INT64_MAX - 1, 1, ERR_OK, INT64_MAX},
    {"stops past the top", INT64_MAX, 1, ERR_RANGE, INT64_MAX},
    {"reaches the bottom", INT64_MIN + 1, -1, ERR_OK, INT64_MIN},
    {"stops past the bottom", INT64_MIN, -1, ERR_RANGE, INT64_MIN},
    {"survives the worst delta", -1, INT64_MIN, ERR_RANGE, -1},
    {"takes the worst delta where it fits", 0, INT64_MIN, ERR_OK, INT64_MIN},
};

static void test_add(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = rows[i].before;
        enum err got = counter_add(&value, rows[i].delta);

        if (got != rows[i].want || value != rows[i].after)
            fail_msg("%s: got %s and %lld", rows[i].name, err_name(got), (long long)value);
    }
}

static void test_delta_defaults_to_one(void **state) {
    (void)state;
    assert_int_equal(counter_delta(0), 1);
    assert_int_equal(counter_delta(-7), -7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_delta_defaults_to_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
