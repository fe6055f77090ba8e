/* test_analytics_codec.c - analytics.AnalyticsService's messages, against protobuf-c's. */
#include <stdlib.h>

#include "analytics.pb-c.h"
#include "core/stats_metric.h"
#include "edge/analytics_codec.h"
#include "test.h"

static ProtobufCBinaryData bytes_of(const char *text) {
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static struct slice pack(const ProtobufCMessage *message) {
    size_t size = protobuf_c_message_get_packed_size(message);
    char *bytes = malloc(size + 1);

    assert_int_equal(protobuf_c_message_pack(message, (uint8_t *)bytes), size);
    return slice_of(bytes, size);
}

static void unpack_fails_cut_short(struct slice bytes,
                                   enum err (*read)(struct slice bytes,
                                                    struct analytics_ask *ask)) {
    for (size_t len = 0; len < bytes.len; len++) {
        struct analytics_ask ask = {.err = ERR_OK};
        char *exact = malloc(len + 1); /* a sanitizer sees what is read beyond */

        memcpy(exact, bytes.ptr, len);
        (void)read(slice_of(exact, len), &ask); /* a prefix may be a message; it must not crash */
        top_answer_release(&ask.top_answer);
        free(exact);
    }
}

/* ---- questions ---- */

static const struct {
    const char *name;
    const char *type;
    int32_t limit;
    const char *range;
    int32_t offset;
    enum err want;
    uint32_t want_limit;
    enum time_range want_range;
} tops[] = {
    {"defaults", "like", 0, "", 0, ERR_OK, 10, RANGE_24H},
    {"everything", "like", 1000, "all", 9000, ERR_OK, 1000, RANGE_ALL},
    {"a limit below", "like", -1, "1h", 0, ERR_INVALID, 0, RANGE_1H},
    {"a limit above", "like", 1001, "1h", 0, ERR_INVALID, 0, RANGE_1H},
    {"a limit far above", "like", 1000000000, "1h", 0, ERR_INVALID, 0, RANGE_1H},
    {"an offset below", "like", 1, "1h", -1, ERR_INVALID, 0, RANGE_1H},
    {"an offset too far", "like", 10, "1h", 9991, ERR_INVALID, 0, RANGE_1H},
    {"another range", "like", 1, "2h", 0, ERR_INVALID, 0, RANGE_1H},
    {"no type", "", 1, "1h", 0, ERR_INVALID, 0, RANGE_1H},
};

static void test_top_question(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tops); i++) {
        Analytics__TopCountersRequest request = ANALYTICS__TOP_COUNTERS_REQUEST__INIT;
        struct proto_problem problem = {""};
        struct top_query query = {.limit = 77};

        request.counter_type = bytes_of(tops[i].type);
        request.limit = tops[i].limit;
        request.time_range = bytes_of(tops[i].range);
        request.offset = tops[i].offset;
        struct slice bytes = pack(&request.base);
        enum err got = analytics_decode_top(bytes, &query, &problem);
        bool right = got == tops[i].want;
        if (got == ERR_OK)
            right = right && query.limit == tops[i].want_limit &&
                    query.range == tops[i].want_range && query.offset == (uint32_t)tops[i].offset;
        else
            right = right && query.limit == 77 && problem.text[0];
        if (!right)
            fail_msg("%s: %s, limit %u, \"%s\"", tops[i].name, err_name(got), query.limit,
                     problem.text);
        free((char *)(uintptr_t)bytes.ptr);
    }
}

static void test_questions_come_through(void **state) {
    struct top_query top = {SLICE("caf\xc3\xa9"), RANGE_7D, 4, 33};
    struct stats_query stats = {SLICE("a:b"), SLICE("view"), RANGE_1H};
    struct proto_problem problem = {""};
    struct top_query top_back;
    struct stats_query stats_back;
    struct buf out = {0};
    unsigned metrics;

    (void)state;
    analytics_encode_top(&out, &top);
    assert_int_equal(analytics_decode_top(buf_slice(&out), &top_back, &problem), ERR_OK);
    assert_true(slice_eq(top_back.counter_type, top.counter_type) && top_back.range == RANGE_7D &&
                top_back.offset == 4 && top_back.limit == 33);
    buf_clear(&out);
    analytics_encode_stats(&out, &stats);
    assert_int_equal(analytics_decode_stats(buf_slice(&out), &stats_back, &metrics, &problem),
                     ERR_OK);
    assert_true(slice_eq(stats_back.resource_id, stats.resource_id) &&
                slice_eq(stats_back.counter_type, stats.counter_type) &&
                stats_back.range == RANGE_1H && metrics == STATS_METRICS_ALL);
    buf_release(&out);
}

