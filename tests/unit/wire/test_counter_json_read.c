/* test_counter_json_read.c - every rule for request bodies is a row. */
#include <inttypes.h>
#include <stdio.h>

#include "base/counter_name.h"
#include "test.h"
#include "wire/counter_json.h"

/* clang-format off */
/* SLICE() for tables: a compound literal is no constant. */
#define BYTES(literal) {"" literal, sizeof(literal) - 1}
/* clang-format on */

#define IDS     "\"resource_id\":\"r\",\"counter_type\":\"c\""
#define ITEM    "{" IDS "}"
#define A10     "aaaaaaaaaa"
#define A50     A10 A10 A10 A10 A10
#define A250    A50 A50 A50 A50 A50
#define INTEGER "must be a 64-bit signed integer"

static struct arena arena;
static struct json_problem problem;

/* The sentence begins with 'want'. */
static bool says(const char *want) {
    return strncmp(problem.text, want, strlen(want)) == 0;
}

/* ---- one increment ---- */

/* clang-format off */
static const struct {
    struct slice body;
    struct slice id;
    struct slice type;
    int64_t delta;
} increments[] = {
    {BYTES(ITEM),                                     BYTES("r"), BYTES("c"), 1},
    {BYTES(" {" IDS ", \"delta\" : 7 } \r\n"),        BYTES("r"), BYTES("c"), 7},
    {BYTES("{" IDS ",\"delta\":0}"),                  BYTES("r"), BYTES("c"), 1},
    {BYTES("{" IDS ",\"delta\":-0}"),                 BYTES("r"), BYTES("c"), 1},
    {BYTES("{" IDS ",\"delta\":null}"),               BYTES("r"), BYTES("c"), 1},
    {BYTES("{" IDS ",\"delta\":-3}"),                 BYTES("r"), BYTES("c"), -3},
    {BYTES("{" IDS ",\"delta\":9223372036854775807}"),  BYTES("r"), BYTES("c"), INT64_MAX},
    {BYTES("{" IDS ",\"delta\":-9223372036854775808}"), BYTES("r"), BYTES("c"), INT64_MIN},
    /* unknown fields, of any type; names are case-sensitive */
    {BYTES("{\"x\":{\"delta\":[1.5,{}]}," IDS ",\"y\":\"\\n\",\"Delta\":\"a\"}"),
                                                      BYTES("r"), BYTES("c"), 1},
    {BYTES("{" IDS ",\"idempotency_key\":5}"),        BYTES("r"), BYTES("c"), 1},
    {BYTES("{" IDS ",\"delta \":2,\"delt\":3,\"\":4}"), BYTES("r"), BYTES("c"), 1},
    /* names count after unescaping */
    {BYTES("{\"\\u0072esource_id\":\"r\",\"counter\\u005ftype\":\"c\",\"d\\u0065lta\":2}"),
                                                      BYTES("r"), BYTES("c"), 2},
    /* the last of duplicates wins, also a null */
    {BYTES("{\"resource_id\":\"a\"," IDS ",\"delta\":5,\"delta\":6}"),
                                                      BYTES("r"), BYTES("c"), 6},
    {BYTES("{" IDS ",\"delta\":5,\"delta\":null}"),   BYTES("r"), BYTES("c"), 1},
    {BYTES("{\"resource_id\":null," IDS "}"),         BYTES("r"), BYTES("c"), 1},
    {BYTES("{\"resource_id\":\"\"," IDS "}"),         BYTES("r"), BYTES("c"), 1},
    /* ids are any text */
    {BYTES("{\"resource_id\":\" \",\"counter_type\":\"a:b%/\xC3\xA9\"}"),
                                                      BYTES(" "), BYTES("a:b%/\xC3\xA9"), 1},
    {BYTES("{\"resource_id\":\"\\ud83d\\ude00\\t\",\"counter_type\":\"\\\"\\\\\"}"),
                                                      BYTES("\xF0\x9F\x98\x80\t"), BYTES("\"\\"), 1},
};

