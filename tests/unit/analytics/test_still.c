/* Rankings stay exact while buckets leave: what is answered is as of the time that is answered. */
#include "analytics_rig.h"
#include "core/analytics_partition.h"
#include "test.h"

#define SEEDS 3
#define STEPS 200

/* Buckets leave by so many rows at a time. */
static struct rig *rig_of_slices(unsigned seed, uint32_t slice_rows) {
    struct rig *rig = rig_new(seed, MODEL_COUNTERS);

    rig->conf.slice_rows = slice_rows;
    rig_crash(rig);
    rig_start(rig);
    return rig;
}

/* A clock that just runs on, by less than a minute at a time: every ranking is exact at every
 * moment, whatever leaves, as of now or as of the moment before it began to. */
static void test_exact_while_buckets_leave(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct rig *rig = rig_of_slices(seed, 1 + seed % 3);

        for (unsigned i = 0; i < STEPS; i++) {
            for (uint64_t k = rig_below(rig, 12); k > 0; k--)
                rig_happen(rig);
            rig->clock_ms += (int64_t)rig_below(rig, (uint64_t)MINUTE_MS);
            rig_deliver_all(rig);
            rig_check_now(rig);
            while (analytics_is_behind(rig->analytics) && rig_below(rig, 8)) {
                rig_happen(rig);
                rig_deliver_all(rig);
                rig_check_now(rig);
                assert_int_equal(analytics_catch_up(rig->analytics), ERR_OK);
            }
            rig_check_now(rig);
            if (rig_below(rig, 3) == 0)
                assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
        }
        assert_int_equal(rig->behind, 0);
        assert_true(rig->still > 100);
        rig_free(rig);
    }
}

/* Minute by minute, until a ranking is as of before. */
static void run_until_still(struct rig *rig, const struct top_query *query,
                            struct top_answer *answer) {
    do {
        for (unsigned i = 0; i < 40; i++)
            rig_happen(rig);
        rig->clock_ms += MINUTE_MS;
        rig_deliver_all(rig);
        assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
        assert_int_equal(analytics_top(rig->analytics, query, answer), ERR_OK);
        assert_true(rig->clock_ms < START_MS + 4 * HOUR_MS);
    } while (answer->as_of_ms == analytics_end_ms(rig->analytics));
}

/* What was there before shows counters that another process may have by now. */
static void test_not_beyond_a_move_of_partitions(void **state) {
    struct rig *rig = rig_of_slices(1, 1);
    struct top_query query = {model_type(0), RANGE_1H, 0, MODEL_IDS};
    struct top_answer answer = {0};

    (void)state;
    run_until_still(rig, &query, &answer);
    assert_true(answer.certainty.exact);
    assert_int_equal(analytics_leave(rig->analytics, 0, 2, SLICE("peer")), ERR_OK);
    assert_int_equal(analytics_top(rig->analytics, &query, &answer), ERR_OK);
    assert_false(answer.certainty.exact);
    assert_int_equal(answer.as_of_ms, analytics_end_ms(rig->analytics));
    top_answer_release(&answer);
    rig_free(rig);
}

/* A clock that has stood still or jumps shows nothing that is long over. */
static void test_not_as_of_long_ago(void **state) {
    struct rig *rig = rig_of_slices(1, 1);
    struct top_query query = {model_type(0), RANGE_1H, 0, MODEL_IDS};
    struct top_answer answer = {0};

    (void)state;
    run_until_still(rig, &query, &answer);
    rig->clock_ms += 10 * MINUTE_MS;
    rig_deliver_all(rig);
    assert_true(analytics_is_behind(rig->analytics));
    assert_int_equal(analytics_top(rig->analytics, &query, &answer), ERR_OK);
    assert_false(answer.certainty.exact);
    assert_int_equal(answer.as_of_ms, analytics_end_ms(rig->analytics));
    top_answer_release(&answer);
    rig_free(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_while_buckets_leave),
        cmocka_unit_test(test_not_beyond_a_move_of_partitions),
        cmocka_unit_test(test_not_as_of_long_ago),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
