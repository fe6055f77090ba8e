/* test_cache.c - values stay exact whatever is dropped, and the cache stays within its bound. */
#include "core/counter_cache.h"

#include "core_fixture.h"

#define COUNTERS 40

/* Ten times more counters than fit, changed at random, with groups open over evictions. */
static void test_exact_under_eviction(void **state) {
    (void)state;
    for (size_t room = 0; room <= 8; room++) {
        struct fixture f;
        int64_t want[COUNTERS] = {0};
        uint32_t random = 12345;

        fixture_init(&f, 4);
        f.conf.cache_counters = room;
        fixture_reopen(&f);
        for (uint64_t number = 1; number <= 2000; number++) {
            char id[8];
            random = random * 1103515245 + 12345;
            size_t i = (random >> 16) % COUNTERS;
            snprintf(id, sizeof(id), "r%zu", i);
            struct op op = op_on(OP_ADD, id, (int64_t)(random >> 8) % 100 + 1, NULL);

            fixture_apply(&f, producer_a, number, &op, 1);
            want[i] += op.arg;
            assert_answer(f.answers[0], ERR_OK, false, want[i]);
            if ((random >> 4) % 7 == 0)
                fixture_commit(&f);
        }
        fixture_release(&f);
    }
}

static void test_bounded_between_groups(void **state) {
    (void)state;
    struct fixture f;
    struct applier_stats stats;

    fixture_init(&f, 4);
    f.conf.cache_counters = 20;
    fixture_reopen(&f);
    for (uint64_t number = 1; number <= 500; number++) {
        char id[8];

        snprintf(id, sizeof(id), "r%d", (int)number);
        (void)fixture_one(&f, number, op_on(OP_ADD, id, 1, NULL));
        applier_stats(f.applier, &stats);
        assert_in_range(stats.cached_counters, 1, 20);
    }
    assert_int_equal(stats.cache_misses_total, 500);
    (void)fixture_one(&f, 501, op_on(OP_GET, "r500", 0, NULL));
    (void)fixture_one(&f, 502, op_on(OP_GET, "r495", 0, NULL));
    applier_stats(f.applier, &stats);
    assert_int_equal(stats.cache_misses_total, 500);
    (void)fixture_one(&f, 503, op_on(OP_GET, "r1", 0, NULL));
    applier_stats(f.applier, &stats);
    assert_int_equal(stats.cache_misses_total, 501);
    fixture_release(&f);
}

static void test_table_finds_what_was_added(void **state) {
    (void)state;
    struct bytes_table table = {0};

    for (int turn = 0; turn < 3; turn++) {
        uint32_t count = turn == 1 ? 5 : 1000; /* the small turn clears slot by slot */
        for (uint32_t i = 0; i < count; i++) {
            struct slice key = slice_of((const char *)&i, sizeof(i));

            /* Hashes that collide in whole rows. */
            assert_int_equal(bytes_table_find(&table, i / 16, key), BYTES_TABLE_NONE);
            assert_int_equal(bytes_table_add(&table, i / 16, key), i);
        }
        for (uint32_t i = 0; i < count; i++) {
            struct slice key = slice_of((const char *)&i, sizeof(i));

            assert_int_equal(bytes_table_find(&table, i / 16, key), i);
            assert_true(slice_eq(bytes_table_key(&table, i), key));
        }
        bytes_table_clear(&table);
    }
    bytes_table_release(&table);
}

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    enum err want;
} records[] = {
    {"ours", "\1\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6", 17, ERR_OK},
    {"empty", "", 0, ERR_CORRUPT},
    {"version 0", "\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6", 17, ERR_CORRUPT},
    {"a later version", "\2", 1, ERR_NEWER},
    {"cut", "\1\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0", 16, ERR_CORRUPT},
    {"longer", "\1\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6\0", 18, ERR_CORRUPT},
};

static void test_records(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        int64_t value = 0;
        int64_t time_ms = 0;
        enum err got =
            counter_record_decode(slice_of(records[i].bytes, records[i].len), &value, &time_ms);

        if (got != records[i].want || (got == ERR_OK && (value != 5 || time_ms != 6)))
            fail_msg("%s: %s", records[i].name, err_name(got));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_under_eviction),
        cmocka_unit_test(test_bounded_between_groups),
        cmocka_unit_test(test_table_finds_what_was_added),
        cmocka_unit_test(test_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