static const struct {
    struct slice body;
    const char *says;
} refused[] = {
    {BYTES(""),                             "the body must be a JSON object, found nothing"},
    {{NULL, 0},                             "the body must be a JSON object, found nothing"},
    {BYTES("null"),                         "the body must be a JSON object, found null"},
    {BYTES("[]"),                           "the body must be a JSON object, found an array"},
    {BYTES("\"a\""),                        "the body must be a JSON object, found a string"},
    {BYTES("1"),                            "the body must be a JSON object, found a number"},
    {BYTES("true"),                         "the body must be a JSON object, found a boolean"},
    {BYTES(" "),                            "invalid JSON at byte 1: "},
    {BYTES("{"),                            "invalid JSON at byte 1: "},
    {BYTES(ITEM "x"),                       "invalid JSON at byte 38: "},
    {BYTES(ITEM ITEM),                      "invalid JSON at byte 38: "},
    {BYTES(ITEM "\0"),                      "invalid JSON at byte 38: "},
    {BYTES("\xEF\xBB\xBF" ITEM),            "invalid JSON at byte 0: "},
    {BYTES("{" IDS ",\"x\":[1,]}"),         "invalid JSON at byte 45: "},
    {BYTES("{" IDS ",\"x\":\"\xFF\"}"),     "invalid JSON at byte 43: "},
    {BYTES("{" IDS ",\"\xFF\":1}"),         "invalid JSON at byte 39: "},
    {BYTES("{" IDS ",\"x\":\"\\udc00\"}"),  "invalid JSON at byte 43: "},
    {BYTES("{\"resource_id\":\"\\ud800\",\"counter_type\":\"c\"}"), "invalid JSON at byte 16: "},
    {BYTES("{\"resource_id\":\"\xED\xA0\x80\",\"counter_type\":\"c\"}"),
                                            "invalid JSON at byte 16: "},
    {BYTES("{\"resource_id\":\"a\0b\",\"counter_type\":\"c\"}"), "invalid JSON at byte 17: "},
    {BYTES("{}"),                           "resource_id: is required"},
    {BYTES("{\"resource_id\":\"r\"}"),      "counter_type: is required"},
    {BYTES("{\"Resource_id\":\"r\",\"counter_type\":\"c\"}"), "resource_id: is required"},
    {BYTES("{" IDS ",\"resource_id\":null}"), "resource_id: is required"},
    {BYTES("{" IDS ",\"resource_id\":\"\"}"), "resource_id: must not be empty"},
    {BYTES("{" IDS ",\"counter_type\":\"\"}"), "counter_type: must not be empty"},
    {BYTES("{" IDS ",\"resource_id\":\"a\\u0000\"}"), "resource_id: must not contain U+0000"},
    {BYTES("{" IDS ",\"counter_type\":\"\\u0000\"}"), "counter_type: must not contain U+0000"},
    {BYTES("{" IDS ",\"resource_id\":5}"),  "resource_id: must be a string, found a number"},
    {BYTES("{\"resource_id\":5," IDS "}"),  "resource_id: must be a string, found a number"},
    {BYTES("{" IDS ",\"counter_type\":{}}"), "counter_type: must be a string, found an object"},
    {BYTES("{" IDS ",\"counter_type\":[]}"), "counter_type: must be a string, found an array"},
    {BYTES("{" IDS ",\"counter_type\":false}"), "counter_type: must be a string, found a boolean"},
    {BYTES("{" IDS ",\"delta\":\"1\"}"),    "delta: " INTEGER ", found a string"},
    {BYTES("{" IDS ",\"delta\":true}"),     "delta: " INTEGER ", found a boolean"},
    {BYTES("{" IDS ",\"delta\":[1]}"),      "delta: " INTEGER ", found an array"},
    {BYTES("{" IDS ",\"delta\":{}}"),       "delta: " INTEGER ", found an object"},
    {BYTES("{" IDS ",\"delta\":1.5}"),      "delta: " INTEGER " without fraction or exponent, found 1.5"},
    {BYTES("{" IDS ",\"delta\":1.0}"),      "delta: " INTEGER},
    {BYTES("{" IDS ",\"delta\":1e3}"),      "delta: " INTEGER},
    {BYTES("{" IDS ",\"delta\":1E0}"),      "delta: " INTEGER},
    {BYTES("{" IDS ",\"delta\":0e0}"),      "delta: " INTEGER},
    {BYTES("{" IDS ",\"delta\":9223372036854775808}"), "delta: " INTEGER},
    {BYTES("{" IDS ",\"delta\":-9223372036854775809}"), "delta: " INTEGER},
    {BYTES("{" IDS ",\"delta\":\"1\",\"delta\":1}"), "delta: " INTEGER ", found a string"},
    {BYTES("{" IDS ",\"delta\":123456789012345678901234567890123456789012345}"),
     "delta: " INTEGER " without fraction or exponent, found "
     "1234567890123456789012345678901234567890..."},
};
/* clang-format on */

