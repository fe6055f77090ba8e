/* test_batcher.c - the batcher against a scripted upstream, in virtual time. */
#include "core/batcher.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

/* ---- counting and failing allocations (linked with --wrap) ---- */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *ptr, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *ptr, size_t bytes);

static unsigned long allocations;
static long fail_after = -1; /* this many more succeed; -1: all */

static bool allowed(void) {
    allocations++;
    if (fail_after == 0)
        return false;
    if (fail_after > 0)
        fail_after--;
    return true;
}

void *__wrap_malloc(size_t bytes) {
    return allowed() ? __real_malloc(bytes) : NULL;
}

void *__wrap_calloc(size_t n, size_t bytes) {
    return allowed() ? __real_calloc(n, bytes) : NULL;
}

void *__wrap_realloc(void *ptr, size_t bytes) {
    return allowed() ? __real_realloc(ptr, bytes) : NULL;
}

/* ---- a scripted upstream: holds what it took until the test answers ---- */

#define HELD_MAX 256

struct fake {
    struct upstream upstream;
    enum err refuse; /* what send() returns; ERR_OK: takes it */
    struct delivery *held[HELD_MAX];
    size_t count;
    unsigned sends; /* calls of send(), refused ones included */
    uint64_t numbers[HELD_MAX];
    int64_t issued[HELD_MAX];
};

static enum err fake_send(struct upstream *upstream, struct delivery *delivery) {
    struct fake *fake = CONTAINER_OF(upstream, struct fake, upstream);

    assert_true(fake->sends < HELD_MAX);
    fake->numbers[fake->sends] = delivery->message->number;
    fake->issued[fake->sends++] = delivery->message->issued_ms;
    if (fake->refuse != ERR_OK)
        return fake->refuse;
    fake->held[fake->count++] = delivery;
    return ERR_OK;
}

/* ---- one request ---- */

struct request {
    struct waiter waiter;
    int64_t delta;
    int calls;
    struct answer answer;
    struct batcher *add_again; /* the callback adds 'again' here */
    struct request *again;
};

static struct op op_add(int64_t delta) {
    return (struct op){
        .kind = OP_ADD, .arg = delta, .resource_id = SLICE("r"), .counter_type = SLICE("t")};
}

static enum err try_add(struct batcher *b, struct request *request) {
    struct op op = op_add(request->delta);

    return batcher_add(b, &op, &request->waiter);
}

static void on_done(struct waiter *waiter, const struct answer *answer) {
    struct request *request = CONTAINER_OF(waiter, struct request, waiter);

    request->calls++;
    request->answer = *answer;
    if (request->add_again)
        assert_int_equal(try_add(request->add_again, request->again), ERR_OK);
}

#define NO_DEADLINE 1000000

static struct request request_of(int64_t delta, int64_t deadline_ms) {
    return (struct request){.waiter = {.done = on_done, .deadline_ms = deadline_ms},
                            .delta = delta};
}

static void add(struct batcher *b, struct request *request) {
    assert_int_equal(try_add(b, request), ERR_OK);
    assert_int_equal(request->calls, 0);
}

static void add_many(struct batcher *b, struct request *requests, size_t n) {
    for (size_t i = 0; i < n; i++) {
        requests[i] = request_of((int64_t)i + 1, NO_DEADLINE);
        add(b, &requests[i]);
    }
}

/* Answers the held delivery 'i'; with ERR_OK each value is 1000 times its delta. */
static void deliver(struct batcher *b, struct fake *fake, size_t i, enum err err, int64_t now_ms) {
    struct delivery *delivery = fake->held[i];

    delivery->err = err;
    for (size_t k = 0; err == ERR_OK && k < delivery->message->count; k++)
        delivery->answers[k] = (struct answer){.value = delivery->message->ops[k].arg * 1000};
    fake->count--;
    memmove(&fake->held[i], &fake->held[i + 1], (fake->count - i) * sizeof(fake->held[0]));
    batcher_delivered(b, delivery, now_ms);
}

static void expect(const struct request *request, enum err err) {
    assert_int_equal(request->calls, 1);
    if (request->answer.err != err)
        fail_msg("delta %" PRId64 ": \"%s\" instead of \"%s\"", request->delta,
                 err_name(request->answer.err), err_name(err));
    if (err == ERR_OK)
        assert_int_equal(request->answer.value, request->delta * 1000);
}

static const struct batcher_conf usual = {
    .ops_max = 4,
    .queue_max = 10,
    .in_flight_max = 2,
    .attempts_max = 3,
    .attempt_ms = 500,
    .backoff_min_ms = 25,
    .backoff_max_ms = 1000,
    .producer = {7, 9},
    .seed = 1,
};

static struct batcher *start(struct fake *fake, const struct batcher_conf *conf) {
    *fake = (struct fake){.upstream = {fake_send}};
    struct batcher *b = batcher_new(conf, &fake->upstream);

    assert_non_null(b);
    return b;
}

static void stop(struct batcher *b) {
    assert_true(batcher_idle(b));
    assert_int_equal(batcher_poll(b, 0), INT64_MAX); /* idle: no timer */
    batcher_free(b);
}

