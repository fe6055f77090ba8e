/* test_events.c - an event's text, and the URLs of where events go. */
#include "core/event.h"
#include "edge/event_json.h"
#include "edge/event_proto.h"
#include "edge/event_read.h"
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
    const char *user; /* NULL: none */
    const char *password;
    bool is_tls;
} urls[] = {
    {"kafka://h:9092/t", "h:9092", "t", NULL, NULL, false},
    {"kafka://a:1,b.example:2,[::1]:3/counter-events_1.x", "a:1,b.example:2,[::1]:3",
     "counter-events_1.x", NULL, NULL, false},
    {.url = "kafka://h:9092"},
    {.url = "kafka://h:9092/"},
    {.url = "kafka:///t"},
    {.url = "kafka://h/t"},
    {.url = "kafka://h:9092,/t"},
    {.url = "kafka://h:0/t"},
    {.url = "kafka://h:9092/a/b"},
    {.url = "kafka://h:9092/a b"},
    {.url = "kafka://h:9092/.."},
    {"kafka://u:p%40w@h:9092/t", "h:9092", "t", "u", "p@w", false},
    {"kafkas://u@h:9092,i:1/t", "h:9092,i:1", "t", "u", NULL, true},
    {"kafkas://h:9092/t", "h:9092", "t", NULL, NULL, true},
    {.url = "kafka://:p@h:9092/t"},
    {.url = "kafka://u:@h:9092/t"},
    {.url = "kafka://@h:9092/t"},
    {.url = "kafkas:///t"},
    {.url = "redis://h:9092/t"},
    {.url = ""},
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
        assert_string_equal(url.user, urls[i].user ? urls[i].user : "");
        assert_string_equal(url.password, urls[i].password ? urls[i].password : "");
        assert_int_equal(url.is_tls, urls[i].is_tls);
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

/* ---- read back ---- */

static enum err read_back(struct slice value, uint64_t *out_store_id, struct event *out) {
    static struct arena arena;
    const char *problem = NULL;

    arena_release(&arena);
    arena_init(&arena, 1024, 65536);
    *out = (struct event){0};
    enum err err = event_read(value, &arena, out_store_id, out, &problem);
    if (err != ERR_OK)
        assert_non_null(problem);
    return err;
}

static void assert_same(const struct event *a, const struct event *b) {
    assert_int_equal(a->lane, b->lane);
    assert_true(a->at.epoch == b->at.epoch && a->at.seq == b->at.seq);
    assert_int_equal(a->kind, b->kind);
    assert_true(slice_eq(a->resource_id, b->resource_id));
    assert_true(slice_eq(a->counter_type, b->counter_type));
    assert_true(a->delta == b->delta && a->new_value == b->new_value && a->et_ms == b->et_ms);
    assert_true(a->count == b->count);
}

static void test_what_was_written_is_read(void **state) {
    const struct event events[] = {
        {.lane = 3,
         .at = {2, UINT64_MAX},
         .kind = OP_SET,
         .resource_id = SLICE("a\"b\n\xc3\xa9"),
         .counter_type = SLICE("l:k"),
         .delta = INT64_MIN,
         .new_value = -5,
         .count = 1,
         .et_ms = 1732290000999},
        {.lane = 0,
         .at = {1, 1},
         .kind = OP_ADD,
         .resource_id = SLICE("r"),
         .counter_type = SLICE("t"),
         .delta = 3,
         .new_value = 0,
         .count = 900,
         .et_ms = 0},
        {.lane = UINT32_MAX,
         .at = {1, 7},
         .kind = OP_RESET,
         .resource_id = SLICE("r"),
         .counter_type = SLICE("t"),
         .delta = 0,
         .new_value = 0,
         .count = 1,
         .et_ms = 5},
    };
    struct buf out = {0};
    struct event got;
    uint64_t id;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        event_json(&events[i], 0xabc + i, &out);
        assert_int_equal(read_back(buf_slice(&out), &id, &got), ERR_OK);
        assert_same(&got, &events[i]);
        assert_true(id == 0xabc + i);
        event_proto(&events[i], UINT64_MAX - i, &out);
        assert_int_equal(read_back(buf_slice(&out), &id, &got), ERR_OK);
        assert_same(&got, &events[i]);
        assert_true(id == UINT64_MAX - i);
    }
    buf_release(&out);
}

