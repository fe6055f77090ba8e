/* Analytics on RocksDB against a model that keeps every event: random events, duplicates, late
 * ones, several lanes and epochs, a clock that jumps both ways, crashes at any point. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "analytics_rig.h"
#include "test.h"

#define SEEDS 5
#define STEPS 220

/* While rows are left, and when all have left. */
static void check_all(struct rig *rig) {
    rig_deliver_all(rig);
    rig_check_now(rig);
    while (analytics_is_behind(rig->analytics))
        assert_int_equal(analytics_catch_up(rig->analytics), ERR_OK);
    unsigned behind = rig->behind + rig->still;
    rig_check_now(rig);
    assert_int_equal(rig->behind + rig->still, behind);
}

/* Under way still, or at an end, and then everything up to the stored positions is. */
static void check_end(struct rig *rig) {
    enum err err = analytics_commit_end(rig->analytics, rig_below(rig, 2) == 0);

    assert_true(err == ERR_OK || err == ERR_BUSY);
    for (uint32_t lane = 0; lane < MODEL_LANES; lane++)
        assert_false(event_position_less(analytics_position(rig->analytics, lane),
                                         analytics_stored_position(rig->analytics, lane)));
}

static void step(struct rig *rig) {
    for (uint64_t i = rig_below(rig, 12); i > 0; i--)
        rig_happen(rig);
    if (rig_below(rig, 2))
        rig_deliver(rig, (uint32_t)rig_below(rig, MODEL_LANES));
    if (rig_below(rig, 3) == 0)
        rig_pass_time(rig);
    if (rig_below(rig, 3) == 0)
        rig_move(rig);
    if (rig_below(rig, 3) == 0)
        assert_int_equal(analytics_catch_up(rig->analytics), ERR_OK);
    if (rig_below(rig, 6) == 0)
        assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
    if (rig_below(rig, 4) == 0)
        (void)analytics_commit_begin(rig->analytics);
    if (rig_below(rig, 4) == 0)
        check_end(rig);
    if (rig_below(rig, 9) == 0) {
        rig_crash(rig);
        rig_start(rig);
    }
    if (rig_below(rig, 8) == 0)
        check_all(rig);
}

static void test_like_the_model(void **state) {
    unsigned behind = 0;

    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct rig *rig = rig_new(seed, MODEL_COUNTERS);

        rig->conf.slice_rows = seed % 4; /* 0: as many as there are */
        rig_crash(rig);
        rig_start(rig);
        for (unsigned i = 0; i < STEPS; i++)
            step(rig);
        check_all(rig);
        behind += rig->behind;
        rig_free(rig);
    }
    assert_true(behind > 20);
}

/* ---- a clock that jumps ---- */

static void count_one(struct rig *rig, uint64_t seq, int64_t et_ms) {
    struct event event = {.at = {1, seq},
                          .kind = OP_ADD,
                          .resource_id = SLICE("a"),
                          .counter_type = SLICE("like"),
                          .delta = 5,
                          .new_value = (int64_t)seq * 5,
                          .count = 1,
                          .et_ms = et_ms};

    assert_int_equal(analytics_apply(rig->analytics, &event, 1), ERR_OK);
}

/* What the windows say is what the buckets say. */
static void check_windows(struct rig *rig, int64_t want) {
    static struct stats_answer answer;

    for (unsigned range = 0; range < RANGE_WINDOWS; range++) {
        struct stats_query query = {SLICE("a"), SLICE("like"), (enum time_range)range};
        int64_t sum = 0;

        assert_int_equal(analytics_series(rig->analytics, &query, &answer), ERR_OK);
        for (size_t i = 0; i < answer.count; i++)
            sum += answer.points[i].tally.sum;
        assert_int_equal(answer.total.sum, sum);
        assert_int_equal(answer.total.sum, want);
    }
}

/* Beyond all that is kept and back again, before anything was stored or after, or while it is on
 * its way: either the old buckets are there or they are gone, for windows and series alike. */
static void test_a_clock_far_ahead_and_back(void **state) {
    enum { NOTHING_STORED, STORED, ON_ITS_WAY, CASES };

    (void)state;
    for (unsigned i = 0; i < CASES; i++) {
        struct rig *rig = rig_new(i + 1, MODEL_COUNTERS);
        int64_t ahead_ms = START_MS + 500 * DAY_MS;

        count_one(rig, 1, START_MS);
        assert_int_equal(analytics_move(rig->analytics, START_MS), ERR_OK);
        assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
        assert_int_equal(analytics_move(rig->analytics, ahead_ms), ERR_OK);
        check_windows(rig, 0);
        if (i != NOTHING_STORED) /* takes the old buckets away */
            count_one(rig, 2, START_MS);
        if (i == STORED)
            assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
        if (i == ON_ITS_WAY)
            assert_true(analytics_commit_begin(rig->analytics));
        assert_int_equal(analytics_move(rig->analytics, START_MS), ERR_OK);
        check_windows(rig, i == NOTHING_STORED ? 5 : 0);
        count_one(rig, i == NOTHING_STORED ? 2 : 3, START_MS);
        check_windows(rig, i == NOTHING_STORED ? 10 : 5);
        assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
        check_windows(rig, i == NOTHING_STORED ? 10 : 5);
        rig_crash(rig);
        rig_start(rig);
        check_windows(rig, i == NOTHING_STORED ? 10 : 5);
        rig_free(rig);
    }
}

