/* Records of groups: any run of them folds to the same, in pieces from either end, as additions and
 * replacements one by one would have it; what is none of ours is refused. */
#include "base/attr.h"
#include "core/tally_group.h"
#include "test.h"

#define RECORDS 12
#define ROUNDS  300

static uint64_t random_state = 7;

static uint64_t below(uint64_t n) {
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (random_state >> 33) % n;
}

static struct tally any_tally(void) {
    static const int64_t sums[] = {0, 1, -1, 63, -64, 1000000, INT64_MAX, INT64_MIN};

    return (struct tally){sums[below(ARRAY_LEN(sums))], below(3) ? below(300) : UINT64_MAX};
}

static void any_record(struct buf *out) {
    struct tally_group group = {0};

    for (uint64_t entries = below(below(4) ? 5 : 200); entries > 0; entries--) {
        uint32_t number = (uint32_t)below(TALLY_GROUP);

        if (below(4) == 0)
            tally_group_set(&group, number, any_tally());
        else
            tally_group_add(&group, number, any_tally());
    }
    buf_clear(out);
    tally_group_encode(&group, out);
    assert_false(buf_failed(out));
}

static void fold(struct tally_group *group, struct slice record) {
    assert_int_equal(tally_group_fold(group, record), ERR_OK);
}

/* As RocksDB does it: some of the run to one record, which takes their place. */
static void fold_middle(const struct buf records[RECORDS], struct tally_group *out) {
    size_t from = below(RECORDS);
    size_t to = from + below(RECORDS - from + 1);
    struct tally_group middle = {0};
    struct buf record = {0};

    for (size_t i = from; i < to; i++)
        fold(&middle, buf_slice(&records[i]));
    tally_group_encode(&middle, &record);
    *out = (struct tally_group){0};
    for (size_t i = 0; i < from; i++)
        fold(out, buf_slice(&records[i]));
    fold(out, buf_slice(&record));
    for (size_t i = to; i < RECORDS; i++)
        fold(out, buf_slice(&records[i]));
    buf_release(&record);
}

static void check_same(const struct tally_group *a, const struct tally_group *b) {
    struct buf x = {0};
    struct buf y = {0};

    tally_group_encode(a, &x);
    tally_group_encode(b, &y);
    assert_int_equal(x.len, y.len);
    if (x.len)
        assert_memory_equal(x.ptr, y.ptr, x.len);
    buf_release(&x);
    buf_release(&y);
}

static void check_find(const struct tally_group *group) {
    struct buf record = {0};

    tally_group_encode(group, &record);
    for (uint32_t i = 0; i < TALLY_GROUP; i++) {
        struct tally want = group->has >> i & 1 ? group->tallies[i] : (struct tally){0};
        struct tally found = {5, 5};

        assert_int_equal(tally_group_find(buf_slice(&record), i, &found), ERR_OK);
        assert_int_equal(found.sum, want.sum);
        assert_int_equal(found.increments, want.increments);
    }
    buf_release(&record);
}

static void test_folds_in_any_pieces(void **state) {
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct buf records[RECORDS] = {0};
        struct tally_group all = {0};
        struct tally_group pieces;

        for (size_t i = 0; i < RECORDS; i++) {
            any_record(&records[i]);
            fold(&all, buf_slice(&records[i]));
        }
        fold_middle(records, &pieces);
        check_same(&all, &pieces);
        check_find(&all);
        for (size_t i = 0; i < RECORDS; i++)
            buf_release(&records[i]);
    }
}

static void test_a_value_takes_the_place_of_what_was_added(void **state) {
    struct tally_group group = {0};
    struct buf set = {0};
    struct buf add = {0};

    (void)state;
    tally_group_add(&group, 63, (struct tally){5, 1});
    tally_group_encode(&group, &add);
    group = (struct tally_group){0};
    tally_group_set(&group, 63, (struct tally){-2, 7});
    tally_group_encode(&group, &set);

    group = (struct tally_group){0};
    fold(&group, buf_slice(&add));
    fold(&group, buf_slice(&set));
    assert_int_equal(group.tallies[63].sum, -2);
    fold(&group, buf_slice(&add));
    assert_int_equal(group.tallies[63].sum, 3);
    assert_int_equal(group.tallies[63].increments, 8);
    assert_int_equal(tally_group_first(&group), 63);
    tally_group_drop_first(&group);
    assert_int_equal(group.has, 0);
    buf_release(&set);
    buf_release(&add);
}

static void test_refuses_what_is_none(void **state) {
    const struct slice broken[] = {
        SLICE("\1"), SLICE("\1\2"), SLICE("\1\2\x80"), SLICE("\x80\2\1"), SLICE("\1\2\1\2"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct tally_group group = {0};
        struct tally found;

        assert_int_equal(tally_group_fold(&group, broken[i]), ERR_CORRUPT);
        assert_int_equal(tally_group_find(broken[i], 1, &found), ERR_CORRUPT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folds_in_any_pieces),
        cmocka_unit_test(test_a_value_takes_the_place_of_what_was_added),
        cmocka_unit_test(test_refuses_what_is_none),
    };

    return cmocka_run_group_tests_name("core/tally_group", tests, NULL, NULL);
}