static void test_increments(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(increments); i++) {
        struct json_item item;

        if (json_read_increment(increments[i].body, &arena, &item, &problem) != ERR_OK)
            fail_msg("%.*s: %s", SLICE_ARGS(increments[i].body), problem.text);
        if (!slice_eq(item.resource_id, increments[i].id) ||
            !slice_eq(item.counter_type, increments[i].type) || item.delta != increments[i].delta ||
            item.idempotency_key.ptr)
            fail_msg("%.*s: got %.*s, %.*s, %" PRId64, SLICE_ARGS(increments[i].body),
                     SLICE_ARGS(item.resource_id), SLICE_ARGS(item.counter_type), item.delta);
    }
}

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct json_item item = {.delta = 42};
        enum err err = json_read_increment(refused[i].body, &arena, &item, &problem);

        if (err != ERR_INVALID || item.delta != 42 || !says(refused[i].says))
            fail_msg("%.*s: %s, \"%s\"", SLICE_ARGS(refused[i].body), err_name(err), problem.text);
    }
}

/* The hot path: slices of the body, and not a byte of the arena. */
static void test_plain_body_needs_no_arena(void **state) {
    (void)state;
    struct slice body = SLICE("{\"resource_id\":\"r\",\"counter_type\":\"c\",\"delta\":1}");
    struct arena none;
    struct json_item item;

    arena_init(&none, 0, 0);
    assert_int_equal(json_read_increment(body, &none, &item, &problem), ERR_OK);
    assert_ptr_equal(item.resource_id.ptr, body.ptr + 16);
    assert_false(arena_overflowed(&none));
}

static void test_out_of_arena(void **state) {
    (void)state;
    struct arena small;
    struct json_item item = {.delta = 42};
    struct json_item *items = NULL;
    size_t count = 42;

    arena_init(&small, 16, 16);
    assert_int_equal(json_read_increment(SLICE("{\"resource_id\":\"\\t2345678901234567890\","
                                               "\"counter_type\":\"c\"}"),
                                         &small, &item, &problem),
                     ERR_NO_MEMORY);
    assert_int_equal(item.delta, 42);
    assert_true(says("the body needs more memory"));
    assert_int_equal(
        json_read_batch_get(SLICE("{\"items\":[]}"), &small, 10, &items, &count, &problem),
        ERR_NO_MEMORY);
    assert_null(items);
    assert_int_equal(count, 42);
    arena_release(&small);
}

/* ---- batches ---- */

static void test_batch_increment(void **state) {
    (void)state;
    struct json_item *items;
    size_t count;

    assert_int_equal(
        json_read_batch_increment(SLICE("{\"x\":[[]],\"items\":[" ITEM ", {" IDS ",\"delta\":-2,"
                                        "\"idempotency_key\":\"k\\n\"},{" IDS
                                        ",\"idempotency_key\":null,\"z\":{}},"
                                        "{" IDS ",\"idempotency_key\":\"" A250 "12345\"}]}"),
                                  &arena, 4, &items, &count, &problem),
        ERR_OK);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++) {
        assert_true(slice_eq(items[i].resource_id, SLICE("r")));
        assert_true(slice_eq(items[i].counter_type, SLICE("c")));
        assert_int_equal(items[i].delta, i == 1 ? -2 : 1);
    }
    assert_null(items[0].idempotency_key.ptr);
    assert_true(slice_eq(items[1].idempotency_key, SLICE("k\n")));
    assert_null(items[2].idempotency_key.ptr);
    assert_int_equal(items[3].idempotency_key.len, 255);
}

