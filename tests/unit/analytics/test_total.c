/* A counter's total at a position: before the lane is there, there, and behind it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/analytics.h"
#include "core/analytics_total.h"
#include "edge/rocks_tally.h"
#include "test.h"

#define NOW_MS (INT64_C(1790000000) * 1000)

static struct {
    char folder[64];
    struct rocks_tally *rocks;
    struct analytics *analytics;
} rig;

static void open_rig_beside(uint32_t counters_max, const struct event_position *from,
                            bool others_write) {
    struct rocks_tally_conf conf = {1 << 20, 1 << 20};
    struct analytics_conf own = {.counters_max = counters_max,
                                 .pending_max = 64,
                                 .hash_seed = {7, 5},
                                 .others_write = others_write};
    const char *detail = NULL;

    (void)snprintf(rig.folder, sizeof(rig.folder), "/tmp/hgp-total-XXXXXX");
    assert_non_null(mkdtemp(rig.folder));
    assert_int_equal(rocks_tally_open(rig.folder, &conf, &rig.rocks, &detail), ERR_OK);
    assert_int_equal(analytics_open(rocks_tally_view(rig.rocks), &own, NOW_MS, &rig.analytics),
                     ERR_OK);
    assert_int_equal(analytics_source(rig.analytics, 7, 2, from), ERR_OK);
}

static void open_rig(uint32_t counters_max, const struct event_position *from) {
    open_rig_beside(counters_max, from, false);
}

static void close_rig(void) {
    char command[96];

    analytics_close(rig.analytics);
    rocks_tally_close(rig.rocks);
    (void)snprintf(command, sizeof(command), "rm -r %s", rig.folder);
    assert_int_equal(system(command), 0);
}

static void count(const char *name, uint64_t seq, int64_t delta, int64_t new_value) {
    struct event event = {.lane = 0,
                          .at = {1, seq},
                          .resource_id = slice_str(name),
                          .counter_type = SLICE("like"),
                          .delta = delta,
                          .new_value = new_value,
                          .count = 1,
                          .et_ms = NOW_MS};

    assert_int_equal(analytics_apply(rig.analytics, &event, 1), ERR_OK);
}

static void expect(const char *name, uint32_t lane, uint64_t seq, enum total_state state,
                   int64_t value) {
    struct total total = {.resource_id = slice_str(name),
                          .counter_type = SLICE("like"),
                          .lane = lane,
                          .at = {1, seq}};

    analytics_total(rig.analytics, &total);
    if (total.state != state || total.value != value)
        fail_msg("%s at %u-%u: state %d, value %d", name, (unsigned)lane, (unsigned)seq,
                 (int)total.state, (int)total.value);
}

static void test_at_a_position(void **state) {
    static const struct event_position begin[2];

    (void)state;
    open_rig(100, begin);
    expect("a", 0, 0, TOTAL_KNOWN, 0);
    expect("a", 0, 1, TOTAL_ELSEWHERE, 0); /* whoever counts this lane has counted that event */
    count("a", 1, 5, 5);
    expect("a", 0, 0, TOTAL_PASSED, 0);
    expect("a", 0, 1, TOTAL_KNOWN, 5);
    expect("b", 0, 1, TOTAL_KNOWN, 0);
    expect("a", 0, 2, TOTAL_AHEAD, 0);
    count("a", 2, -7, -2);
    expect("a", 0, 1, TOTAL_PASSED, 0);
    expect("a", 0, 2, TOTAL_KNOWN, -2);
    expect("a", 1, 0, TOTAL_KNOWN, -2);
    expect("a", 1, 3, TOTAL_ELSEWHERE, 0);
    expect("a", 2, 3, TOTAL_ELSEWHERE, 0); /* there is no such lane */
    analytics_halt(rig.analytics, 0);
    expect("a", 0, 2, TOTAL_HALTED, 0);
    close_rig();
}

static void test_begun_later(void **state) {
    static const struct event_position later[2] = {{1, 8}, {1, 8}};

    (void)state;
    open_rig(100, later);
    expect("a", 0, 8, TOTAL_UNHEARD, 0);
    count("a", 9, 1, 30);
    expect("a", 0, 9, TOTAL_KNOWN, 30);
    expect("b", 0, 9, TOTAL_UNHEARD, 0);
    assert_int_equal(analytics_values_begin(rig.analytics), ERR_OK);
    expect("a", 0, 9, TOTAL_UNHEARD, 0); /* it may have been another one before */
    assert_int_equal(analytics_value(rig.analytics, SLICE("b"), SLICE("like"), 4), ERR_OK);
    analytics_values_end(rig.analytics);
    expect("b", 0, 9, TOTAL_KNOWN, 4);
    expect("c", 0, 9, TOTAL_KNOWN, 0);
    close_rig();
}

static void test_beyond_the_limit(void **state) {
    static const struct event_position begin[2];

    (void)state;
    open_rig(1, begin);
    count("a", 1, 1, 1);
    count("b", 2, 1, 1);
    expect("a", 0, 2, TOTAL_KNOWN, 1);
    expect("b", 0, 2, TOTAL_NOT_HELD, 0);
    close_rig();
}

static void expect_drift(uint64_t checked, uint64_t drifting, uint64_t external) {
    struct analytics_stats stats;

    analytics_stats(rig.analytics, &stats);
    assert_int_equal(stats.checked, checked);
    assert_int_equal(stats.drifting, drifting);
    assert_int_equal(stats.external, external);
}

static void test_drift(void **state) {
    static const struct event_position begin[2];

    (void)state;
    open_rig(1, begin);
    count("a", 1, 5, 5);
    count("a", 2, -7, -2);
    expect_drift(2, 0, 0);
    count("a", 3, 1, 9); /* it was 8 */
    expect_drift(3, 1, 0);
    count("a", 4, 1, 10); /* right again */
    count("b", 5, 1, 30); /* not held */
    expect_drift(4, 1, 0);
    close_rig();
    open_rig_beside(100, begin, true);
    count("a", 1, 1, 41); /* somebody's 40 */
    expect_drift(1, 0, 1);
    close_rig();
}

static void test_drift_after_values_from_the_store(void **state) {
    static const struct event_position later[2] = {{1, 8}, {1, 8}};

    (void)state;
    open_rig(100, later);
    count("a", 9, 1, 30); /* what it was isn't known */
    expect_drift(0, 0, 0);
    assert_int_equal(analytics_values_begin(rig.analytics), ERR_OK);
    count("a", 10, 1, 31);
    assert_int_equal(analytics_value(rig.analytics, SLICE("b"), SLICE("like"), 4), ERR_OK);
    analytics_values_end(rig.analytics);
    count("b", 11, 1, 3); /* the value was of a later moment */
    expect_drift(0, 0, 0);
    count("b", 12, 1, 4);
    count("c", 13, 1, 1); /* new */
    expect_drift(2, 0, 0);
    count("b", 14, 1, 6);
    expect_drift(3, 1, 0);
    close_rig();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_a_position),
        cmocka_unit_test(test_begun_later),
        cmocka_unit_test(test_beyond_the_limit),
        cmocka_unit_test(test_drift),
        cmocka_unit_test(test_drift_after_values_from_the_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
