/* test_rocks_kv.c - what kv.h promises, on RocksDB. */
#include "store_fixture.h"

static void test_staged_is_not_visible(void **state) {
    (void)state;
    struct store s;

    store_setup(&s);
    store_must_open(&s);
    put_str(s.kv, KV_COUNTER, "a", "1");
    assert_string_equal(get_str(s.kv, KV_COUNTER, "a"), "");
    assert_int_equal(kv_commit(s.kv, true), ERR_OK);
    assert_string_equal(get_str(s.kv, KV_COUNTER, "a"), "1");
    store_teardown(&s);
}

static void test_spaces_are_separate_and_commit_together(void **state) {
    (void)state;
    struct store s;

    store_setup(&s);
    store_must_open(&s);
    for (enum kv_space space = 0; space < KV_SPACES; space++) {
        char value[2] = {(char)('0' + space), 0};

        put_str(s.kv, space, "k", value);
    }
    for (enum kv_space space = 0; space < KV_SPACES; space++)
        assert_string_equal(get_str(s.kv, space, "k"), "");
    assert_int_equal(kv_commit(s.kv, true), ERR_OK);
    store_close(&s);
    store_must_open(&s);
    for (enum kv_space space = 0; space < KV_SPACES; space++) {
        char value[2] = {(char)('0' + space), 0};

        assert_string_equal(get_str(s.kv, space, "k"), value);
    }
    store_teardown(&s);
}

static void test_later_writes_win_within_a_batch(void **state) {
    (void)state;
    struct store s;

    store_setup(&s);
    store_must_open(&s);
    put_str(s.kv, KV_KEY, "a", "1");
    put_str(s.kv, KV_KEY, "a", "2");
    put_str(s.kv, KV_KEY, "b", "1");
    kv_del(s.kv, KV_KEY, SLICE("b"));
    put_str(s.kv, KV_KEY, "c1", "1");
    kv_del_range(s.kv, KV_KEY, SLICE("c"), SLICE("d"));
    put_str(s.kv, KV_KEY, "c2", "2");
    assert_int_equal(kv_commit(s.kv, false), ERR_OK);
    assert_string_equal(get_str(s.kv, KV_KEY, "a"), "2");
    assert_string_equal(get_str(s.kv, KV_KEY, "b"), "");
    assert_string_equal(get_str(s.kv, KV_KEY, "c1"), "");
    assert_string_equal(get_str(s.kv, KV_KEY, "c2"), "2");
    store_teardown(&s);
}

/* Walks the space from 'from' and joins what it finds. */
static const char *walk(struct kv *kv, enum kv_space space, struct slice from) {
    static char joined[256];
    struct buf key = {0};
    struct buf value = {0};
    size_t at = 0;

    joined[0] = '\0';
    buf_add_slice(&key, from);
    while (kv_seek(kv, space, buf_slice(&key), &key, &value) == ERR_OK) {
        at += (size_t)snprintf(joined + at, sizeof(joined) - at, "%.*s=%.*s ",
                               SLICE_ARGS(buf_slice(&key)), SLICE_ARGS(buf_slice(&value)));
        buf_add_char(&key, '\0'); /* the smallest key behind it */
    }
    buf_release(&key);
    buf_release(&value);
    return joined;
}

static void test_seek_goes_in_order_and_sees_commits(void **state) {
    (void)state;
    struct store s;

    store_setup(&s);
    store_must_open(&s);
    put_str(s.kv, KV_OUTBOX, "b", "2");
    put_str(s.kv, KV_OUTBOX, "\xff", "4");
    put_str(s.kv, KV_OUTBOX, "a", "1");
    put_str(s.kv, KV_WINDOW, "z", "other space");
    assert_int_equal(kv_commit(s.kv, true), ERR_OK);
    assert_string_equal(walk(s.kv, KV_OUTBOX, SLICE("")), "a=1 b=2 \xff=4 ");
    /* The iterator was made before this commit and must not hide it. */
    put_str(s.kv, KV_OUTBOX, "c", "3");
    kv_del(s.kv, KV_OUTBOX, SLICE("a"));
    assert_string_equal(walk(s.kv, KV_OUTBOX, SLICE("")), "a=1 b=2 \xff=4 ");
    assert_int_equal(kv_commit(s.kv, false), ERR_OK);
    assert_string_equal(walk(s.kv, KV_OUTBOX, SLICE("")), "b=2 c=3 \xff=4 ");
    assert_string_equal(walk(s.kv, KV_OUTBOX, SLICE("bb")), "c=3 \xff=4 ");
    store_teardown(&s);
}

