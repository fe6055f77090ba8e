/* What the fates of its parts make of a message. */
#include "core/parts.h"
#include "test.h"

static void test_one_answer_is_enough_to_deliver(void **state) {
    struct parts parts;
    bool not_applied = true;

    (void)state;
    parts_begin(&parts, 3);
    assert_false(parts_refused(&parts, ERR_UNAVAILABLE));
    assert_false(parts_answered(&parts));
    assert_true(parts_refused(&parts, ERR_BUSY));
    assert_int_equal(parts_outcome(&parts, &not_applied), ERR_OK);
    assert_false(not_applied);
}

static void test_nothing_was_applied_only_if_all_are_refused(void **state) {
    struct parts parts;
    bool not_applied = false;

    (void)state;
    parts_begin(&parts, 2);
    assert_false(parts_refused(&parts, ERR_UNAVAILABLE));
    assert_true(parts_refused(&parts, ERR_BUSY));
    assert_int_equal(parts_outcome(&parts, &not_applied), ERR_BUSY);
    assert_true(not_applied);
}

static void test_one_unknown_makes_all_unknown(void **state) {
    struct parts parts;
    bool not_applied = true;

    (void)state;
    parts_begin(&parts, 3);
    assert_false(parts_answered(&parts));
    assert_false(parts_unknown(&parts));
    assert_true(parts_refused(&parts, ERR_UNAVAILABLE));
    assert_int_equal(parts_outcome(&parts, &not_applied), ERR_UNKNOWN);
    assert_false(not_applied);
}

static void test_clients_keys_wait_for_their_slot(void **state) {
    (void)state;
    assert_true(parts_may_go_ahead(false));
    assert_false(parts_may_go_ahead(true));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_answer_is_enough_to_deliver),
        cmocka_unit_test(test_nothing_was_applied_only_if_all_are_refused),
        cmocka_unit_test(test_one_unknown_makes_all_unknown),
        cmocka_unit_test(test_clients_keys_wait_for_their_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
