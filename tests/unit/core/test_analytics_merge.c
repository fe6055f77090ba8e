/* test_analytics_merge.c - counters dealt out to instances and merged again are what one instance
 * that has them all would say.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/analytics_merge.h"
#include "test.h"

#define COUNTERS  60
#define INSTANCES 3

struct world {
    char names[COUNTERS][8];
    struct top_item items[COUNTERS]; /* in order */
    unsigned owner[COUNTERS];
};

static int in_order(const void *a, const void *b) {
    const struct top_item *x = a;
    const struct top_item *y = b;

    if (x->tally.sum != y->tally.sum)
        return x->tally.sum > y->tally.sum ? -1 : 1;
    return strncmp(x->resource_id.ptr, y->resource_id.ptr, 8);
}

static void make_world(struct world *w) {
    for (unsigned i = 0; i < COUNTERS; i++) {
        (void)snprintf(w->names[i], sizeof(w->names[i]), "c%u", i);
        w->items[i] = (struct top_item){slice_str(w->names[i]),
                                        {(int64_t)(rand() % 9) - 4, (uint64_t)(rand() % 3)}};
        w->owner[i] = (unsigned)rand() % INSTANCES;
    }
    qsort(w->items, COUNTERS, sizeof(w->items[0]), in_order);
}

/* What an instance says that was asked for the first 'limit'. */
static void answer_top(const struct world *w, unsigned instance, struct analytics_ask *part) {
    for (unsigned i = 0; i < COUNTERS && part->top_answer.count < part->top.limit; i++) {
        if (w->owner[i] != instance)
            continue;
        buf_add(&part->top_answer.items, &w->items[i], sizeof(w->items[i]));
        part->top_answer.count++;
    }
    part->top_answer.certainty.exact = true;
    part->as_of_ms = 1000 - instance;
    part->lag = instance;
}

static void check_page(const struct world *w, uint32_t offset, uint32_t limit) {
    struct analytics_ask ask = {.kind = ASK_TOP, .top = {SLICE("t"), RANGE_1H, offset, limit}};
    struct analytics_ask parts[INSTANCES];
    struct analytics_ask *list[INSTANCES];
    size_t want = offset >= COUNTERS ? 0 : COUNTERS - offset < limit ? COUNTERS - offset : limit;

    for (unsigned i = 0; i < INSTANCES; i++) {
        parts[i] = (struct analytics_ask){.kind = ASK_TOP,
                                          .top = {SLICE("t"), RANGE_1H, 0, offset + limit}};
        answer_top(w, i, &parts[i]);
        list[i] = &parts[i];
    }
    assert_int_equal(analytics_merge(&ask, list, INSTANCES), ERR_OK);
    assert_int_equal(ask.top_answer.count, want);
    for (size_t i = 0; i < want; i++) {
        const struct top_item *item = top_item(&ask.top_answer, i);

        assert_true(slice_eq(item->resource_id, w->items[offset + i].resource_id));
        assert_true(item->tally.sum == w->items[offset + i].tally.sum);
    }
    assert_true(ask.top_answer.certainty.exact);
    assert_int_equal(ask.as_of_ms, 1000 - (INSTANCES - 1));
    assert_int_equal(ask.lag, 0 + 1 + 2);
    top_answer_release(&ask.top_answer);
    for (unsigned i = 0; i < INSTANCES; i++)
        top_answer_release(&parts[i].top_answer);
}

static void test_pages(void **state) {
    static struct world w;

    (void)state;
    srand(20251126);
    for (unsigned round = 0; round < 200; round++) {
        make_world(&w);
        check_page(&w, (uint32_t)rand() % (COUNTERS + 5), 1 + (uint32_t)rand() % 30);
    }
    check_page(&w, 0, 1000);
}

/* Nothing but one's own page comes from one instance: it is not asked for what is before it. */
static void test_one_instance(void **state) {
    struct top_item item = {SLICE("a"), {5, 1}};
    struct analytics_ask ask = {.kind = ASK_TOP, .top = {SLICE("t"), RANGE_1H, 7, 10}};
    struct analytics_ask part = ask;
    struct analytics_ask *list[] = {&part};

    (void)state;
    buf_add(&part.top_answer.items, &item, sizeof(item));
    part.top_answer.count = 1;
    part.top_answer.certainty = (struct certainty){false, 12, 0};
    assert_int_equal(analytics_merge(&ask, list, 1), ERR_OK);
    assert_int_equal(ask.top_answer.count, 1);
    assert_true(!ask.top_answer.certainty.exact && ask.top_answer.certainty.max_error == 12);
    top_answer_release(&ask.top_answer);
    top_answer_release(&part.top_answer);
}

