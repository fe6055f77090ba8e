/* test_counter_json_write.c - reply bodies byte for byte, and ids that come back. */
#include "test.h"
#include "wire/counter_json.h"
#include "wire/json.h"

/* clang-format off */
/* SLICE() for tables: a compound literal is no constant. */
#define BYTES(literal) {"" literal, sizeof(literal) - 1}
/* clang-format on */

#define CHECK(buf, literal)                                                                        \
    do {                                                                                           \
        buf_add_char((buf), '\0');                                                                 \
        assert_string_equal((buf)->ptr, (literal));                                                \
        buf_clear(buf);                                                                            \
    } while (0)

static const struct json_counter plain = {
    .resource_id = BYTES("test"),
    .counter_type = BYTES("like"),
    .value = 1,
    .time_s = 1732290000,
};

static void test_increment(void **state) {
    (void)state;
    struct buf out = {0};

    json_write_increment(&out, &plain);
    CHECK(&out, "{\"data\":{\"resource_id\":\"test\",\"counter_type\":\"like\",\"current_value\":1,"
                "\"success\":true,\"timestamp\":1732290000},\"status\":\"success\"}");
    buf_release(&out);
}

static void test_get(void **state) {
    (void)state;
    struct buf out = {0};
    struct json_counter counter = plain;

    json_write_get(&out, &counter);
    CHECK(&out, "{\"data\":{\"resource_id\":\"test\",\"counter_type\":\"like\",\"current_value\":1,"
                "\"updated_at\":1732290000},\"status\":\"success\"}");
    counter.value = INT64_MIN;
    counter.time_s = INT64_MAX;
    json_write_get(&out, &counter);
    CHECK(&out, "{\"data\":{\"resource_id\":\"test\",\"counter_type\":\"like\","
                "\"current_value\":-9223372036854775808,\"updated_at\":9223372036854775807},"
                "\"status\":\"success\"}");
    counter.stale = true;
    counter.as_of_s = INT64_MIN;
    json_write_get(&out, &counter);
    CHECK(&out, "{\"data\":{\"resource_id\":\"test\",\"counter_type\":\"like\","
                "\"current_value\":-9223372036854775808,\"updated_at\":9223372036854775807,"
                "\"stale\":true,\"as_of\":-9223372036854775808},\"status\":\"success\"}");
    counter.value = counter.time_s = 0;
    counter.stale = false;
    json_write_get(&out, &counter);
    CHECK(&out, "{\"data\":{\"resource_id\":\"test\",\"counter_type\":\"like\",\"current_value\":0,"
                "\"updated_at\":0},\"status\":\"success\"}");
    buf_release(&out);
}

static void test_batch_get(void **state) {
    (void)state;
    struct buf out = {0};
    struct json_counter two[2] = {plain, plain};

    json_write_batch_get(&out, NULL, 0);
    CHECK(&out, "{\"data\":{\"results\":[],\"total\":0},\"status\":\"success\"}");
    two[1].value = -20;
    json_write_batch_get(&out, two, 2);
    CHECK(&out, "{\"data\":{\"results\":[{\"resource_id\":\"test\",\"counter_type\":\"like\","
                "\"current_value\":1,\"updated_at\":1732290000},{\"resource_id\":\"test\","
                "\"counter_type\":\"like\",\"current_value\":-20,\"updated_at\":1732290000}],"
                "\"total\":2},\"status\":\"success\"}");
    buf_release(&out);
}

static void test_batch_increment(void **state) {
    (void)state;
    struct buf out = {0};
    struct json_counter three[3] = {plain, plain, plain};

    json_write_batch_increment(&out, NULL, 0);
    CHECK(&out, "{\"data\":{\"results\":[],\"total\":0},\"status\":\"success\"}");
    three[1].replayed = true;
    json_write_batch_increment(&out, three, 2);
    CHECK(&out, "{\"data\":{\"results\":["
                "{\"resource_id\":\"test\",\"counter_type\":\"like\",\"current_value\":1,"
                "\"success\":true,\"timestamp\":1732290000},"
                "{\"resource_id\":\"test\",\"counter_type\":\"like\",\"current_value\":1,"
                "\"success\":true,\"timestamp\":1732290000,\"replayed\":true}],"
                "\"total\":2},\"status\":\"success\"}");
    three[1].err = ERR_RANGE;
    json_write_batch_increment(&out, three, 3);
    CHECK(&out, "{\"data\":{\"results\":["
                "{\"resource_id\":\"test\",\"counter_type\":\"like\",\"current_value\":1,"
                "\"success\":true,\"timestamp\":1732290000},"
                "{\"resource_id\":\"test\",\"counter_type\":\"like\",\"success\":false,"
                "\"error\":{\"code\":\"RANGE\",\"message\":\"the result would leave the range of "
                "a 64-bit signed integer\"}},"
                "{\"resource_id\":\"test\",\"counter_type\":\"like\",\"current_value\":1,"
                "\"success\":true,\"timestamp\":1732290000}],"
                "\"total\":3},\"status\":\"partial\"}");
    buf_release(&out);
}

static void test_error(void **state) {
    (void)state;
    struct buf out = {0};

    json_write_error(&out, SLICE("a \"b\""), SLICE("Invalid request format"), false);
    CHECK(&out, "{\"details\":\"a \\\"b\\\"\",\"error\":\"Invalid request format\"}");
    json_write_error(&out, SLICE(""), SLICE("resource_id and counter_type are required"), false);
    CHECK(&out, "{\"error\":\"resource_id and counter_type are required\"}");
    json_write_error(&out, SLICE("refused"), SLICE("Counter service unavailable"), true);
    CHECK(&out, "{\"details\":\"refused\",\"error\":\"Counter service unavailable\","
                "\"status\":\"error\"}");
    buf_release(&out);
}