static void test_stats_question(void **state) {
    ProtobufCBinaryData wanted[] = {bytes_of("avg"), bytes_of("increments")};
    Analytics__StatsRequest request = ANALYTICS__STATS_REQUEST__INIT;
    struct proto_problem problem = {""};
    struct stats_query query;
    unsigned metrics;

    (void)state;
    request.resource_id = bytes_of("a");
    request.counter_type = bytes_of("like");
    request.n_metrics = 2;
    request.metrics = wanted;
    struct slice bytes = pack(&request.base);
    assert_int_equal(analytics_decode_stats(bytes, &query, &metrics, &problem), ERR_OK);
    assert_int_equal(metrics, 1u << STATS_AVG | 1u << STATS_INCREMENTS);
    free((char *)(uintptr_t)bytes.ptr);
    wanted[1] = bytes_of("median");
    bytes = pack(&request.base);
    assert_int_equal(analytics_decode_stats(bytes, &query, &metrics, &problem), ERR_INVALID);
    free((char *)(uintptr_t)bytes.ptr);
}

/* ---- answers ---- */

static void test_top_answer(void **state) {
    struct analytics_ask ask = {.top = {SLICE("like"), RANGE_1H, 2, 10},
                                .as_of_ms = 1732290000123,
                                .lag = 5,
                                .top_answer.certainty = {false, -1, 77}};
    struct top_item items[] = {{SLICE("b"), {INT64_MAX, 7}}, {SLICE("a"), {INT64_MIN, 0}}};
    struct analytics_ask back = {.err = ERR_OK};
    struct buf out = {0};

    (void)state;
    buf_add(&ask.top_answer.items, items, sizeof(items));
    ask.top_answer.count = ARRAY_LEN(items);
    analytics_encode_top_answer(&out, &ask);
    Analytics__TopCountersResponse *got =
        analytics__top_counters_response__unpack(NULL, out.len, (uint8_t *)out.ptr);
    assert_non_null(got);
    assert_int_equal(got->n_counters, 2);
    assert_int_equal(got->counters[1]->rank, 4);
    assert_memory_equal(got->counters[1]->counter_type.data, "like", 4);
    assert_true(got->counters[0]->value == INT64_MAX && got->counters[0]->increments == 7);
    assert_true(!got->exact && got->max_error == -1 && got->lag_events == 5);
    assert_true(got->as_of == 1732290000 && got->as_of_ms == 1732290000123);
    analytics__top_counters_response__free_unpacked(got, NULL);

    assert_int_equal(analytics_decode_top_answer(buf_slice(&out), &back), ERR_OK);
    assert_int_equal(back.top_answer.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(slice_eq(top_item(&back.top_answer, i)->resource_id, items[i].resource_id));
        assert_true(top_item(&back.top_answer, i)->tally.sum == items[i].tally.sum);
    }
    assert_true(back.as_of_ms == ask.as_of_ms && back.lag == 5 &&
                back.top_answer.certainty.max_error == -1 &&
                back.top_answer.certainty.since_ms == 77 && !back.top_answer.certainty.exact);
    top_answer_release(&back.top_answer);
    unpack_fails_cut_short(buf_slice(&out), analytics_decode_top_answer);
    top_answer_release(&ask.top_answer);
    buf_release(&out);
}