static struct batcher_stats stats_of(const struct batcher *b) {
    struct batcher_stats stats;

    batcher_stats(b, &stats);
    return stats;
}

/* ---- gathering ---- */

static void test_answers_in_order(void **state) {
    (void)state;
    struct fake fake;
    struct request requests[3];
    struct batcher *b = start(&fake, &usual);

    assert_true(batcher_idle(b));
    add_many(b, requests, 3);
    assert_false(batcher_idle(b));
    assert_int_equal(fake.count, 0); /* add doesn't send */
    batcher_flush(b, 100, 5000);
    assert_int_equal(fake.count, 1);
    const struct message *message = fake.held[0]->message;

    assert_int_equal(message->count, 3);
    assert_int_equal(message->number, 1);
    assert_int_equal(message->issued_ms, 5000);
    assert_int_equal(message->producer.hi, 7);
    assert_int_equal(message->producer.lo, 9);
    assert_int_equal(fake.held[0]->attempt, 1);
    deliver(b, &fake, 0, ERR_OK, 101);
    for (size_t i = 0; i < 3; i++)
        expect(&requests[i], ERR_OK);
    stop(b);
}

static void test_copies_slices(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request requests[2] = {request_of(1, NO_DEADLINE), request_of(2, NO_DEADLINE)};
    char bytes[] = "idtypekey";
    struct op op = {.kind = OP_SET,
                    .arg = 1,
                    .resource_id = slice_of(bytes, 2),
                    .counter_type = slice_of(bytes + 2, 4),
                    .key = slice_of(bytes + 6, 3)};

    assert_int_equal(batcher_add(b, &op, &requests[0].waiter), ERR_OK);
    op.key = (struct slice){NULL, 0};
    assert_int_equal(batcher_add(b, &op, &requests[1].waiter), ERR_OK);
    memset(bytes, 'x', sizeof(bytes));
    batcher_flush(b, 0, 0);
    const struct op *ops = fake.held[0]->message->ops;

    assert_int_equal(ops[0].kind, OP_SET);
    assert_true(slice_eq(ops[0].resource_id, SLICE("id")));
    assert_true(slice_eq(ops[0].counter_type, SLICE("type")));
    assert_true(slice_eq(ops[0].key, SLICE("key")));
    assert_null(ops[1].key.ptr); /* absent isn't the empty key */
    deliver(b, &fake, 0, ERR_UNKNOWN, 1);
    batcher_poll(b, 1000);
    deliver(b, &fake, 0, ERR_OK, 1001);
    stop(b);
}

/* What flush sends, for how many operations, with ops_max 4 and 2 messages in flight. */
static const struct {
    size_t ops;
    size_t messages;
    size_t counts[2];
    size_t queued;
} splits[] = {
    {1, 1, {1, 0}, 0}, {4, 1, {4, 0}, 0}, {5, 2, {4, 1}, 0},
    {8, 2, {4, 4}, 0}, {9, 2, {4, 4}, 1}, {10, 2, {4, 4}, 2},
};

static void test_splits(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        struct fake fake;
        struct request requests[10];
        struct batcher *b = start(&fake, &usual);

        add_many(b, requests, splits[i].ops);
        batcher_flush(b, 0, 0);
        assert_int_equal(fake.count, splits[i].messages);
        for (size_t k = 0; k < fake.count; k++) {
            assert_int_equal(fake.held[k]->message->count, splits[i].counts[k]);
            assert_int_equal(fake.held[k]->message->number, k + 1);
        }
        assert_int_equal(stats_of(b).queued, splits[i].queued);
        assert_int_equal(stats_of(b).in_flight, splits[i].messages);
        while (fake.count) {
            deliver(b, &fake, 0, ERR_OK, 1);
            batcher_flush(b, 1, 1);
        }
        for (size_t k = 0; k < splits[i].ops; k++)
            expect(&requests[k], ERR_OK);
        stop(b);
    }
}

static void test_full_queue_refuses(void **state) {
    (void)state;
    struct fake fake;
    struct request requests[10];
    struct request late = request_of(99, NO_DEADLINE);
    struct batcher *b = start(&fake, &usual);

    add_many(b, requests, 10);
    late.waiter.next = &requests[0].waiter;
    assert_int_equal(try_add(b, &late), ERR_BUSY);
    assert_ptr_equal(late.waiter.next, &requests[0].waiter); /* untouched */
    assert_int_equal(stats_of(b).refused_total, 1);
    batcher_flush(b, 0, 0); /* two messages of 4 leave */
    late.waiter.next = NULL;
    add(b, &late);
    while (fake.count) {
        deliver(b, &fake, 0, ERR_OK, 1);
        batcher_flush(b, 1, 1);
    }
    expect(&late, ERR_OK);
    assert_int_equal(stats_of(b).operations_total, 11);
    assert_int_equal(stats_of(b).messages_total, 3); /* 4, 4 and 2 + 1 */
    stop(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_in_order),
        cmocka_unit_test(test_copies_slices),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_full_queue_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
