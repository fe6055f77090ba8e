/* test_open.c - what a store is refused for, and that the sentence says why. */
#include <string.h>

#include "core_fixture.h"

enum tampering { NONE, FLIP, CUT, VERSION, REMOVE, ADD_STRAY };

static const struct {
    const char *name;
    uint32_t lanes; /* of the second start; the first had 4 */
    enum tampering tampering;
    enum kv_space space;
    const char *key; /* NULL: the space's first */
    size_t key_len;
    enum err want;
    const char *sentence; /* a part of it */
} rows[] = {
    {"the same lanes", 4, NONE, KV_META, NULL, 0, ERR_OK, NULL},
    {"lanes unset: the store's", 0, NONE, KV_META, NULL, 0, ERR_OK, NULL},
    {"other lanes", 8, NONE, KV_META, NULL, 0, ERR_LAYOUT, "with 4, the configuration asks for 8"},
    {"too many lanes", 5000, NONE, KV_META, NULL, 0, ERR_INVALID, "5000 lanes"},
    {"layout flipped", 4, FLIP, KV_META, "layout", 6, ERR_CORRUPT, "layout"},
    {"layout cut", 4, CUT, KV_META, "layout", 6, ERR_CORRUPT, "layout"},
    {"layout of a later version", 4, VERSION, KV_META, "layout", 6, ERR_NEWER, "format 9"},
    {"layout lost", 4, REMOVE, KV_META, "layout", 6, ERR_CORRUPT, "layout record is missing"},
    {"lane flipped", 4, FLIP, KV_META, "lane\0\0\0\2", 8, ERR_CORRUPT, "lane 2"},
    {"lane cut", 4, CUT, KV_META, "lane\0\0\0\2", 8, ERR_CORRUPT, "lane 2"},
    {"lane lost", 4, REMOVE, KV_META, "lane\0\0\0\2", 8, ERR_CORRUPT, "lane 2"},
    {"lane of a later version", 4, VERSION, KV_META, "lane\0\0\0\2", 8, ERR_NEWER, "lane 2"},
    {"keys flipped", 4, FLIP, KV_META, "keys", 4, ERR_CORRUPT, "key generations"},
    {"keys lost", 4, REMOVE, KV_META, "keys", 4, ERR_CORRUPT, "key generations"},
    {"window cut", 4, CUT, KV_WINDOW, NULL, 0, ERR_CORRUPT, "dedup windows is damaged"},
    {"window of a later version", 4, VERSION, KV_WINDOW, NULL, 0, ERR_NEWER, "newer"},
    {"stray window", 4, ADD_STRAY, KV_WINDOW, "\0\0\0\1x", 5, ERR_CORRUPT, "dedup windows"},
    {"outbox cut", 4, CUT, KV_OUTBOX, NULL, 0, ERR_CORRUPT, "outbox"},
    {"outbox lost", 4, REMOVE, KV_OUTBOX, NULL, 0, ERR_CORRUPT, "outbox"},
};

struct first {
    struct buf key;
    struct buf value;
    const char *want;
    size_t want_len;
    bool found;
};

static void take_first(void *ctx, struct slice key, struct slice value) {
    struct first *first = ctx;

    if (first->found || (first->want && !slice_eq(key, slice_of(first->want, first->want_len))))
        return;
    first->found = true;
    buf_add_slice(&first->key, key);
    buf_add_slice(&first->value, value);
}

static void tamper(struct fixture *f, size_t row) {
    struct first at = {.want = rows[row].key, .want_len = rows[row].key_len};

    if (rows[row].tampering == NONE)
        return;
    if (rows[row].tampering == ADD_STRAY) {
        sim_kv_tamper(f->sim, rows[row].space, slice_of(at.want, at.want_len), SLICE("x"));
        return;
    }
    sim_kv_each(f->sim, rows[row].space, take_first, &at);
    assert_true(at.found);
    if (rows[row].tampering == FLIP)
        at.value.ptr[at.value.len / 2] ^= 0x10;
    if (rows[row].tampering == CUT)
        at.value.len--;
    if (rows[row].tampering == VERSION)
        at.value.ptr[0] = 9;
    struct slice value = rows[row].tampering == REMOVE ? slice_of(NULL, 0) : buf_slice(&at.value);
    sim_kv_tamper(f->sim, rows[row].space, buf_slice(&at.key), value);
    buf_release(&at.key);
    buf_release(&at.value);
}

static void test_refusals(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        struct fixture f;
        struct applier *second = NULL;
        const char *detail = "";

        fixture_init(&f, 4);
        (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 1, NULL));
        applier_close(f.applier);
        tamper(&f, row);
        f.conf.lanes = rows[row].lanes;
        enum err err =
            applier_open(sim_kv_base(f.sim), &f.conf, fixture_time(&f), &second, &detail);
        if (err != rows[row].want || (rows[row].sentence && !strstr(detail, rows[row].sentence)))
            fail_msg("%s: %s, \"%s\"", rows[row].name, err_name(err), detail);
        f.applier = second;
        fixture_release(&f);
    }
}

static void test_new_store(void **state) {
    (void)state;
    struct fixture f;
    struct applier_stats first;
    struct applier_stats second;
    struct layout layout;

    fixture_init(&f, 0);
    applier_stats(f.applier, &first);
    assert_int_equal(first.lanes, 1);
    /* On disk before anybody is answered. */
    applier_close(f.applier);
    sim_kv_crash(f.sim, 0);
    f.conf.hash_seed[0] = 99;
    f.conf.new_lanes = 3; /* it isn't new */
    fixture_open(&f);
    applier_stats(f.applier, &second);
    assert_int_equal(second.lanes, 1);
    assert_true(first.store_id == second.store_id);
    assert_int_equal(inspect_layout(sim_kv_base(f.sim), &layout), ERR_OK);
    assert_true(layout.store_id == first.store_id);
    assert_int_equal(layout.created_ms, f.now_ms);
    fixture_release(&f);
}

static void test_store_that_does_not_read(void **state) {
    (void)state;
    struct fixture f;
    unsigned reads = 0;
    enum err err;

    fixture_init(&f, 4);
    (void)fixture_one(&f, 1, op_on(OP_ADD, "a", 1, NULL));
    do { /* the k-th read of an open fails, for every k */
        struct applier *applier = NULL;
        const char *detail = "";

        applier_close(f.applier);
        sim_kv_kill(f.sim);
        sim_kv_fail_read(f.sim, reads++);
        err = applier_open(sim_kv_base(f.sim), &f.conf, fixture_time(&f), &applier, &detail);
        f.applier = applier;
        if (err != ERR_OK) {
            assert_int_equal(err, ERR_IO);
            assert_non_null(strstr(detail, "could not be read"));
        }
    } while (err != ERR_OK && reads < 100);
    assert_in_range(reads, 8, 99);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_new_store),
        cmocka_unit_test(test_store_that_does_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