static void test_stats_answer(void **state) {
    static struct analytics_ask ask;
    static struct analytics_ask back;
    struct stats_answer *answer = &ask.stats_answer;
    struct buf out = {0};

    (void)state;
    ask =
        (struct analytics_ask){.stats = {SLICE("a"), SLICE("like"), RANGE_1H}, .as_of_ms = 240500};
    back = (struct analytics_ask){.err = ERR_OK};
    answer->certainty.exact = true;
    answer->total = (struct tally){4, 9};
    answer->count = 4;
    for (size_t i = 0; i < 4; i++)
        answer->points[i] = (struct series_point){(int64_t)i * 60000, {(int64_t)i * 5 - 6, 0}};
    analytics_summarize(answer, ask.as_of_ms);
    analytics_encode_stats_answer(&out, &ask, STATS_METRICS_ALL);
    Analytics__StatsResponse *got =
        analytics__stats_response__unpack(NULL, out.len, (uint8_t *)out.ptr);
    assert_non_null(got);
    assert_int_equal(got->n_metrics, STATS_METRICS);
    assert_true(got->metrics[STATS_PEAK]->int_value == 9 && got->metrics[STATS_AVG]->value == 1.5);
    assert_true(got->series[3]->timestamp == 180 && got->series[0]->value == -6 && got->exact);
    analytics__stats_response__free_unpacked(got, NULL);

    assert_int_equal(analytics_decode_stats_answer(buf_slice(&out), &back), ERR_OK);
    for (unsigned i = 0; i < STATS_METRICS; i++)
        assert_true(stats_metric_of(&back.stats_answer, (enum stats_metric)i).value ==
                    stats_metric_of(answer, (enum stats_metric)i).value);
    assert_true(back.stats_answer.count == 4 && back.as_of_ms == 240500);
    unpack_fails_cut_short(buf_slice(&out), analytics_decode_stats_answer);
    buf_release(&out);
}

static void check_coverage(const struct coverage *coverage) {
    static struct analytics_ask ask;
    static struct analytics_ask back;
    struct buf out = {0};

    ask = back = (struct analytics_ask){.err = ERR_OK};
    ask.coverage = *coverage;
    analytics_encode_stats_answer(&out, &ask, STATS_METRICS_ALL);
    assert_int_equal(analytics_decode_stats_answer(buf_slice(&out), &back), ERR_OK);
    assert_memory_equal(&back.coverage, coverage, sizeof(*coverage));
    unpack_fails_cut_short(buf_slice(&out), analytics_decode_stats_answer);
    buf_clear(&out);
    back = (struct analytics_ask){.err = ERR_OK};
    analytics_encode_top_answer(&out, &ask);
    Analytics__TopCountersResponse *got =
        analytics__top_counters_response__unpack(NULL, out.len, (uint8_t *)out.ptr);
    assert_non_null(got);
    assert_true((got->coverage != NULL) == coverage->by_partitions);
    for (size_t i = 0; got->coverage && i < got->coverage->n_counted; i++)
        assert_true(coverage_in(coverage->counted, (uint32_t)got->coverage->counted[i]));
    analytics__top_counters_response__free_unpacked(got, NULL);
    assert_int_equal(analytics_decode_top_answer(buf_slice(&out), &back), ERR_OK);
    assert_memory_equal(&back.coverage, coverage, sizeof(*coverage));
    top_answer_release(&back.top_answer);
    buf_release(&out);
}

static void test_coverage(void **state) {
    struct coverage coverage;

    (void)state;
    memset(&coverage, 0, sizeof(coverage)); /* compared with its padding */
    check_coverage(&coverage);
    coverage.by_partitions = true;
    check_coverage(&coverage);
    coverage.of = 300;
    coverage.moving = true;
    coverage_put(coverage.counted, 0);
    coverage_put(coverage.counted, 299);
    coverage_put(coverage.stale, 128);
    check_coverage(&coverage);
}

/* One by one, as older writers do; and a partition that none can be. */
static void test_coverage_of_others(void **state) {
    static struct analytics_ask ask;
    struct slice one_by_one = SLICE("\x42\x06\x08\x04\x10\x00\x10\x03");
    struct slice beyond = SLICE("\x42\x05\x12\x03\x80\x80\x01");

    (void)state;
    assert_int_equal(analytics_decode_top_answer(one_by_one, &ask), ERR_OK);
    assert_true(ask.coverage.of == 4 && ask.coverage.counted[0] == 9);
    top_answer_release(&ask.top_answer);
    assert_int_equal(analytics_decode_top_answer(beyond, &ask), ERR_INVALID);
    top_answer_release(&ask.top_answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_question),       cmocka_unit_test(test_questions_come_through),
        cmocka_unit_test(test_stats_question),     cmocka_unit_test(test_top_answer),
        cmocka_unit_test(test_stats_answer),       cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_coverage_of_others),
    };

    return cmocka_run_group_tests_name("edge/analytics_codec", tests, NULL, NULL);
}