#define GOOD "\"event_id\":\"a-1-1-1\",\"resource_id\":\"r\",\"counter_type\":\"t\""

static const struct {
    const char *text;
    enum err err;
} texts[] = {
    {"{" GOOD ",\"delta\":1,\"new_value\":1}", ERR_OK},
    {"{" GOOD ",\"delta\":1,\"new_value\":1,\"later\":{\"a\":[1,2]}}", ERR_OK},
    {"{" GOOD ",\"delta\":1}", ERR_INVALID},
    {"{" GOOD ",\"delta\":1.0,\"new_value\":1}", ERR_INVALID},
    {"{" GOOD ",\"delta\":\"1\",\"new_value\":1}", ERR_INVALID},
    {"{" GOOD ",\"delta\":1,\"new_value\":1,\"kind\":\"sub\"}", ERR_INVALID},
    {"{" GOOD ",\"delta\":1,\"new_value\":1,\"count\":-1}", ERR_INVALID},
    {"{" GOOD ",\"delta\":1,\"new_value\":1", ERR_INVALID},
    {"{" GOOD ",\"delta\":1,\"new_value\":1} x", ERR_INVALID},
    {"{" GOOD ",\"event_id\":\"a-1-1\",\"delta\":1,\"new_value\":1}", ERR_INVALID},
    {"{" GOOD ",\"event_id\":\"a-1-1-1-1\",\"delta\":1,\"new_value\":1}", ERR_INVALID},
    {"{" GOOD ",\"event_id\":\"a-4294967296-1-1\",\"delta\":1,\"new_value\":1}", ERR_INVALID},
    {"{" GOOD ",\"event_id\":\"11111111111111111-1-1-1\",\"delta\":1,\"new_value\":1}",
     ERR_INVALID},
    {"{\"event_id\":\"ffffffffffffffff-4294967295-18446744073709551615-18446744073709551615\","
     "\"resource_id\":\"r\",\"counter_type\":\"t\",\"delta\":1,\"new_value\":1}",
     ERR_OK},
    {"{" GOOD ",\"event_id\":\"a-1-1-18446744073709551616\",\"delta\":1,\"new_value\":1}",
     ERR_INVALID},
    {"{" GOOD ",\"event_id\":\"a-1-99999999999999999999-1\",\"delta\":1,\"new_value\":1}",
     ERR_INVALID},
    {"{" GOOD ",\"event_id\":\"a-1-100000000000000000001-1\",\"delta\":1,\"new_value\":1}",
     ERR_INVALID},
    {"{" GOOD ",\"event_id\":\"A-1-1-1\",\"delta\":1,\"new_value\":1}", ERR_INVALID},
    {"{}", ERR_INVALID},
    {"", ERR_INVALID},
    {"\n\x07"
     "a-1-1-1",
     ERR_INVALID}, /* protobuf: the id alone */
    {"\n\x07"
     "a-1-1-1\x12\x01r\x1a\x01t",
     ERR_OK},
    {"\n\x07"
     "a-1-1-1\x12\x01r\x1a\x05t",
     ERR_INVALID},
    {"\n\x07"
     "a-1-1-1\x12\x01r\x1a\x01t\x40\x09",
     ERR_INVALID}, /* a kind of its own */
};

static void test_what_is_no_event(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct event got;
        uint64_t id;
        enum err err = read_back(slice_str(texts[i].text), &id, &got);

        if (err != texts[i].err)
            fail_msg("%s: %s", texts[i].text, err_name(err));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_what_was_written_is_read),
        cmocka_unit_test(test_what_is_no_event),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_a_topic_has_249_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
