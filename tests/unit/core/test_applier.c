/* test_applier.c - what one applier promises: apply once, replay, refuse, survive a restart. */
#include "core_fixture.h"

static void test_applies_in_order(void **state) {
    (void)state;
    struct fixture f;
    struct op ops[] = {op_on(OP_ADD, "a", 5, NULL),  op_on(OP_GET, "a", 0, NULL),
                       op_on(OP_ADD, "b", -2, NULL), op_on(OP_SET, "a", 100, NULL),
                       op_on(OP_ADD, "a", 1, NULL),  op_on(OP_RESET, "a", 0, NULL),
                       op_on(OP_GET, "a", 0, NULL)};
    const int64_t want[] = {5, 5, -2, 100, 101, 0, 0};

    fixture_init(&f, 4);
    fixture_apply(&f, producer_a, 1, ops, ARRAY_LEN(ops));
    fixture_commit(&f);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        assert_answer(f.answers[i], ERR_OK, false, want[i]);
        assert_int_equal(f.answers[i].time_ms, f.now_ms);
    }
    assert_int_equal(fixture_one(&f, 2, op_on(OP_GET, "never", 0, NULL)).time_ms, 0);
    fixture_release(&f);
}

static void test_replays_after_restart(void **state) {
    (void)state;
    struct fixture f;
    struct op add = op_on(OP_ADD, "a", 5, NULL);

    fixture_init(&f, 4);
    assert_answer(fixture_one(&f, 1, add), ERR_OK, false, 5);
    assert_answer(fixture_one(&f, 2, add), ERR_OK, false, 10);
    assert_answer(fixture_one(&f, 1, add), ERR_OK, false, 5);
    f.now_ms += 1000;
    fixture_reopen(&f);
    struct answer again = fixture_one(&f, 1, add);
    assert_answer(again, ERR_OK, false, 5);
    assert_int_equal(again.time_ms, f.now_ms - 1000);
    assert_answer(fixture_one(&f, 3, op_on(OP_GET, "a", 0, NULL)), ERR_OK, false, 10);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_applies_in_order),
        cmocka_unit_test(test_replays_after_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
