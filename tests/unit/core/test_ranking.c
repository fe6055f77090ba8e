/* The ranking against a sort, for any sequence of changes. */
#include <stdlib.h>

#include "core/ranking.h"
#include "core/time_range.h"
#include "test.h"

#define ENTRIES 300
#define CHANGES 20000

static uint32_t random_state = 20261126;

static uint32_t next_random(void) {
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

static bool higher_number(const struct ranking_order *order, uint32_t a, uint32_t b) {
    (void)order;
    return a > b;
}

static const struct ranking_order order = {.before = higher_number};
static struct tally models[RANGES][ENTRIES];
static const struct tally *model; /* that compare() looks at */

static int compare(const void *x, const void *y) {
    uint32_t a = *(const uint32_t *)x;
    uint32_t b = *(const uint32_t *)y;

    if (model[a].sum != model[b].sum)
        return model[a].sum > model[b].sum ? -1 : 1;
    return a > b ? -1 : 1;
}

static void check_top(const struct rankings *rankings, enum time_range range, size_t max) {
    uint32_t want[ENTRIES];
    uint32_t got[ENTRIES];
    size_t listed = 0;
    size_t count;

    model = models[range];
    for (uint32_t i = 0; i < rankings->count; i++)
        if (!tally_empty(model[i]))
            want[listed++] = i;
    qsort(want, listed, sizeof(*want), compare);
    assert_int_equal(ranking_top(rankings, &order, range, max, got, &count), ERR_OK);
    assert_int_equal(count, listed < max ? listed : max);
    assert_memory_equal(got, want, count * sizeof(*got));
}

/* Now and then there is one more. */
static void maybe_grow(struct rankings *rankings) {
    if (rankings->count < ENTRIES && (rankings->count == 0 || next_random() % 20 == 0))
        assert_int_equal(ranking_grow(rankings, &order), ERR_OK);
}

static void test_any_changes(void **state) {
    struct rankings rankings = {0};

    (void)state;
    memset(models, 0, sizeof(models));
    for (unsigned i = 0; i < CHANGES; i++) {
        maybe_grow(&rankings);
        uint32_t number = next_random() % rankings.count;
        enum time_range range = (enum time_range)(next_random() % RANGES);
        struct tally tally =
            next_random() % 4 == 0
                ? (struct tally){0}
                : (struct tally){(int64_t)(next_random() % 9) - 4, next_random() % 2};
        models[range][number] = tally;
        ranking_set(&rankings, &order, range, number, tally);
        if (i % 7 == 0)
            check_top(&rankings, (enum time_range)(i % RANGES), next_random() % (ENTRIES + 1));
    }
    memset(models[RANGE_7D], 0, sizeof(models[RANGE_7D]));
    ranking_reset(&rankings, &order, RANGE_7D);
    for (unsigned i = 0; i < RANGES; i++)
        check_top(&rankings, (enum time_range)i, ENTRIES);
    ranking_release(&rankings);
}

/* As events do it: an entry rises in all ranges one after the other, in some of which it is ahead
 * of what it is behind in others. Meanwhile entries come, others fall, a window begins anew. */
static void test_rises_in_all_ranges(void **state) {
    struct rankings rankings = {0};

    (void)state;
    memset(models, 0, sizeof(models));
    for (unsigned i = 0; i < CHANGES; i++) {
        maybe_grow(&rankings);
        uint32_t number = next_random() % (1 + next_random() % rankings.count); /* low ones more */
        int64_t delta = next_random() % 8 == 0 ? -2 : 1;

        for (unsigned range = 0; range < RANGES; range++) {
            struct tally *tally = &models[range][number];

            tally_add(tally, (struct tally){delta, 1});
            ranking_set(&rankings, &order, (enum time_range)range, number, *tally);
        }
        if (next_random() % 200 == 0) {
            enum time_range range = (enum time_range)(next_random() % RANGES);

            memset(models[range], 0, sizeof(models[range]));
            ranking_reset(&rankings, &order, range);
        }
        if (i % 7 == 0)
            check_top(&rankings, (enum time_range)(i % RANGES), next_random() % (ENTRIES + 1));
    }
    ranking_release(&rankings);
}

static void test_empty(void **state) {
    struct rankings rankings = {0};
    uint32_t got[1];
    size_t count = 7;

    (void)state;
    assert_int_equal(ranking_top(&rankings, &order, RANGE_1H, 1, got, &count), ERR_OK);
    assert_int_equal(count, 0);
    ranking_reset(&rankings, &order, RANGE_1H);
    ranking_release(&rankings);
}

/* ---- ranges ---- */

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const struct {
    const char *name;
    enum time_range range;
    enum bucket_width width;
    int64_t now_ms;
    int64_t first;
    int64_t last;
} spans[] = {
    {"1h at a minute's begin", RANGE_1H, BUCKET_MINUTE, 100 * MINUTE, 41, 100},
    {"1h at its end", RANGE_1H, BUCKET_MINUTE, 101 * MINUTE - 1, 41, 100},
    {"24h", RANGE_24H, BUCKET_HOUR, 100 * HOUR + 1, 77, 100},
    {"7d", RANGE_7D, BUCKET_HOUR, 1000 * HOUR, 833, 1000},
    {"30d", RANGE_30D, BUCKET_DAY, 100 * DAY, 71, 100},
    {"all", RANGE_ALL, BUCKET_DAY, 1000 * DAY, 635, 1000},
};

static void test_spans(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        struct bucket_span got = time_range_span(spans[i].range, spans[i].now_ms);
        int64_t longest = got.last - got.first + 1;

        if (got.first != spans[i].first || got.last != spans[i].last ||
            time_range_width(spans[i].range) != spans[i].width)
            fail_msg("%s: %lld to %lld", spans[i].name, (long long)got.first, (long long)got.last);
        assert_true(longest <= RANGE_POINTS_MAX);
        assert_true(time_bucket_oldest(spans[i].width, spans[i].now_ms) < got.first);
    }
}

static void test_names(void **state) {
    enum time_range range;

    (void)state;
    for (unsigned i = 0; i < RANGES; i++) {
        assert_true(time_range_find(slice_str(time_range_name((enum time_range)i)), &range));
        assert_int_equal(range, i);
    }
    assert_false(time_range_find(SLICE("1H"), &range));
    assert_false(time_range_find(SLICE(""), &range));
    assert_false(time_range_find(SLICE("24h "), &range));
}

static void test_strange_times(void **state) {
    (void)state;
    assert_int_equal(time_bucket_of(BUCKET_MINUTE, -1), 0);
    assert_int_equal(time_bucket_of(BUCKET_DAY, INT64_MIN), 0);
    assert_true(time_bucket_of(BUCKET_MINUTE, INT64_MAX) < INT64_C(1) << 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_changes), cmocka_unit_test(test_rises_in_all_ranges),
        cmocka_unit_test(test_empty),       cmocka_unit_test(test_spans),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_strange_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
