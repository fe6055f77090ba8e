/* test_clock_steps.c - the store's clock goes back and an old duplicate is young again.
 *
 * Found by the simulation. The producer is forgotten while the clock is ahead, then
 * sends another message: it has a window again, in which the old number isn't.
 */
#include "core_fixture.h"

#define STEP_MS 3600000

static enum err apply_issued(struct fixture *f, uint64_t number, int64_t issued_ms) {
    struct op add = op_on(OP_ADD, "a", 5, NULL);
    struct message message = {producer_a, number, issued_ms, &add, 1};

    assert_int_equal(applier_apply(f->applier, &message, f->now_ms, f->answers), ERR_OK);
    fixture_commit(f);
    return f->answers[0].err;
}

static void test_forgotten_stays_refused(void **state) {
    (void)state;
    for (int reopened = 0; reopened < 2; reopened++) {
        struct fixture f;

        fixture_init(&f, 1);
        int64_t issued_ms = f.now_ms;

        assert_int_equal(apply_issued(&f, 1, issued_ms), ERR_OK);
        f.now_ms += STEP_MS;
        assert_int_equal(applier_tidy(f.applier, f.now_ms), ERR_OK); /* forgotten */
        fixture_commit(&f);
        assert_int_equal(apply_issued(&f, 2, f.now_ms), ERR_OK);
        f.now_ms -= STEP_MS;
        if (reopened)
            fixture_reopen(&f);
        assert_int_equal(apply_issued(&f, 1, issued_ms), ERR_TOO_OLD);
        assert_answer(fixture_one(&f, 3, op_on(OP_GET, "a", 0, NULL)), ERR_OK, false, 10);
        fixture_release(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forgotten_stays_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
