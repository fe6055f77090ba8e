/* test_penalty.c - penalties as scripts, and a full table. */
#include <inttypes.h>
#include <string.h>

#include "base/attr.h"
#include "core/penalty.h"
#include "test.h"

#define STEPS_MAX 8
#define FIRST_MS  1000
#define MAX_MS    5000

static struct penalty_table *make(size_t clients) {
    struct penalty_table *table = penalty_new(&(struct penalty_conf){
        .first_ms = FIRST_MS, .max_ms = MAX_MS, .clients = clients, .seed = {7, 11}});

    assert_non_null(table);
    return table;
}

static struct in6_addr client(uint32_t n) {
    struct in6_addr address = {{{0}}};

    memcpy(address.s6_addr + 12, &n, sizeof(n));
    return address;
}

enum act { OFFENDS, ASKS };

/* clang-format off */
static const struct {
    const char *name;
    struct {
        int64_t at_ms;
        enum act act;
        int64_t want_ms; /* of the penalty that begins, or that is left */
    } steps[STEPS_MAX];
    size_t count;
} rows[] = {
    {"nobody has one at first", {{0, ASKS, 0}}, 1},
    {"it ends by itself",
     {{10, OFFENDS, 1000}, {10, ASKS, 1000}, {1009, ASKS, 1}, {1010, ASKS, 0}, {9000, ASKS, 0}}, 5},
    {"what happens meanwhile is the same offence",
     {{10, OFFENDS, 1000}, {500, OFFENDS, 0}, {1009, OFFENDS, 0}, {1010, ASKS, 0}}, 4},
    {"each further one is twice as long, up to a maximum",
     {{10, OFFENDS, 1000}, {1010, OFFENDS, 2000}, {3010, OFFENDS, 4000}, {7010, OFFENDS, 5000},
      {12010, OFFENDS, 5000}, {12010, ASKS, 5000}}, 6},
    {"who behaves begins anew",
     {{10, OFFENDS, 1000}, {1010, OFFENDS, 2000}, {8009, OFFENDS, 4000}, {17009, OFFENDS, 1000}}, 4},
};
/* clang-format on */

static void test_scripts(void **state) {
    struct in6_addr who = client(1), other = client(2);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct penalty_table *table = make(64);

        for (size_t k = 0; k < rows[i].count; k++) {
            int64_t at_ms = rows[i].steps[k].at_ms;
            int64_t got_ms = rows[i].steps[k].act == OFFENDS ? penalty_offend(table, &who, at_ms)
                                                             : penalty_left_ms(table, &who, at_ms);

            if (got_ms != rows[i].steps[k].want_ms)
                fail_msg("%s, step %zu: %" PRId64 " ms", rows[i].name, k, got_ms);
            assert_int_equal(penalty_left_ms(table, &other, at_ms), 0);
        }
        penalty_free(table);
    }
}

static void test_a_first_one_above_the_maximum(void **state) {
    struct in6_addr who = client(1);
    struct penalty_table *table = penalty_new(
        &(struct penalty_conf){.first_ms = 7000, .max_ms = MAX_MS, .clients = 8, .seed = {1, 2}});

    (void)state;
    assert_int_equal(penalty_offend(table, &who, 1), MAX_MS);
    penalty_free(table);
}

/* A table of one set: the ninth client takes the place of whose penalty ends first. */
static void test_eviction(void **state) {
    struct penalty_table *table = make(PENALTY_WAYS);

    (void)state;
    for (uint32_t n = 0; n < PENALTY_WAYS; n++) {
        struct in6_addr who = client(n);

        assert_int_equal(penalty_offend(table, &who, n == 3 ? 1 : 10 + (int64_t)n), FIRST_MS);
    }
    struct in6_addr ninth = client(PENALTY_WAYS), first_to_end = client(3);
    assert_int_equal(penalty_offend(table, &ninth, 30), FIRST_MS);
    assert_int_equal(penalty_left_ms(table, &first_to_end, 30), 0);
    for (uint32_t n = 0; n < PENALTY_WAYS; n++) {
        struct in6_addr who = client(n);

        if (n != 3)
            assert_int_equal(penalty_left_ms(table, &who, 30), FIRST_MS - 20 + (int64_t)n);
    }
    penalty_free(table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_a_first_one_above_the_maximum),
        cmocka_unit_test(test_eviction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
