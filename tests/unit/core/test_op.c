/* test_op.c - every rule of counter_add() is a row. 'after' is also what stays on an error. */
#include "core/op.h"

#include "base/counter_name.h"
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

/* Its event must fit into a message of Kafka's. */
static void test_the_longest_name(void **state) {
    static char id[COUNTER_NAME_MAX];

    (void)state;
    memset(id, 'i', sizeof(id));
    for (int kind = OP_ADD; kind <= OP_GET; kind++) {
        struct op op = {
            (enum op_kind)kind, 1, slice_of(id, sizeof(id) - 4), SLICE("like"), {NULL, 0}};

        assert_true(op_valid(&op));
        op.resource_id.len++;
        assert_int_equal(op_valid(&op), kind == OP_GET);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_delta_defaults_to_one),
        cmocka_unit_test(test_the_longest_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