/* One keeps its ranking while a bucket leaves: together they are right for no instant. */
static void test_parts_of_different_windows(void **state) {
    static const struct {
        enum time_range range;
        int64_t as_of_ms[2];
        bool exact;
    } rows[] = {
        {RANGE_1H, {7200000, 7259999}, true},   {RANGE_1H, {7199999, 7200000}, false},
        {RANGE_24H, {7200000, 10799999}, true}, {RANGE_24H, {7199999, 7200000}, false},
        {RANGE_ALL, {7199999, 7200000}, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct analytics_ask ask = {.kind = ASK_TOP, .top = {SLICE("t"), rows[i].range, 0, 10}};
        struct analytics_ask parts[2] = {ask, ask};
        struct analytics_ask *list[] = {&parts[0], &parts[1]};

        for (size_t k = 0; k < 2; k++) {
            parts[k].as_of_ms = rows[i].as_of_ms[k];
            parts[k].top_answer.certainty.exact = true;
        }
        assert_int_equal(analytics_merge(&ask, list, 2), ERR_OK);
        assert_int_equal(ask.top_answer.certainty.exact, rows[i].exact);
        assert_int_equal(ask.top_answer.certainty.max_error, rows[i].exact ? 0 : -1);
        top_answer_release(&ask.top_answer);
    }
}

static const struct {
    struct certainty parts[3];
    struct certainty want;
} certainties[] = {
    {{{true, 0, 0}, {true, 0, 0}, {true, 0, 0}}, {true, 0, 0}},
    {{{true, 0, 0}, {false, 4, 0}, {true, 0, 0}}, {false, 4, 0}},
    {{{false, 4, 0}, {false, 9, 0}, {false, 2, 0}}, {false, 9, 0}},
    {{{false, 4, 0}, {false, -1, 0}, {false, 9, 0}}, {false, -1, 0}},
    {{{false, -1, 0}, {true, 0, 0}, {false, 9, 0}}, {false, -1, 0}},
    {{{true, 0, 5}, {false, -1, 9}, {true, 0, 7}}, {false, -1, 9}},
};

static void test_certainty(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(certainties); i++) {
        static struct analytics_ask ask;
        static struct analytics_ask parts[3];
        struct analytics_ask *list[3];

        ask = (struct analytics_ask){.kind = ASK_STATS};
        for (unsigned p = 0; p < 3; p++) {
            parts[p] = (struct analytics_ask){.kind = ASK_STATS};
            parts[p].stats_answer.certainty = certainties[i].parts[p];
            list[p] = &parts[p];
        }
        assert_int_equal(analytics_merge(&ask, list, 3), ERR_OK);
        assert_int_equal(ask.stats_answer.certainty.since_ms, certainties[i].want.since_ms);
        if (ask.stats_answer.certainty.exact != certainties[i].want.exact ||
            (!ask.stats_answer.certainty.exact &&
             ask.stats_answer.certainty.max_error != certainties[i].want.max_error))
            fail_msg("row %zu", i);
    }
}

/* Only one knows the counter; and, while a partition moves, two know of it. */
static void test_series(void **state) {
    static struct analytics_ask ask;
    static struct analytics_ask parts[2];
    struct analytics_ask *list[] = {&parts[0], &parts[1]};

    (void)state;
    ask = (struct analytics_ask){.kind = ASK_STATS};
    parts[0] = parts[1] = (struct analytics_ask){.kind = ASK_STATS, .as_of_ms = 150000};
    parts[0].as_of_ms = 140000;
    parts[1].stats_answer.total = (struct tally){7, 3};
    parts[1].stats_answer.count = 2;
    parts[1].stats_answer.points[0] = (struct series_point){60000, {3, 1}};
    parts[1].stats_answer.points[1] = (struct series_point){120000, {4, 2}};
    assert_int_equal(analytics_merge(&ask, list, 2), ERR_OK);
    assert_true(ask.as_of_ms == 150000 && ask.stats_answer.total.sum == 7);
    assert_true(ask.stats_answer.count == 2 && ask.stats_answer.avg == 3.5);

    parts[0].stats_answer.total = (struct tally){10, 1};
    parts[0].stats_answer.count = 2;
    parts[0].stats_answer.points[0] = (struct series_point){0, {1, 1}};
    parts[0].stats_answer.points[1] = (struct series_point){60000, {9, 0}};
    ask = (struct analytics_ask){.kind = ASK_STATS};
    assert_int_equal(analytics_merge(&ask, list, 2), ERR_OK);
    assert_int_equal(ask.stats_answer.count, 3);
    assert_true(ask.stats_answer.points[0].tally.sum == 1 &&
                ask.stats_answer.points[1].tally.sum == 12 &&
                ask.stats_answer.points[2].tally.sum == 4 && ask.stats_answer.total.sum == 17 &&
                ask.stats_answer.peak == 12);
}