static void test_batch_get_ignores_changes(void **state) {
    (void)state;
    struct json_item *items;
    size_t count;

    assert_int_equal(json_read_batch_get(SLICE("{\"items\":[{" IDS ",\"delta\":\"x\","
                                               "\"idempotency_key\":7}," ITEM "]}"),
                                         &arena, 10, &items, &count, &problem),
                     ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(items[0].delta, 1);
    assert_null(items[0].idempotency_key.ptr);
}

/* What changes a counter is an event; a read is none. */
static void test_the_longest_name(void **state) {
    static char body[COUNTER_NAME_MAX + 100];
    struct json_item item;
    struct json_item *items;
    size_t count;

    (void)state;
    for (int more = 0; more < 2; more++) {
        int len =
            snprintf(body, sizeof(body), "{\"counter_type\":\"like\",\"resource_id\":\"%0*d\"}",
                     COUNTER_NAME_MAX - 4 + more, 7);
        enum err err = json_read_increment(slice_of(body, (size_t)len), &arena, &item, &problem);

        assert_int_equal(err, more ? ERR_INVALID : ERR_OK);
    }
    assert_true(says("resource_id: must have at most 65536 bytes together with counter_type"));
    int len = snprintf(body, sizeof(body),
                       "{\"items\":[{\"counter_type\":\"c\",\"resource_id\":\"%0*d\"}]}",
                       COUNTER_NAME_MAX, 7);
    assert_int_equal(
        json_read_batch_get(slice_of(body, (size_t)len), &arena, 1, &items, &count, &problem),
        ERR_OK);
}

static void test_empty_and_duplicate_batches(void **state) {
    (void)state;
    struct json_item *items;
    size_t count;

    assert_int_equal(
        json_read_batch_get(SLICE("{\"items\":[]}"), &arena, 0, &items, &count, &problem), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(json_read_batch_get(SLICE("{\"items\":[" ITEM "],\"items\":null,\"items\":["
                                               "{\"resource_id\":\"a\",\"counter_type\":\"b\"}]}"),
                                         &arena, 10, &items, &count, &problem),
                     ERR_OK);
    assert_int_equal(count, 1);
    assert_true(slice_eq(items[0].resource_id, SLICE("a")));
}

/* As many of the shortest items as a body can hold all have room. */
static void test_densest_batch(void **state) {
    (void)state;
    struct buf body = {0};
    struct json_item *items;
    size_t count;

    buf_add_str(&body, "{\"items\":[" ITEM);
    for (int i = 1; i < 1000; i++)
        buf_add_str(&body, "," ITEM);
    buf_add_str(&body, "]}");
    assert_int_equal(json_read_batch_get(buf_slice(&body), &arena, 1000, &items, &count, &problem),
                     ERR_OK);
    assert_int_equal(count, 1000);
    assert_true(slice_eq(items[999].counter_type, SLICE("c")));
    assert_int_equal(json_read_batch_get(buf_slice(&body), &arena, 999, &items, &count, &problem),
                     ERR_INVALID);
    assert_string_equal(problem.text, "items: must have at most 999 elements");
    buf_release(&body);
}

/* clang-format off */
static const struct {
    struct slice body;
    const char *says;
} refused_batches[] = {
    {BYTES(""),                               "the body must be a JSON object, found nothing"},
    {BYTES("[" ITEM "]"),                     "the body must be a JSON object, found an array"},
    {BYTES("{}"),                             "items: is required"},
    {BYTES("{\"items\":null}"),               "items: is required"},
    {BYTES("{\"items\":[],\"items\":null}"),  "items: is required"},
    {BYTES("{\"Items\":[]}"),                 "items: is required"},
    {BYTES("{\"items\":{}}"),                 "items: must be an array, found an object"},
    {BYTES("{\"items\":\"\"}"),               "items: must be an array, found a string"},
    {BYTES("{\"items\":[]}]"),                "invalid JSON at byte 12: "},
    {BYTES("{\"items\":[" ITEM "}"),          "invalid JSON at byte 48: "},
    {BYTES("{\"items\":[null]}"),             "items[0]: must be an object, found null"},
    {BYTES("{\"items\":[" ITEM ",[]]}"),      "items[1]: must be an object, found an array"},
    {BYTES("{\"items\":[" ITEM ",{}]}"),      "items[1].resource_id: is required"},
    {BYTES("{\"items\":[" ITEM "," ITEM ",{" IDS ",\"delta\":1.5}]}"),
                                              "items[2].delta: " INTEGER},
    {BYTES("{\"items\":[{" IDS ",\"delta\":\"\"}]}"), "items[0].delta: " INTEGER ", found a string"},
    {BYTES("{\"items\":[{" IDS ",\"counter_type\":\"\\u0000\"}]}"),
                                              "items[0].counter_type: must not contain U+0000"},
    {BYTES("{\"items\":[{" IDS ",\"idempotency_key\":\"\"}]}"),
                                              "items[0].idempotency_key: must have 1 to 255 bytes, found 0"},
    {BYTES("{\"items\":[{" IDS ",\"idempotency_key\":\"" A250 "123456\"}]}"),
                                              "items[0].idempotency_key: must have 1 to 255 bytes, found 256"},
    {BYTES("{\"items\":[{" IDS ",\"idempotency_key\":\"a\\u0000\"}]}"),
                                              "items[0].idempotency_key: must not contain U+0000"},
    {BYTES("{\"items\":[{" IDS ",\"idempotency_key\":1}]}"),
                                              "items[0].idempotency_key: must be a string, found a number"},
    {BYTES("{\"items\":[" ITEM "," ITEM "," ITEM "," ITEM "]}"),
                                              "items: must have at most 3 elements"},
};
/* clang-format on */

static void test_refused_batches(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused_batches); i++) {
        struct json_item *items = NULL;
        size_t count = 42;
        enum err err =
            json_read_batch_increment(refused_batches[i].body, &arena, 3, &items, &count, &problem);

        if (err != ERR_INVALID || items || count != 42 || !says(refused_batches[i].says))
            fail_msg("%.*s: %s, \"%s\"", SLICE_ARGS(refused_batches[i].body), err_name(err),
                     problem.text);
    }
}

