/* test_analytics_summarize.c - trend, average, rate and peak of a series, by hand. */
#include "core/analytics_answer.h"
#include "test.h"

#define MINUTE_MS INT64_C(60000)

static void test_the_last_point_is_not_complete(void **state) {
    static struct stats_answer answer = {.count = 5};
    static const int64_t sums[] = {2, 4, 6, 8, 100};

    (void)state;
    for (size_t i = 0; i < 5; i++)
        answer.points[i] = (struct series_point){(int64_t)i * MINUTE_MS, {sums[i], 1}};
    analytics_summarize(&answer, 5 * MINUTE_MS);
    assert_true(answer.trend > 1.999 && answer.trend < 2.001);
    assert_true(answer.avg > 23.999 && answer.avg < 24.001);
    assert_true(answer.rate > 0.3999 && answer.rate < 0.4001);
    assert_int_equal(answer.peak, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_last_point_is_not_complete)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
