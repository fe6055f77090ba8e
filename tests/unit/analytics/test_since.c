/* What analytics says of events that were gone before it began: in which ranges, until when, and
 * what the values from the store mend. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/analytics.h"
#include "edge/rocks_tally.h"
#include "test.h"

#define START_MS  (INT64_C(1790000000) * 1000)
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define LANES     3

static const struct event_position anywhere[LANES];

struct rig {
    char folder[64];
    struct rocks_tally *rocks;
    struct analytics *analytics;
};

static void start(struct rig *rig, const struct event_position *from) {
    struct rocks_tally_conf store = {1 << 20, 1 << 20};
    struct analytics_conf conf = {.counters_max = 20, .pending_max = 64, .hash_seed = {3, 5}};
    const char *detail = NULL;

    assert_int_equal(rocks_tally_open(rig->folder, &store, &rig->rocks, &detail), ERR_OK);
    assert_int_equal(analytics_open(rocks_tally_view(rig->rocks), &conf, START_MS, &rig->analytics),
                     ERR_OK);
    assert_int_equal(analytics_source(rig->analytics, 77, LANES, from), ERR_OK);
}

static void begin(struct rig *rig, const struct event_position *from) {
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/hgp-since-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    start(rig, from);
}

static void stop(struct rig *rig) {
    analytics_close(rig->analytics);
    rocks_tally_close(rig->rocks);
}

static void end(struct rig *rig) {
    stop(rig);
    assert_int_equal(rocks_tally_remove(rig->folder), ERR_OK);
    assert_int_equal(access(rig->folder, F_OK), -1);
}

/* 5 more, which makes 'value'. */
static void count(struct rig *rig, uint32_t lane, struct event_position at, int64_t et_ms,
                  int64_t value) {
    struct event event = {.lane = lane,
                          .at = at,
                          .kind = OP_ADD,
                          .resource_id = SLICE("a"),
                          .counter_type = SLICE("like"),
                          .delta = 5,
                          .new_value = value,
                          .count = 1,
                          .et_ms = et_ms};

    assert_int_equal(analytics_apply(rig->analytics, &event, 1), ERR_OK);
}

static void expect(struct rig *rig, enum time_range range, bool exact, int64_t since_ms) {
    static struct stats_answer stats;
    struct stats_query counter = {SLICE("a"), SLICE("like"), range};
    struct top_query ranking = {SLICE("like"), range, 0, 10};
    struct top_answer top = {0};

    assert_int_equal(analytics_top(rig->analytics, &ranking, &top), ERR_OK);
    assert_int_equal(analytics_series(rig->analytics, &counter, &stats), ERR_OK);
    assert_int_equal(top.certainty.exact, exact);
    assert_int_equal(stats.certainty.exact, exact);
    assert_int_equal(top.certainty.since_ms, since_ms);
    assert_int_equal(stats.certainty.since_ms, since_ms);
    if (!exact)
        assert_int_equal(top.certainty.max_error, -1);
    top_answer_release(&top);
}

static void take_values(struct rig *rig) {
    assert_int_equal(analytics_values_begin(rig->analytics), ERR_OK);
    assert_int_equal(analytics_value(rig->analytics, SLICE("a"), SLICE("like"), 45), ERR_OK);
    analytics_values_end(rig->analytics);
}

static void expect_no_drift(const struct rig *rig) {
    struct analytics_stats stats;

    analytics_stats(rig->analytics, &stats);
    assert_int_equal(stats.drifting, 0);
}

/* A range that reaches back before it says so, until it has passed; stored, too. */
static void test_the_first_event_is_a_later_one(void **state) {
    struct rig rig;

    (void)state;
    begin(&rig, anywhere);
    expect(&rig, RANGE_24H, true, 0);
    count(&rig, 0, (struct event_position){1, 9}, START_MS, 45);
    expect_no_drift(&rig); /* what it was before isn't known */
    for (int known = 0; known < 2; known++) {
        assert_int_equal(analytics_move(rig.analytics, START_MS + HOUR_MS), ERR_OK);
        expect(&rig, RANGE_24H, false, START_MS);
        expect(&rig, RANGE_ALL, known, START_MS);
        assert_int_equal(analytics_move(rig.analytics, START_MS + 2 * DAY_MS), ERR_OK);
        expect(&rig, RANGE_24H, true, 0);
        expect(&rig, RANGE_7D, false, START_MS);
        take_values(&rig);
        expect(&rig, RANGE_ALL, true, START_MS);
        assert_int_equal(analytics_commit(rig.analytics), ERR_OK);
        stop(&rig);
        start(&rig, anywhere);
    }
    end(&rig);
}

static void test_nothing_is_gone(void **state) {
    struct rig rig;

    (void)state;
    begin(&rig, anywhere);
    count(&rig, 0, (struct event_position){1, 1}, START_MS, 5);
    count(&rig, 0, (struct event_position){2, 1}, START_MS + 1, 10);
    expect(&rig, RANGE_30D, true, 0);
    expect(&rig, RANGE_ALL, true, 0);
    assert_true(analytics_values_known(rig.analytics));
    end(&rig);
}

/* Only a lane's first event may be any. */
static void test_an_epoch_begins_at_1(void **state) {
    struct event event = {.at = {4, 2},
                          .resource_id = SLICE("a"),
                          .counter_type = SLICE("like"),
                          .count = 1,
                          .et_ms = START_MS};
    struct rig rig;

    (void)state;
    begin(&rig, anywhere);
    count(&rig, 0, (struct event_position){1, 1}, START_MS, 5);
    assert_int_equal(analytics_apply(rig.analytics, &event, 1), ERR_TRIMMED);
    end(&rig);
}

/* Until a lane's first event tells better, it may have been anything up to now. */
static void test_a_source_that_begins_later(void **state) {
    static const struct event_position from[LANES] = {{1, 8}, {1, 0}, {2, 0}};
    struct rig rig;

    (void)state;
    begin(&rig, from);
    assert_false(analytics_values_known(rig.analytics));
    expect(&rig, RANGE_1H, false, START_MS);
    count(&rig, 0, (struct event_position){1, 9}, START_MS - 5 * MINUTE_MS, 45);
    expect(&rig, RANGE_1H, false, START_MS);
    count(&rig, 2, (struct event_position){2, 1}, START_MS - 2 * MINUTE_MS, 50);
    expect(&rig, RANGE_1H, false, START_MS - 2 * MINUTE_MS);
    end(&rig);
}

/* What is passed over is missing like what was gone; a lane that has events isn't passed over. */
static void test_a_lane_that_is_passed_over(void **state) {
    struct rig rig;

    (void)state;
    begin(&rig, anywhere);
    count(&rig, 0, (struct event_position){1, 1}, START_MS, 5);
    analytics_skip(rig.analytics, 0, (struct event_position){1, 9});
    assert_int_equal(analytics_position(rig.analytics, 0).seq, 1);
    expect(&rig, RANGE_1H, true, 0);
    analytics_skip(rig.analytics, 1, (struct event_position){1, 9});
    assert_int_equal(analytics_position(rig.analytics, 1).seq, 9);
    expect(&rig, RANGE_1H, false, START_MS);
    count(&rig, 1, (struct event_position){1, 10}, START_MS + 1, 50);
    end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_event_is_a_later_one),
        cmocka_unit_test(test_nothing_is_gone),
        cmocka_unit_test(test_an_epoch_begins_at_1),
        cmocka_unit_test(test_a_source_that_begins_later),
        cmocka_unit_test(test_a_lane_that_is_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
