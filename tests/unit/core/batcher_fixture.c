/* batcher_fixture.c - see the header. Linked with --wrap for the allocators. */
#include "batcher_fixture.h"

#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *ptr, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *ptr, size_t bytes);

unsigned long allocations;
long fail_after = -1;

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

const struct batcher_conf usual = {
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

static enum err fake_send(struct upstream *upstream, struct delivery *delivery) {
    struct fake *fake = CONTAINER_OF(upstream, struct fake, upstream);

    fake->sends++;
    fake->last_number = delivery->message->number;
    fake->last_issued_ms = delivery->message->issued_ms;
    if (fake->refuse != ERR_OK)
        return fake->refuse;
    assert_true(fake->count < HELD_MAX);
    fake->held[fake->count++] = delivery;
    return ERR_OK;
}

static int64_t fake_wait(struct upstream *upstream) {
    return CONTAINER_OF(upstream, struct fake, upstream)->wait_until_ms;
}

struct batcher *start(struct fake *fake, const struct batcher_conf *conf) {
    *fake = (struct fake){.upstream = {.send = fake_send, .wait_until_ms = fake_wait},
                          .wait_until_ms = INT64_MIN};
    struct batcher *b = batcher_new(conf, &fake->upstream);

    assert_non_null(b);
    return b;
}

void stop(struct batcher *b) {
    assert_true(batcher_idle(b));
    assert_int_equal(batcher_poll(b, 0), INT64_MAX);
    batcher_free(b);
}

struct batcher_stats stats_of(const struct batcher *b) {
    struct batcher_stats stats;

    batcher_stats(b, &stats);
    return stats;
}

static void on_done(struct waiter *waiter, const struct answer *answer) {
    struct request *request = CONTAINER_OF(waiter, struct request, waiter);

    request->calls++;
    request->answer = *answer;
    if (request->add_again)
        request->again_err = try_add(request->add_again, request->again);
}

struct request request_of(int64_t delta, int64_t deadline_ms) {
    return (struct request){.waiter = {.done = on_done, .deadline_ms = deadline_ms},
                            .delta = delta};
}

enum err try_add(struct batcher *b, struct request *request) {
    struct op op = {.kind = OP_ADD,
                    .arg = request->delta,
                    .resource_id = SLICE("r"),
                    .counter_type = SLICE("t")};

    return batcher_add(b, &op, &request->waiter);
}

void add(struct batcher *b, struct request *request) {
    assert_int_equal(try_add(b, request), ERR_OK);
    assert_int_equal(request->calls, 0); /* never inside batcher_add() */
}

void add_many(struct batcher *b, struct request *requests, size_t n) {
    for (size_t i = 0; i < n; i++) {
        requests[i] = request_of((int64_t)i + 1, NO_DEADLINE);
        add(b, &requests[i]);
    }
}

void deliver(struct batcher *b, struct fake *fake, size_t i, enum err err, int64_t now_ms) {
    assert_true(i < fake->count);
    struct delivery *delivery = fake->held[i];

    delivery->err = err;
    for (size_t k = 0; err == ERR_OK && k < delivery->message->count; k++)
        delivery->answers[k] = (struct answer){.value = delivery->message->ops[k].arg * 1000};
    if (err == ERR_OK && fake->first_err != ERR_OK)
        delivery->answers[0] = (struct answer){.err = fake->first_err};
    fake->count--;
    memmove(&fake->held[i], &fake->held[i + 1], (fake->count - i) * sizeof(fake->held[0]));
    batcher_delivered(b, delivery, now_ms);
}

void drain(struct batcher *b, struct fake *fake, int64_t now_ms) {
    batcher_flush(b, now_ms, now_ms);
    while (fake->count) {
        deliver(b, fake, 0, ERR_OK, now_ms);
        batcher_flush(b, now_ms, now_ms);
    }
}

void expect(const struct request *request, enum err err) {
    assert_int_equal(request->calls, 1);
    if (request->answer.err != err)
        fail_msg("delta %" PRId64 ": \"%s\" instead of \"%s\"", request->delta,
                 err_name(request->answer.err), err_name(err));
    if (err == ERR_OK)
        assert_int_equal(request->answer.value, request->delta * 1000);
}
