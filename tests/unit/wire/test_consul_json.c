/* test_consul_json.c - what Consul says of instances, and what is said to it. */
#include "wire/consul_json.h"

#include <stdio.h>
#include <string.h>

#include "wire/json.h"

#include "test.h"

/* clang-format off */
static const struct {
    const char *name;
    const char *body;
    const char *want; /* "address*weight address*weight"; NULL: refused */
} rows[] = {
    {"nobody", "[]", ""},
    {"one", "[{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"Address\":\"10.0.0.2\",\"Port\":50051,"
            "\"Weights\":{\"Passing\":3,\"Warning\":1}},\"Checks\":[{\"Status\":\"passing\"}]}]", "10.0.0.2:50051*3"},
    {"the node's address where the service has none",
     "[{\"Service\":{\"Address\":\"\",\"Port\":1},\"Node\":{\"Address\":\"10.0.0.1\"}}]", "10.0.0.1:1*1"},
    {"IPv6", "[{\"Node\":{},\"Service\":{\"Address\":\"fd00::1\",\"Port\":2}}]", "[fd00::1]:2*1"},
    {"a name, escaped", "[{\"Node\":{},\"Service\":{\"Address\":\"c\\u006funter\",\"Port\":2}}]", "counter:2*1"},
    {"no port: left out", "[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":0}}]", ""},
    {"no address: left out", "[{\"Node\":{},\"Service\":{\"Port\":1}}]", ""},
    {"the same twice", "[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":1}},"
                       "{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":1}}]", "a:1*1"},
    {"two", "[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":1}},"
            "{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":2,\"Weights\":null}}]", "a:1*1 a:2*1"},
    {"weight 0", "[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":1,\"Weights\":{\"Passing\":0}}}]", "a:1*0"},
    {"a port beyond", "[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":65536}}]", NULL},
    {"a port that is text", "[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":\"1\"}}]", NULL},
    {"an address that is none", "[{\"Node\":{\"Address\":7},\"Service\":{\"Port\":1}}]", NULL},
    {"a zero byte", "[{\"Node\":{\"Address\":\"a\\u0000b\"},\"Service\":{\"Port\":1}}]", NULL},
    {"an object", "{}", NULL},
    {"a list of numbers", "[1]", NULL},
    {"a proxy's page", "<html>", NULL},
    {"cut off", "[{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":1}}", NULL},
    {"more behind it", "[]]", NULL},
    {"nothing", "", NULL},
};
/* clang-format on */

static void test_read_health(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct instances found = {.count = 77};
        const char *problem = NULL;
        struct buf got = {0};
        struct arena arena;

        arena_init(&arena, 256, 4096);
        enum err err = consul_read_health(slice_str(rows[i].body), &arena, &found, &problem);
        if (err != ERR_OK) {
            if (rows[i].want || !problem || found.count != 77)
                fail_msg("%s: refused: %s", rows[i].name, problem);
            arena_release(&arena);
            continue;
        }
        for (unsigned k = 0; k < found.count; k++)
            buf_printf(&got, "%s%s*%u", k ? " " : "", found.instance[k].address,
                       found.instance[k].weight);
        buf_add_char(&got, '\0');
        if (!rows[i].want || strcmp(got.ptr, rows[i].want) != 0)
            fail_msg("%s: got \"%s\"", rows[i].name, got.ptr);
        buf_release(&got);
        arena_release(&arena);
    }
}

static void test_more_than_fit(void **state) {
    (void)state;
    struct instances found;
    const char *problem = NULL;
    struct buf body = {0};
    struct arena arena;

    for (int i = 1; i <= INSTANCES_MAX + 6; i++)
        buf_printf(&body, "%s{\"Node\":{\"Address\":\"a\"},\"Service\":{\"Port\":%d}}",
                   i == 1 ? "[" : ",", i);
    buf_add_char(&body, ']');
    arena_init(&arena, 256, 4096);
    assert_int_equal(consul_read_health(buf_slice(&body), &arena, &found, &problem), ERR_OK);
    assert_int_equal(found.count, INSTANCES_MAX);
    assert_int_equal(found.left_out, 6);
    arena_release(&arena);
    buf_release(&body);
}