/* ---- partitions ---- */

/* Sets of partitions as bits. */
static const struct {
    const char *name;
    uint32_t of[3];
    unsigned counted[3];
    unsigned stale[3];
    unsigned want_missing;
    unsigned want_doubled;
    bool want_exact;
} coverages[] = {
    {"each once", {4, 4, 4}, {1, 2, 12}, {0}, 0, 0, true},
    {"one is nobody's", {4, 4, 4}, {1, 2, 8}, {0}, 4, 0, false},
    {"one is two's", {4, 4, 4}, {1, 3, 12}, {0}, 0, 1, false},
    {"one is everybody's", {4, 4, 4}, {2, 3, 14}, {0}, 0, 2, false},
    {"not counted any more", {4, 4, 4}, {1, 2, 4}, {0, 0, 8}, 8, 0, false},
    {"counted by another now", {4, 4, 4}, {1, 2, 12}, {0, 8, 0}, 0, 8, false},
    {"nobody knows the topic", {4, 4, 0}, {1, 2, 0}, {0}, 0, 0, true},
    {"another topic", {4, 4, 2}, {1, 2, 12}, {0}, 0, 0, false},
    {"another source", {4, 4, UINT32_MAX}, {1, 14, 0}, {0}, 0, 0, false},
    {"no topic at all", {UINT32_MAX, UINT32_MAX, UINT32_MAX}, {0}, {0}, 0, 0, true},
};

static void check_coverage(size_t row, bool top) {
    static struct analytics_ask ask;
    static struct analytics_ask parts[3];
    struct analytics_ask *list[3];
    unsigned missing = 0;
    unsigned doubled = 0;

    memset(&ask, 0, sizeof(ask));
    ask.kind = top ? ASK_TOP : ASK_STATS;
    for (unsigned i = 0; i < 3; i++) {
        parts[i] = ask;
        list[i] = &parts[i];
        parts[i].top_answer.certainty.exact = parts[i].stats_answer.certainty.exact = true;
        if (coverages[row].of[i] == UINT32_MAX)
            continue;
        parts[i].coverage = (struct coverage){.by_partitions = true, .of = coverages[row].of[i]};
        parts[i].coverage.counted[0] = coverages[row].counted[i];
        parts[i].coverage.stale[0] = coverages[row].stale[i];
    }
    assert_int_equal(analytics_merge(&ask, list, 3), ERR_OK);
    const struct certainty *certainty =
        top ? &ask.top_answer.certainty : &ask.stats_answer.certainty;
    for (uint32_t i = 0; i < 32; i++) {
        missing |= (unsigned)coverage_is_missing(&ask.coverage, i) << i;
        doubled |= (unsigned)coverage_is_doubled(&ask.coverage, i) << i;
    }
    if (missing != coverages[row].want_missing || doubled != coverages[row].want_doubled ||
        certainty->exact != coverages[row].want_exact ||
        (!certainty->exact && certainty->max_error != -1))
        fail_msg("%s: missing %x, doubled %x, exact %d", coverages[row].name, missing, doubled,
                 certainty->exact);
    top_answer_release(&ask.top_answer);
}

static void test_coverage(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(coverages); i++) {
        check_coverage(i, true);
        check_coverage(i, false);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),     cmocka_unit_test(test_one_instance),
        cmocka_unit_test(test_certainty), cmocka_unit_test(test_series),
        cmocka_unit_test(test_coverage),  cmocka_unit_test(test_parts_of_different_windows),
    };

    return cmocka_run_group_tests_name("core/analytics_merge", tests, NULL, NULL);
}