static void test_del_range_is_half_open_and_survives(void **state) {
    (void)state;
    struct store s;

    store_setup(&s);
    store_must_open(&s);
    for (char c = 'a'; c <= 'f'; c++) {
        char key[2] = {c, 0};

        put_str(s.kv, KV_OUTBOX, key, "x");
    }
    assert_int_equal(kv_commit(s.kv, true), ERR_OK);
    assert_string_equal(walk(s.kv, KV_OUTBOX, SLICE("")), "a=x b=x c=x d=x e=x f=x ");
    kv_del_range(s.kv, KV_OUTBOX, SLICE("b"), SLICE("e"));
    assert_int_equal(kv_commit(s.kv, true), ERR_OK);
    assert_string_equal(walk(s.kv, KV_OUTBOX, SLICE("")), "a=x e=x f=x ");
    store_close(&s);
    store_must_open(&s);
    assert_string_equal(walk(s.kv, KV_OUTBOX, SLICE("")), "a=x e=x f=x ");
    store_teardown(&s);
}

static void test_binary_keys_and_empty_values(void **state) {
    (void)state;
    struct store s;
    struct buf out = {0};

    store_setup(&s);
    store_must_open(&s);
    kv_put(s.kv, KV_KEY, slice_of("a\0b", 3), slice_of("", 0));
    assert_int_equal(kv_commit(s.kv, true), ERR_OK);
    assert_int_equal(kv_get(s.kv, KV_KEY, SLICE("a"), &out), ERR_NOT_FOUND);
    buf_add_str(&out, "kept");
    assert_int_equal(kv_get(s.kv, KV_KEY, slice_of("a\0b", 3), &out), ERR_OK);
    assert_int_equal(out.len, 4); /* appended, and nothing was */
    buf_release(&out);
    store_teardown(&s);
}

/* Several generations of memory, log and tables, committed the way both modes do. */
static void test_many_reopens(void **state) {
    (void)state;
    struct store s;
    char key[32];
    char value[1024];

    store_setup(&s);
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int round = 0; round < 4; round++) {
        store_must_open(&s);
        for (int i = 0; i < 3000; i++) {
            snprintf(key, sizeof(key), "%d-%d", round, i);
            put_str(s.kv, KV_COUNTER, key, value);
            put_str(s.kv, KV_META, "last", key);
            assert_int_equal(kv_commit(s.kv, i % 500 == 0), ERR_OK);
        }
        assert_int_equal(kv_sync(s.kv), ERR_OK);
        store_close(&s);
    }
    store_must_open(&s);
    assert_string_equal(get_str(s.kv, KV_META, "last"), "3-2999");
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 3000; i += 7) {
            snprintf(key, sizeof(key), "%d-%d", round, i);
            assert_string_equal(get_str(s.kv, KV_COUNTER, key), value);
        }
    }
    assert_string_equal(logged, "");
    store_teardown(&s);
}

/* ---- overwriting ---- */

#define COUNTERS 500
#define ROUNDS   200

/* Lengths that shrink, grow and stay, deletes, and a state that was read before. */
static void overwrite_some(struct store *s, unsigned round, char want[COUNTERS][64]) {
    for (unsigned i = round % 3; i < COUNTERS; i += 3) {
        char key[16];
        unsigned digits = i % 2 ? 17 : 1 + (round * 7 + i) % 40;

        snprintf(key, sizeof(key), "%u", i);
        snprintf(want[i], sizeof(want[i]), "%0*u", (int)digits, round);
        if ((round + i) % 50 == 0) {
            want[i][0] = '\0';
            kv_del(s->kv, KV_COUNTER, slice_str(key));
        } else {
            put_str(s->kv, KV_COUNTER, key, "overwritten at once");
            put_str(s->kv, KV_COUNTER, key, want[i]);
        }
    }
}

static void expect_all(struct store *s, char want[COUNTERS][64]) {
    for (unsigned i = 0; i < COUNTERS; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%u", i);
        assert_string_equal(get_str(s->kv, KV_COUNTER, key), want[i]);
    }
}

/* A buffer that is full, a log that is read again: the last value everywhere. */
static void test_counters_are_overwritten(void **state) {
    (void)state;
    struct store s;
    static char want[COUNTERS][64];
    static char filler[8192];

    store_setup(&s);
    memset(filler, 'f', sizeof(filler) - 1);
    store_must_open(&s);
    for (unsigned round = 0; round < ROUNDS; round++) {
        overwrite_some(&s, round, want);
        put_str(s.kv, KV_META, "filler", filler); /* makes RocksDB flush all spaces now and then */
        assert_int_equal(kv_commit(s.kv, round % 10 == 0), ERR_OK);
        if (round % 20 == 0)
            expect_all(&s, want);
        if (round % 50 == 49) {
            store_close(&s);
            store_must_open(&s);
            expect_all(&s, want);
        }
    }
    expect_all(&s, want);
    store_teardown(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_staged_is_not_visible),
        cmocka_unit_test(test_spaces_are_separate_and_commit_together),
        cmocka_unit_test(test_later_writes_win_within_a_batch),
        cmocka_unit_test(test_seek_goes_in_order_and_sees_commits),
        cmocka_unit_test(test_del_range_is_half_open_and_survives),
        cmocka_unit_test(test_binary_keys_and_empty_values),
        cmocka_unit_test(test_many_reopens),
        cmocka_unit_test(test_counters_are_overwritten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