/* ---- values ---- */

/* clang-format off */
static const struct {
    const char *body;
    int64_t value;
    const char *says; /* NULL when it is fine */
} values[] = {
    {"{\"value\":0}",                       0,         NULL},
    {"{\"value\":-5,\"x\":[]}",             -5,        NULL},
    {"{\"value\":1,\"value\":2}",           2,         NULL},
    {"{\"value\":-9223372036854775808}",    INT64_MIN, NULL},
    {"{}",                                  0,         "value: is required"},
    {"{\"value\":null}",                    0,         "value: is required"},
    {"{\"value\":\"1\"}",                   0,         "value: " INTEGER ", found a string"},
    {"{\"value\":1.0}",                     0,         "value: " INTEGER},
    {"{\"value\":9223372036854775808}",     0,         "value: " INTEGER},
    {"{\"value\":1} 2",                     0,         "invalid JSON at byte 12: "},
    {"7",                                   0,         "the body must be a JSON object, found a number"},
};
/* clang-format on */

static void test_values(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        int64_t value = 42;
        enum err err = json_read_value(slice_str(values[i].body), &arena, &value, &problem);

        if (!values[i].says && (err != ERR_OK || value != values[i].value))
            fail_msg("%s: %s, %" PRId64, values[i].body, err_name(err), value);
        if (values[i].says && (err != ERR_INVALID || value != 42 || !says(values[i].says)))
            fail_msg("%s: %s, \"%s\"", values[i].body, err_name(err), problem.text);
    }
}

static int arena_up(void **state) {
    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    return 0;
}

static int arena_down(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_increments),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_plain_body_needs_no_arena),
        cmocka_unit_test(test_out_of_arena),
        cmocka_unit_test(test_batch_increment),
        cmocka_unit_test(test_batch_get_ignores_changes),
        cmocka_unit_test(test_the_longest_name),
        cmocka_unit_test(test_empty_and_duplicate_batches),
        cmocka_unit_test(test_densest_batch),
        cmocka_unit_test(test_refused_batches),
        cmocka_unit_test(test_values),
    };

    return cmocka_run_group_tests(tests, arena_up, arena_down);
}
