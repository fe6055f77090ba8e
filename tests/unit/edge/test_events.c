/* test_events.c - an event's text, and the URLs of where events go. */
#include "core/event.h"
#include "edge/event_json.h"
#include "edge/kafka_url.h"
#include "test.h"

static void assert_text(const struct buf *got, const char *want) {
    if (!slice_eq(buf_slice(got), slice_str(want)))
        fail_msg("got %.*s, wanted %s", (int)got->len, got->ptr, want);
}

static void test_json(void **state) {
    (void)state;
    struct event event = {.lane = 3,
                          .at = {2, 18446744073709551615u},
                          .kind = OP_SET,
                          .resource_id = SLICE("a\"b\n"),
                          .counter_type = SLICE("l:k"),
                          .delta = INT64_MIN,
                          .new_value = -5,
                          .count = 1,
                          .et_ms = 1732290000999};
    struct buf out = {0};

    event_json(&event, 0xabc, &out);
    assert_text(&out, "{\"event_id\":\"0000000000000abc-3-2-18446744073709551615\","
                      "\"resource_id\":\"a\\\"b\\n\",\"counter_type\":\"l:k\","
                      "\"delta\":-9223372036854775808,\"new_value\":-5,\"timestamp\":1732290000,"
                      "\"source\":\"highgopress\",\"kind\":\"set\",\"count\":1,"
                      "\"timestamp_ms\":1732290000999,\"lane\":3,\"epoch\":2,"
                      "\"seq\":18446744073709551615}");
    event_key(&event, &out);
    assert_text(&out, "a\"b\n:l:k");
    buf_release(&out);
}

static const struct {
    const char *url;
    const char *brokers; /* NULL: refused */
    const char *topic;
} urls[] = {
    {"kafka://h:9092/t", "h:9092", "t"},
    {"kafka://a:1,b.example:2,[::1]:3/counter-events_1.x", "a:1,b.example:2,[::1]:3",
     "counter-events_1.x"},
    {"kafka://h:9092", NULL, NULL},
    {"kafka://h:9092/", NULL, NULL},
    {"kafka:///t", NULL, NULL},
    {"kafka://h/t", NULL, NULL},
    {"kafka://h:9092,/t", NULL, NULL},
    {"kafka://h:0/t", NULL, NULL},
    {"kafka://h:9092/a/b", NULL, NULL},
    {"kafka://h:9092/a b", NULL, NULL},
    {"kafka://h:9092/..", NULL, NULL},
    {"kafka://u:p@h:9092/t", NULL, NULL},
    {"redis://h:9092/t", NULL, NULL},
    {"", NULL, NULL},
};

static void test_urls(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct kafka_url url;
        const char *problem = NULL;
        enum err err = kafka_url_parse(slice_str(urls[i].url), &url, &problem);

        if ((err == ERR_OK) != (urls[i].brokers != NULL))
            fail_msg("%s: %s", urls[i].url, err_name(err));
        if (err != ERR_OK) {
            assert_non_null(problem);
            continue;
        }
        assert_string_equal(url.brokers, urls[i].brokers);
        assert_string_equal(url.topic, urls[i].topic);
    }
}

static void test_a_topic_has_249_characters(void **state) {
    (void)state;
    char text[300];
    struct kafka_url url;
    const char *problem;

    memset(text, 'a', sizeof(text));
    memcpy(text, "kafka://h:1/", 12);
    assert_int_equal(kafka_url_parse(slice_of(text, 12 + 249), &url, &problem), ERR_OK);
    assert_int_equal(strlen(url.topic), 249);
    assert_int_equal(kafka_url_parse(slice_of(text, 12 + 250), &url, &problem), ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_a_topic_has_249_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