static void test_problem(void **state) {
    (void)state;
    struct buf out = {0};

    json_write_problem(&out, 405, SLICE("Method Not Allowed"), SLICE("use GET"));
    CHECK(&out, "{\"type\":\"about:blank\",\"title\":\"Method Not Allowed\",\"status\":405,"
                "\"detail\":\"use GET\"}");
    json_write_problem(&out, 404, SLICE("Not Found"), (struct slice){NULL, 0});
    CHECK(&out, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404}");
    buf_release(&out);
}

/* clang-format off */
static const struct {
    struct slice text;
    const char *json;
} strings[] = {
    {{NULL, 0},                             "\"\""},
    {BYTES("\"\\/"),                        "\"\\\"\\\\/\""},
    {BYTES("\b\f\n\r\t"),                   "\"\\b\\f\\n\\r\\t\""},
    {BYTES("\0\x01\x0B\x1B\x1F"),           "\"\\u0000\\u0001\\u000b\\u001b\\u001f\""},
    {BYTES(" \x7F<>&'"),                    "\" \x7F<>&'\""},
    {BYTES("\xC2\x80\xE2\x80\xA8\xE2\x80\xA9\xF0\x9F\x98\x80"),
                                            "\"\xC2\x80\xE2\x80\xA8\xE2\x80\xA9\xF0\x9F\x98\x80\""},
};
/* clang-format on */

static void test_strings(void **state) {
    (void)state;
    struct buf out = {0};

    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        json_add_string(&out, strings[i].text);
        CHECK(&out, strings[i].json);
    }
    buf_release(&out);
}

/* ---- what is written is read back ---- */

/* The body of an increment of ("id", "id"), made by the writer under test. */
static void write_request(struct buf *out, struct slice id) {
    buf_add_str(out, "{\"resource_id\":");
    json_add_string(out, id);
    buf_add_str(out, ",\"counter_type\":");
    json_add_string(out, id);
    buf_add_char(out, '}');
}

static void check_round_trip(struct arena *arena, struct slice id) {
    struct buf out = {0};
    struct json_item item;
    struct json_problem problem;

    write_request(&out, id);
    if (json_read_increment(buf_slice(&out), arena, &item, &problem) != ERR_OK)
        fail_msg("%.*s: %s", SLICE_ARGS(buf_slice(&out)), problem.text);
    assert_true(slice_eq(item.resource_id, id));
    assert_true(slice_eq(item.counter_type, id));
    buf_release(&out);
}

static void test_round_trips(void **state) {
    (void)state;
    static const struct slice ids[] = {
        BYTES("\""),
        BYTES("\\"),
        BYTES("\\\"\\u0041"),
        BYTES("</script>&amp;"),
        BYTES("\xE2\x80\xA8\xE2\x80\xA9"),
        BYTES("\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x9A\x80"),
        BYTES("\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF4\x8F\xBF\xBF"),
        BYTES(" a:b%2F/c "),
    };
    struct arena arena;

    arena_init(&arena, 4096, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        check_round_trip(&arena, ids[i]);
    /* Every ASCII character but NUL, alone and between others. */
    for (int c = 1; c < 128; c++) {
        char text[] = {'a', (char)c, 'b'};

        check_round_trip(&arena, slice_of(text, 3));
        check_round_trip(&arena, slice_of(text + 1, 1));
    }
    /* And at each place of a long one, which is copied by its runs. */
    for (size_t place = 0; place < 19; place++)
        for (int c = 1; c < 128; c++) {
            char text[] = "abcdefghijklmnopqrs";

            text[place] = (char)c;
            check_round_trip(&arena, slice_of(text, sizeof(text) - 1));
            arena_reset(&arena, 4096);
        }
    arena_release(&arena);
}

/* Replies with ids that need every byte of the room they were given. */
static void test_worst_ids(void **state) {
    (void)state;
    char text[300];
    struct json_counter counter = {
        .resource_id = slice_of(text, sizeof(text)),
        .counter_type = slice_of(text, sizeof(text)),
        .value = INT64_MIN,
        .time_s = INT64_MIN,
        .replayed = true,
    };

    memset(text, '\x01', sizeof(text));
    for (int failed = 0; failed < 2; failed++) {
        struct buf out = {0};
        struct json_error error;

        counter.err = failed ? ERR_DEADLINE : ERR_OK;
        json_write_increment(&out, &counter);
        assert_true(json_validate(buf_slice(&out), &error));
        assert_true(out.len > 2 * 6 * sizeof(text));
        buf_clear(&out);
        json_write_batch_get(&out, &counter, 1);
        assert_true(json_validate(buf_slice(&out), &error));
        buf_clear(&out);
        json_write_batch_increment(&out, &counter, 1);
        assert_true(json_validate(buf_slice(&out), &error));
        buf_release(&out);
    }
}

/* No room: nothing is written, and the buffer says so. */
static void test_out_of_memory(void **state) {
    (void)state;
    struct buf out = {.failed = true};

    json_add_string(&out, SLICE("a"));
    json_write_increment(&out, &plain);
    json_write_get(&out, &plain);
    json_write_batch_get(&out, &plain, 1);
    json_write_batch_increment(&out, &plain, 1);
    json_write_error(&out, SLICE("a"), SLICE("b"), true);
    json_write_problem(&out, 400, SLICE("a"), SLICE("b"));
    assert_true(buf_failed(&out));
    assert_int_equal(out.len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_increment), cmocka_unit_test(test_get),
        cmocka_unit_test(test_batch_get), cmocka_unit_test(test_batch_increment),
        cmocka_unit_test(test_error),     cmocka_unit_test(test_problem),
        cmocka_unit_test(test_strings),   cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_worst_ids), cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