/* ---- values from the store ---- */

static void check_total(struct rig *rig, uint32_t counter) {
    struct stats_query query = {model_id(counter), model_type(counter), RANGE_ALL};
    static struct stats_answer answer;

    assert_int_equal(analytics_series(rig->analytics, &query, &answer), ERR_OK);
    assert_int_equal(answer.total.sum, rig->model.value[counter]);
}

/* At any moment of counting, with events before and behind the moment they are of: 'all' is right
 * in the end, for counters that never had an event, too. */
static void test_values_from_the_store(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct rig *rig = rig_new(seed, MODEL_COUNTERS + 1);
        struct top_query query = {SLICE("silent"), RANGE_ALL, 0, 10};
        static struct top_answer answer;
        int64_t values[MODEL_COUNTERS];

        for (unsigned i = 0; i < 60; i++)
            step(rig);
        assert_int_equal(analytics_values_begin(rig->analytics), ERR_OK);
        for (uint64_t i = rig_below(rig, 20); i > 0; i--)
            rig_happen(rig);
        memcpy(values, rig->model.value, sizeof(values));
        for (uint32_t i = 0; i < MODEL_COUNTERS; i++) {
            enum err err;

            for (uint64_t k = rig_below(rig, 2); k > 0; k--)
                rig_happen(rig);
            if (rig_below(rig, 3) == 0)
                rig_deliver(rig, (uint32_t)rig_below(rig, MODEL_LANES));
            while ((err = analytics_value(rig->analytics, model_id(i), model_type(i), values[i])) ==
                   ERR_BUSY)
                assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
            assert_int_equal(err, ERR_OK);
        }
        assert_int_equal(
            analytics_value(rig->analytics, SLICE("s"), SLICE("silent"), (int64_t)seed), ERR_OK);
        assert_int_equal(analytics_top(rig->analytics, &query, &answer), ERR_OK);
        assert_false(answer.certainty.exact); /* not all values are there yet */
        analytics_values_end(rig->analytics);
        rig_deliver_all(rig);
        assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
        rig_crash(rig);
        rig_start(rig);
        assert_true(analytics_values_known(rig->analytics));
        for (uint32_t i = 0; i < MODEL_COUNTERS; i++)
            if (rig->model.value[i])
                check_total(rig, i);
        assert_int_equal(analytics_top(rig->analytics, &query, &answer), ERR_OK);
        assert_true(answer.certainty.exact);
        assert_int_equal(answer.count, 1);
        assert_int_equal(top_item(&answer, 0)->tally.sum, seed);
        rig_free(rig);
    }
}

/* ---- a folder of version 1 ---- */

static enum err fill_version_1(struct tally_batch *batch, struct tally_store *store) {
    static const char meta[] = "\1"
                               "\0\0\0\0\0\0\0\x4d"
                               "\0\0\0\4";
    static const char lane[] = "\0\0\0\0\0\0\0\1"
                               "\0\0\0\0\0\0\0\7"
                               "\0";
    static const char counter[] = "\x54\x06\x03"
                                  "a\0like"; /* 42, of which 3 from elsewhere; 3 increments */

    (void)batch;
    store->ops->put(store, SLICE("M\0\0\0\0"), slice_of(meta, sizeof(meta) - 1));
    store->ops->put(store, SLICE("L\0\0\0\0"), slice_of(lane, sizeof(lane) - 1));
    store->ops->put(store, SLICE("C\0\0\0\0"), slice_of(counter, sizeof(counter) - 1));
    return ERR_OK;
}

static void ended(struct tally_batch *batch) {
    (void)batch;
}

static void check_value(struct rig *rig, int64_t value, uint64_t increments) {
    struct stats_query query = {SLICE("a"), SLICE("like"), RANGE_ALL};
    static struct stats_answer answer;

    assert_int_equal(analytics_series(rig->analytics, &query, &answer), ERR_OK);
    assert_int_equal(answer.total.sum, value);
    assert_int_equal(answer.total.increments, increments);
}

static void test_version_1_goes_on(void **state) {
    struct tally_batch batch = {fill_version_1, ended};
    struct rig *rig = rig_new(1, MODEL_COUNTERS);
    struct tally_store *store = rocks_tally_view(rig->rocks);

    (void)state;
    analytics_close(rig->analytics);
    store->ops->begin(store, &batch);
    assert_int_equal(store->ops->end(store, true), ERR_OK);
    rocks_tally_close(rig->rocks);
    rig_start(rig);
    check_value(rig, 42, 3);
    count_one(rig, 8, START_MS);
    assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
    rig_crash(rig);
    rig_start(rig);
    check_value(rig, 40, 4);
    rig_free(rig);
}

/* ---- beyond the limit ---- */

