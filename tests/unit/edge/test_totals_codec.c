/* test_totals_codec.c - the messages between `verify` and analytics: round trips, and bytes that
 * are none.
 */
#include <stdlib.h>

#include "edge/totals_codec.h"
#include "test.h"

static struct total totals[] = {
    {{"a", 1}, {"like", 4}, 0, {1, 1}, TOTAL_KNOWN, INT64_MIN},
    {{"caf\xc3\xa9", 5}, {"view", 4}, 4095, {9, UINT64_MAX}, TOTAL_PASSED, 0},
    {{"a:b", 3}, {"x", 1}, 3, {0, 0}, TOTAL_ELSEWHERE, 0},
};

static void test_hold(void **state) {
    struct hold_ask hold = {UINT64_C(0xfedcba9876543210), 7};
    struct hold_ask got;
    struct buf out = {0};

    (void)state;
    totals_write_hold_answer(&out, &hold);
    assert_int_equal(totals_read_hold_answer(buf_slice(&out), &got), ERR_OK);
    assert_true(got.store_id == hold.store_id && got.number == 7);
    assert_int_equal(totals_read_hold_answer(SLICE("\xff"), &got), ERR_INVALID);
    buf_release(&out);
}

static void test_question(void **state) {
    struct totals_ask ask = {.hold = 3, .more = true, .totals = totals, .count = 3};
    struct totals_ask got;
    struct buf items = {0};
    struct buf out = {0};

    (void)state;
    totals_write_question(&out, &ask);
    assert_int_equal(totals_read_question(buf_slice(&out), &items, &got), ERR_OK);
    assert_true(got.hold == 3 && got.more && got.count == 3);
    for (size_t i = 0; i < got.count; i++) {
        const struct total *total = &got.totals[i];

        assert_true(slice_eq(total->resource_id, totals[i].resource_id) &&
                    slice_eq(total->counter_type, totals[i].counter_type));
        assert_true(total->lane == totals[i].lane && total->at.epoch == totals[i].at.epoch &&
                    total->at.seq == totals[i].at.seq && total->state == TOTAL_AHEAD);
    }
    for (size_t cut = 1; cut < out.len; cut++) /* a whole message may end at some of them */
        if (totals_read_question(slice_of(out.ptr, cut), &items, &got) == ERR_OK)
            assert_true(got.count < 3);
    /* A counter without a name. */
    assert_int_equal(totals_read_question(SLICE("\x1a\x03\x0a\x01x"), &items, &got), ERR_INVALID);
    buf_release(&items);
    buf_release(&out);
}

static void test_answer(void **state) {
    struct totals_ask ask = {.totals = totals, .count = 3};
    struct total copy[4];
    struct totals_ask got = {.totals = copy, .count = 3};
    struct buf out = {0};

    (void)state;
    memset(copy, 0, sizeof(copy));
    totals_write_answer(&out, &ask);
    assert_int_equal(totals_read_answer(buf_slice(&out), &got), ERR_OK);
    for (size_t i = 0; i < 3; i++)
        assert_true(copy[i].state == totals[i].state && copy[i].value == totals[i].value);
    got.count = 2;
    assert_int_equal(totals_read_answer(buf_slice(&out), &got), ERR_INVALID);
    got.count = 4;
    assert_int_equal(totals_read_answer(buf_slice(&out), &got), ERR_INVALID);
    got.count = 1;
    assert_int_equal(totals_read_answer(SLICE("\x0a\x02\x08\x63"), &got), ERR_INVALID);
    assert_int_equal(totals_read_answer(SLICE("\x0a\x00"), &got), ERR_INVALID);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_question),
        cmocka_unit_test(test_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