/* clang-format off */
static const struct {
    const char *name;
    const char *body;
    const char *want; /* "index flags base64"; NULL: refused */
} values[] = {
    {"one", "[{\"LockIndex\":0,\"Key\":\"a/b\",\"Flags\":3,\"Value\":\"YQ==\",\"CreateIndex\":7,\"ModifyIndex\":9}]", "9 3 YQ=="},
    {"an empty one", "[{\"Flags\":0,\"Value\":null,\"ModifyIndex\":9}]", "9 0 "},
    {"none", "[]", NULL},
    {"two", "[{\"ModifyIndex\":9},{\"ModifyIndex\":9}]", NULL},
    {"an index below 0", "[{\"ModifyIndex\":-1}]", NULL},
    {"a value that is a number", "[{\"Value\":1}]", NULL},
    {"no JSON", "true", NULL},
};
/* clang-format on */

static void test_read_value(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct consul_value value;
        const char *problem = NULL;
        struct arena arena;
        char got[64];

        arena_init(&arena, 256, 4096);
        enum err err = consul_read_value(slice_str(values[i].body), &arena, &value, &problem);
        if ((err == ERR_OK) != (values[i].want != NULL))
            fail_msg("%s: %s", values[i].name, err_text(err));
        if (err == ERR_OK) {
            (void)snprintf(got, sizeof(got), "%llu %llu %.*s",
                           (unsigned long long)value.modify_index, (unsigned long long)value.flags,
                           SLICE_ARGS(value.base64));
            assert_string_equal(got, values[i].want);
        } else {
            assert_non_null(problem);
        }
        arena_release(&arena);
    }
}

static void add_key(void *ctx, struct slice key) {
    buf_printf(ctx, "%.*s;", SLICE_ARGS(key));
}

static void test_read_keys(void **state) {
    (void)state;
    const char *problem = NULL;
    struct buf got = {0};
    struct arena arena;

    arena_init(&arena, 256, 4096);
    assert_int_equal(
        consul_read_keys(SLICE("[\"a/1-5\",\"a\\/2-6\"]"), &arena, add_key, &got, &problem),
        ERR_OK);
    assert_true(slice_eq(buf_slice(&got), SLICE("a/1-5;a/2-6;")));
    assert_int_equal(consul_read_keys(SLICE("[1]"), &arena, add_key, &got, &problem), ERR_INVALID);
    assert_int_equal(consul_read_keys(SLICE("{}"), &arena, add_key, &got, &problem), ERR_INVALID);
    buf_release(&got);
    arena_release(&arena);
}

static void test_write_registration(void **state) {
    (void)state;
    struct consul_registration registration = {
        .id = "counter-\"host\"-1",
        .name = "counter",
        .address = "",
        .port = 50051,
        .tags = "a,b",
        .weight = 7,
        .version = "1.0",
        .role = "counter",
        .admin = "127.0.0.1:2113",
        .check_kind = "GRPC",
        .check_target = "127.0.0.1:50051/counter.CounterService",
        .check_ms = 2000,
        .passing = true,
    };
    struct json_error error;
    struct buf body = {0};

    consul_write_registration(&body, &registration);
    buf_add_char(&body, '\0');
    assert_string_equal(
        body.ptr,
        "{\"ID\":\"counter-\\\"host\\\"-1\",\"Name\":\"counter\",\"Address\":\"\",\"Port\":50051,"
        "\"Tags\":[\"a\",\"b\"],\"Weights\":{\"Passing\":7,\"Warning\":1},\"Meta\":{\"version\":"
        "\"1.0\",\"role\":\"counter\",\"admin\":\"127.0.0.1:2113\"},\"Check\":{\"Interval\":"
        "\"2000ms\",\"Timeout\":\"2000ms\",\"GRPC\":\"127.0.0.1:50051/counter.CounterService\","
        "\"Name\":\"counter\",\"Status\":\"passing\",\"DeregisterCriticalServiceAfter\":\"10m\"}}");
    assert_true(json_validate(slice_of(body.ptr, body.len - 1), &error));
    buf_release(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_health),        cmocka_unit_test(test_more_than_fit),
        cmocka_unit_test(test_read_value),         cmocka_unit_test(test_read_keys),
        cmocka_unit_test(test_write_registration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
