/* test_steady.c - the steady path doesn't call malloc: not per operation, message, group, or turn
 * of the cache; and where it is called it may fail. Linked with --wrap=malloc,calloc,realloc. */
#include <stdio.h>

#include "core/applier.h"
#include "test.h"

static size_t allocations;
static size_t fail_at = SIZE_MAX; /* counted down; the one at 0 fails */

static const struct applier_time now = {1000, 1000};

static int allocation_fails(void) {
    allocations++;
    return fail_at != SIZE_MAX && fail_at-- == 0;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void *__wrap_malloc(size_t bytes) {
    return allocation_fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return allocation_fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes) {
    return allocation_fails() ? NULL : __real_realloc(old, bytes);
}

/* A store that keeps nothing and allocates nothing. */
static enum err null_get(struct kv *kv, enum kv_space space, struct slice key, struct buf *out) {
    (void)kv, (void)space, (void)key, (void)out;
    return ERR_NOT_FOUND;
}

static enum err null_seek(struct kv *kv, enum kv_space space, struct slice from,
                          struct buf *out_key, struct buf *out_value) {
    (void)kv, (void)space, (void)from, (void)out_key, (void)out_value;
    return ERR_NOT_FOUND;
}

static void null_put(struct kv *kv, enum kv_space space, struct slice key, struct slice value) {
    (void)kv, (void)space, (void)key, (void)value;
}

static void null_del(struct kv *kv, enum kv_space space, struct slice key) {
    (void)kv, (void)space, (void)key;
}

static enum err null_commit(struct kv *kv, bool durable) {
    (void)kv, (void)durable;
    return ERR_OK;
}

static enum err null_sync(struct kv *kv) {
    (void)kv;
    return ERR_OK;
}

static const struct kv_ops null_ops = {
    .get = null_get,
    .seek = null_seek,
    .put = null_put,
    .del = null_del,
    .del_range = null_put,
    .commit = null_commit,
    .sync = null_sync,
};

#define OPS     64
#define WARM_UP 600 /* each slot of the window has then seen its largest answers */
#define PERIOD  (3 * MESSAGE_WINDOW)

static void run_message(struct applier *applier, uint64_t number) {
    struct op ops[OPS];
    struct answer answers[OPS];
    char ids[OPS][16];
    struct message message = {{1, 2}, number, 1000, ops, OPS};

    for (size_t i = 0; i < OPS; i++) {
        snprintf(ids[i], sizeof(ids[i]), "r%06u", (unsigned)(number % PERIOD * 31 + i) % 1000);
        ops[i] = (struct op){i % 9 ? OP_ADD : OP_GET, 1, slice_str(ids[i]), SLICE("like"),
                             slice_str(i % 5 ? NULL : "a-key")};
    }
    assert_int_equal(applier_apply(applier, &message, now, answers), ERR_OK);
    assert_int_equal(applier_tidy(applier, now), ERR_OK);
    if (number % 3 == 0)
        assert_int_equal(applier_commit(applier, true), ERR_OK);
}

static const struct applier_conf conf = {.lanes = 8,
                                         .key_ttl_ms = 1000000,
                                         .outbox_max_bytes = UINT64_MAX,
                                         .outbox_max_age_ms = INT64_MAX,
                                         .cache_counters = 500,
                                         .coalesce = true};

static void test_allocates_nothing(void **state) {
    (void)state;
    struct kv kv = {&null_ops};
    struct applier *applier;
    const char *detail;

    assert_int_equal(applier_open(&kv, &conf, now, &applier, &detail), ERR_OK);
    for (uint64_t number = 1; number <= WARM_UP; number++)
        run_message(applier, number);
    assert_true(allocations > 0); /* the wrapping works */
    allocations = 0;
    for (uint64_t number = WARM_UP + 1; number <= WARM_UP + 3000; number++)
        run_message(applier, number);
    /* 192,000 operations; a buffer may still reach a new largest size, which ends by itself. */
    assert_in_range(allocations, 0, 4);
    applier_close(applier);
}

/* Fails the k-th allocation of an open and of a first message, for every k. The message leaves
 * nothing behind: the same again is applied once. */
static void test_every_allocation_may_fail(void **state) {
    (void)state;
    struct kv kv = {&null_ops};
    struct op ops[] = {{OP_ADD, 5, SLICE("a"), SLICE("like"), {NULL, 0}},
                       {OP_ADD, 5, SLICE("b"), SLICE("like"), SLICE("a-key")}};
    struct message message = {{1, 2}, 1, 1000, ops, 2};
    size_t failed_opens = 0;
    size_t failed_applies = 0;
    struct applier *applier;
    struct answer answers[2];
    const char *detail;
    enum err err;

    do {
        fail_at = failed_opens;
        err = applier_open(&kv, &conf, now, &applier, &detail);
        fail_at = SIZE_MAX;
        assert_true(err == ERR_OK || err == ERR_NO_MEMORY);
    } while (err != ERR_OK && ++failed_opens < 100);
    assert_in_range(failed_opens, 5, 99);
    for (; err == ERR_OK; failed_applies++) {
        fail_at = failed_applies;
        enum err first = applier_apply(applier, &message, now, answers);
        fail_at = SIZE_MAX;
        if (first == ERR_OK)
            break;
        assert_int_equal(first, ERR_NO_MEMORY);
        assert_int_equal(applier_apply(applier, &message, now, answers), ERR_OK);
        assert_int_equal(answers[0].value, 5);
        assert_int_equal(answers[1].value, 5);
        assert_int_equal(answers[1].replayed, 0);
        applier_close(applier);
        err = applier_open(&kv, &conf, now, &applier, &detail);
    }
    assert_in_range(failed_applies, 5, 99);
    applier_close(applier);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocates_nothing),
        cmocka_unit_test(test_every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
