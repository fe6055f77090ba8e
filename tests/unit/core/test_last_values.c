/* test_last_values.c - what is known, how old it may be, and how much memory it takes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "core/last_values.h"
#include "test.h"

#define BYTES (1u << 20)

static const uint64_t seed[2] = {7, 11};

static void put(struct last_values *last, const char *id, int64_t value, int64_t time_ms,
                int64_t at_ms) {
    last_values_put(last, slice_str(id), SLICE("like"),
                    &(struct last_value){.value = value, .time_ms = time_ms, .at_ms = at_ms});
}

/* ---- one counter ---- */

/* clang-format off */
static const struct {
    const char *name;
    struct { int64_t value, time_ms, at_ms; } puts[3];
    size_t count;
    int64_t now_ms;
    bool found;
    int64_t value;
} rows[] = {
    {"nothing is known of it",      {{0, 0, 0}},                        0, 0,    false, 0},
    {"known",                       {{5, 1, 10}},                       1, 10,   true,  5},
    {"as old as it may be",         {{5, 1, 10}},                       1, 1010, true,  5},
    {"too old",                     {{5, 1, 10}},                       1, 1011, false, 0},
    {"seen again, young again",     {{5, 1, 10}, {5, 1, 900}},          2, 1900, true,  5},
    {"the later change",            {{5, 1, 10}, {3, 2, 11}},           2, 11,   true,  3},
    {"an earlier one comes late",   {{5, 2, 10}, {3, 1, 11}},           2, 11,   true,  5},
    {"and doesn't make it younger", {{5, 2, 10}, {3, 1, 900}},          2, 1011, false, 0},
    {"two in one millisecond",      {{5, 2, 10}, {6, 2, 10}},           2, 10,   true,  6},
    {"never changed, then changed", {{0, 0, 10}, {1, 9, 11}},           2, 11,   true,  1},
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct last_values *last = last_values_new(BYTES, seed);
        struct last_value got = {.value = -1};

        assert_non_null(last);
        for (size_t k = 0; k < rows[i].count; k++)
            put(last, "a", rows[i].puts[k].value, rows[i].puts[k].time_ms, rows[i].puts[k].at_ms);
        bool found = last_values_find(last, SLICE("a"), SLICE("like"), rows[i].now_ms, 1000, &got);
        if (found != rows[i].found || (found && got.value != rows[i].value))
            fail_msg("%s: %d, %" PRId64, rows[i].name, found, got.value);
        assert_false(last_values_find(last, SLICE("a"), SLICE("view"), 0, 1000, &got));
        last_values_free(last);
    }
}

static void test_names_are_not_mixed_up(void **state) {
    (void)state;
    struct last_values *last = last_values_new(BYTES, seed);
    struct last_value got;
    struct last_value one = {.value = 1};

    last_values_put(last, SLICE("ab"), SLICE("c"), &one);
    assert_false(last_values_find(last, SLICE("a"), SLICE("bc"), 0, 0, &got));
    assert_true(last_values_find(last, SLICE("ab"), SLICE("c"), 0, 0, &got));
    last_values_free(last);
}

/* ---- many ---- */

static void test_memory_is_bounded(void **state) {
    (void)state;
    struct last_values *last = last_values_new(BYTES, seed);
    uint64_t random = 1;
    char id[600];

    memset(id, 'x', sizeof(id));
    for (unsigned n = 0; n < 200000; n++) {
        int len = snprintf(id, sizeof(id), "%u-", n);
        size_t more = random_next(&random) % (sizeof(id) - 20);

        id[len] = 'x';
        last_values_put(last, slice_of(id, (size_t)len + more), SLICE("like"),
                        &(struct last_value){.value = n});
        if (last_values_bytes(last) > BYTES)
            fail_msg("%zu bytes after %u", last_values_bytes(last), n);
    }
    last_values_free(last);
}

static void test_who_is_asked_for_stays(void **state) {
    (void)state;
    struct last_values *last = last_values_new(BYTES, seed);
    struct last_value got;
    char id[16];

    put(last, "once", 1, 0, 0);
    for (unsigned n = 0; n < 100000; n++) {
        (void)snprintf(id, sizeof(id), "%u", n);
        put(last, id, n, 0, 0);
        put(last, "often", n, 0, 0);
    }
    assert_true(last_values_find(last, SLICE("often"), SLICE("like"), 0, 0, &got));
    assert_int_equal(got.value, 99999);
    assert_true(last_values_find(last, SLICE("99999"), SLICE("like"), 0, 0, &got));
    assert_false(last_values_find(last, SLICE("once"), SLICE("like"), 0, 0, &got));
    last_values_free(last);
}

static void test_a_name_that_is_too_large(void **state) {
    (void)state;
    struct last_values *last = last_values_new(4096, seed);
    static char name[8192];
    struct last_value got;

    memset(name, 'n', sizeof(name));
    last_values_put(last, slice_of(name, sizeof(name)), SLICE("like"),
                    &(struct last_value){1, 1, 1});
    assert_false(
        last_values_find(last, slice_of(name, sizeof(name)), SLICE("like"), 1, 1000, &got));
    assert_true(last_values_bytes(last) <= 4096);
    last_values_free(last);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_names_are_not_mixed_up),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_who_is_asked_for_stays),
        cmocka_unit_test(test_a_name_that_is_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