/* Whatever isn't listed has no more than the answer says. */
static void check_bound(struct rig *rig, uint32_t type, enum time_range range) {
    struct top_query query = {model_type(type), range, 0, 3};
    struct top_answer answer = {0};
    uint32_t want[MODEL_IDS];
    size_t listed = model_top(&rig->model, type, range, rig_end_of(rig), want);

    assert_int_equal(analytics_top(rig->analytics, &query, &answer), ERR_OK);
    for (size_t i = 0; i < listed; i++) {
        struct tally tally = model_tally(&rig->model, want[i], range, rig_end_of(rig));
        bool found = false;

        for (size_t k = 0; k < answer.count; k++)
            found |= slice_eq(top_item(&answer, k)->resource_id, model_id(want[i]));
        bool could_be = answer.count < query.limit ||
                        tally.sum > top_item(&answer, answer.count - 1)->tally.sum;
        if (!found && could_be &&
            (answer.certainty.exact || tally.sum > answer.certainty.max_error))
            fail_msg("seed %u: %s: %.*s has %lld, error %lld", rig->seed, time_range_name(range),
                     SLICE_ARGS(model_id(want[i])), (long long)tally.sum,
                     (long long)answer.certainty.max_error);
    }
    top_answer_release(&answer);
}

static void test_beyond_the_limit(void **state) {
    unsigned inexact = 0;

    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct rig *rig = rig_new(seed, 7);

        for (unsigned i = 0; i < STEPS; i++) {
            struct analytics_stats stats;

            rig_happen(rig);
            rig_happen(rig);
            if (rig_below(rig, 10) == 0)
                rig_pass_time(rig);
            if (rig_below(rig, 20) == 0) {
                rig_crash(rig);
                rig_start(rig);
            }
            rig_deliver_all(rig);
            for (unsigned range = 0; range < RANGES; range++)
                check_bound(rig, i % MODEL_TYPES, (enum time_range)range);
            analytics_stats(rig->analytics, &stats);
            assert_true(stats.counters <= 7);
            inexact += stats.refused > 0;
        }
        rig_free(rig);
    }
    assert_true(inexact > 0);
}

/* ---- lanes that can't go on ---- */

static void test_a_gap_halts_the_lane(void **state) {
    struct rig *rig = rig_new(1, MODEL_COUNTERS);
    struct event event = {.at = {1, 1},
                          .kind = OP_ADD,
                          .resource_id = SLICE("a"),
                          .counter_type = SLICE("like"),
                          .delta = 1,
                          .new_value = 1,
                          .count = 1,
                          .et_ms = START_MS};
    struct event second = event;
    struct top_query query = {SLICE("like"), RANGE_1H, 0, 10};
    struct top_answer answer = {0};

    (void)state;
    second.at.seq = 2;
    second.new_value = 2;
    assert_int_equal(analytics_apply(rig->analytics, &event, 1), ERR_OK);
    event.at.seq = 3;
    assert_int_equal(analytics_apply(rig->analytics, &event, 1), ERR_TRIMMED);
    event.at.seq = 2; /* too late: somebody must look */
    assert_int_equal(analytics_apply(rig->analytics, &event, 1), ERR_TRIMMED);
    assert_int_equal(analytics_position(rig->analytics, 0).seq, 1);
    event.lane = 1; /* the others go on */
    event.at.seq = 1;
    event.resource_id = SLICE("b");
    assert_int_equal(analytics_apply(rig->analytics, &event, 1), ERR_OK);
    assert_int_equal(analytics_top(rig->analytics, &query, &answer), ERR_OK);
    assert_int_equal(answer.count, 2);
    assert_false(answer.certainty.exact);
    assert_int_equal(answer.certainty.max_error, -1);
    top_answer_release(&answer);
    assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
    rig_crash(rig);
    rig_start(rig);
    assert_int_equal(analytics_top(rig->analytics, &query, &answer), ERR_OK);
    assert_false(answer.certainty.exact); /* whoever looks, it is still missing */
    top_answer_release(&answer);
    assert_int_equal(analytics_apply(rig->analytics, &second, 1), ERR_OK); /* it goes on */
    rig_free(rig);
}

static void test_another_store_is_refused(void **state) {
    static const struct event_position none[MODEL_LANES + 1];
    struct rig *rig = rig_new(1, MODEL_COUNTERS);

    (void)state;
    assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
    rig_crash(rig);
    rig_start(rig);
    assert_int_equal(analytics_source(rig->analytics, STORE_ID + 1, MODEL_LANES, none), ERR_LAYOUT);
    assert_int_equal(analytics_source(rig->analytics, STORE_ID, MODEL_LANES + 1, none), ERR_LAYOUT);
    rig_free(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_the_model),
        cmocka_unit_test(test_a_clock_far_ahead_and_back),
        cmocka_unit_test(test_values_from_the_store),
        cmocka_unit_test(test_version_1_goes_on),
        cmocka_unit_test(test_beyond_the_limit),
        cmocka_unit_test(test_a_gap_halts_the_lane),
        cmocka_unit_test(test_another_store_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
