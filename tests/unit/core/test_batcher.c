/* test_batcher.c - gathering: order, limits, deadlines, callbacks, memory. */
#include <string.h>

#include "batcher_fixture.h"

static void test_answers_in_order(void **state) {
    (void)state;
    struct fake fake;
    struct request requests[3];
    struct batcher *b = start(&fake, &usual);

    assert_true(batcher_idle(b));
    add_many(b, requests, 3);
    assert_false(batcher_idle(b));
    assert_int_equal(fake.sends, 0); /* add doesn't send */
    batcher_flush(b, 100, 5000);
    assert_int_equal(fake.sends, 1);
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
    drain(b, &fake, 1);
    stop(b);
}

/* What flush sends, for how many operations, with ops_max 4 and 2 messages in flight. */
/* clang-format off */
static const struct {
    size_t ops;
    size_t messages;
    size_t counts[2];
    size_t queued;
} splits[] = {
    {1,  1, {1, 0}, 0},
    {4,  1, {4, 0}, 0},
    {5,  2, {4, 1}, 0},
    {8,  2, {4, 4}, 0},
    {9,  2, {4, 4}, 1},
    {10, 2, {4, 4}, 2},
};
/* clang-format on */

static void test_splits(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        struct fake fake;
        struct request requests[10];
        struct batcher *b = start(&fake, &usual);

        add_many(b, requests, splits[i].ops);
        batcher_flush(b, 0, 0);
        batcher_flush(b, 0, 0); /* nothing more while they are in flight */
        assert_int_equal(fake.count, splits[i].messages);
        for (size_t k = 0; k < fake.count; k++) {
            assert_int_equal(fake.held[k]->message->count, splits[i].counts[k]);
            assert_int_equal(fake.held[k]->message->number, k + 1);
        }
        assert_int_equal(stats_of(b).queued, splits[i].queued);
        assert_int_equal(stats_of(b).in_flight, splits[i].messages);
        drain(b, &fake, 1);
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
    add(b, &late);
    drain(b, &fake, 1);
    expect(&late, ERR_OK);
    assert_int_equal(stats_of(b).operations_total, 11);
    assert_int_equal(stats_of(b).messages_total, 3); /* 4, 4 and 2 + 1 */
    stop(b);
}

/* A message's bytes are capped: what doesn't fit begins the next one. */
static void test_bytes_split(void **state) {
    (void)state;
    static char big[2u << 20];
    static char huge[4u << 20];
    struct fake fake;
    struct request requests[3];
    struct batcher *b = start(&fake, &usual);
    struct op op = {.kind = OP_ADD, .arg = 1, .counter_type = SLICE("t")};

    for (size_t i = 0; i < 2; i++) {
        requests[i] = request_of(1, NO_DEADLINE);
        op.resource_id = slice_of(big, sizeof(big));
        assert_int_equal(batcher_add(b, &op, &requests[i].waiter), ERR_OK);
    }
    requests[2] = request_of(1, NO_DEADLINE);
    op.resource_id = slice_of(huge, sizeof(huge));
    assert_int_equal(batcher_add(b, &op, &requests[2].waiter), ERR_NO_MEMORY);
    batcher_flush(b, 0, 0);
    assert_int_equal(fake.count, 2);
    drain(b, &fake, 1);
    expect(&requests[0], ERR_OK);
    expect(&requests[1], ERR_OK);
    assert_int_equal(requests[2].calls, 0);
    stop(b);
}

/* n + MESSAGE_WINDOW waits for n, however few are in flight. */
static void test_window_span(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request first = request_of(1, NO_DEADLINE);
    struct request last = request_of(2, NO_DEADLINE);

    add(b, &first);
    batcher_flush(b, 0, 0); /* number 1 stays unanswered */
    for (uint64_t number = 2; number <= MESSAGE_WINDOW; number++) {
        struct request request = request_of(3, NO_DEADLINE);

        add(b, &request);
        batcher_flush(b, 0, 0);
        assert_int_equal(fake.last_number, number);
        deliver(b, &fake, 1, ERR_OK, 0);
        expect(&request, ERR_OK);
    }
    add(b, &last);
    batcher_flush(b, 0, 0);
    assert_int_equal(fake.last_number, MESSAGE_WINDOW);
    deliver(b, &fake, 0, ERR_OK, 0);
    batcher_flush(b, 0, 0);
    assert_int_equal(fake.last_number, MESSAGE_WINDOW + 1);
    drain(b, &fake, 0);
    expect(&last, ERR_OK);
    stop(b);
}

/* ---- deadlines ---- */

/* Deadlines of the operations added, in order; what is polled or flushed at 'now_ms'
 * must expire exactly those at or before it and send the others. */
/* clang-format off */
static const struct {
    const char *name;
    int64_t deadlines_ms[6];
    int64_t now_ms;
    size_t expired;
} deadlines[] = {
    {"none",          {500, 600, 700, 800, 900, 1000}, 499,  0},
    {"the first",     {500, 600, 700, 800, 900, 1000}, 500,  1},
    {"half",          {500, 600, 700, 800, 900, 1000}, 750,  3},
    {"all",           {500, 600, 700, 800, 900, 1000}, 1000, 6},
    {"not monotonic", {900, 100, 800, 200, 300, 1000}, 250,  2},
    {"the last",      {900, 950, 960, 970, 980, 100},  100,  1},
    {"a whole first", {10, 20, 30, 40, 900, 1000},     40,   4},
    {"the same",      {50, 50, 50, 50, 50, 50},        50,   6},
};
/* clang-format on */

static void check_deadlines(size_t row, bool sent_before, bool by_flush) {
    struct fake fake;
    struct request requests[6];
    struct batcher *b = start(&fake, &usual);
    int64_t now_ms = deadlines[row].now_ms;
    int64_t next_ms = INT64_MAX;
    size_t operations = 0;

    for (size_t i = 0; i < 6; i++) {
        requests[i] = request_of((int64_t)i + 1, deadlines[row].deadlines_ms[i]);
        add(b, &requests[i]);
        if (requests[i].waiter.deadline_ms < next_ms)
            next_ms = requests[i].waiter.deadline_ms;
    }
    assert_int_equal(batcher_poll(b, 0), next_ms);
    if (sent_before)
        batcher_flush(b, 0, 0);
    if (by_flush)
        batcher_flush(b, now_ms, 0);
    else
        batcher_poll(b, now_ms);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(requests[i].calls, requests[i].waiter.deadline_ms <= now_ms);
    assert_int_equal(stats_of(b).expired_total, deadlines[row].expired);
    batcher_flush(b, now_ms, 0);
    for (size_t i = 0; i < fake.count; i++)
        operations += fake.held[i]->message->count;
    assert_int_equal(operations, sent_before ? 6 : 6 - deadlines[row].expired);
    drain(b, &fake, now_ms);
    for (size_t i = 0; i < 6; i++)
        expect(&requests[i], requests[i].waiter.deadline_ms > now_ms ? ERR_OK
                             : sent_before                           ? ERR_DEADLINE
                                                                     : ERR_EXPIRED);
    stop(b);
}

static void test_deadlines(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(deadlines); row++)
        for (unsigned how = 0; how < 4; how++)
            check_deadlines(row, how & 1, how & 2);
}

/* Each attempt knows how long somebody waits for it. */
static void test_a_message_takes_its_latest_deadline(void **state) {
    (void)state;
    static const int64_t deadlines_ms[] = {500, 900, 700};
    struct fake fake;
    struct request requests[ARRAY_LEN(deadlines_ms)];
    struct request next = request_of(9, 300);
    struct batcher *b = start(&fake, &usual);

    for (size_t i = 0; i < ARRAY_LEN(deadlines_ms); i++) {
        requests[i] = request_of((int64_t)i + 1, deadlines_ms[i]);
        add(b, &requests[i]);
    }
    batcher_flush(b, 0, 0);
    assert_int_equal(fake.held[0]->deadline_ms, 900);
    drain(b, &fake, 1);
    add(b, &next); /* in recycled memory */
    batcher_flush(b, 2, 0);
    assert_int_equal(fake.held[0]->deadline_ms, 300);
    drain(b, &fake, 3);
    stop(b);
}

/* A message that no attempt delivered may still lose its expired operations. */
static void test_deadline_in_backoff(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request requests[2] = {request_of(1, 100), request_of(2, NO_DEADLINE)};

    fake.refuse = ERR_UNAVAILABLE;
    add(b, &requests[0]);
    add(b, &requests[1]);
    batcher_flush(b, 99, 0);
    fake.refuse = ERR_OK;
    batcher_poll(b, 1000);
    expect(&requests[0], ERR_EXPIRED);
    assert_int_equal(fake.held[0]->message->count, 1);
    assert_int_equal(fake.held[0]->message->ops[0].arg, 2);
    deliver(b, &fake, 0, ERR_OK, 1001);
    expect(&requests[1], ERR_OK);
    stop(b);
}

/* Nobody waits any more: what is on its way comes back, but isn't sent again. */
static void test_no_retry_for_nobody(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request request = request_of(1, 100);

    add(b, &request);
    batcher_flush(b, 0, 0);
    batcher_poll(b, 100);
    expect(&request, ERR_DEADLINE);
    assert_int_equal(stats_of(b).in_flight, 1);
    deliver(b, &fake, 0, ERR_UNAVAILABLE, 101);
    assert_int_equal(fake.sends, 1);
    stop(b);
}

/* ---- callbacks and memory ---- */

static void test_callback_adds(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request second = request_of(2, 5000);
    struct request third = request_of(3, NO_DEADLINE);
    struct request first = request_of(1, 100);

    first.add_again = second.add_again = b;
    first.again = &second;
    second.again = &third;
    add(b, &first);
    batcher_poll(b, 100); /* its deadline, while the queue is being walked */
    expect(&first, ERR_EXPIRED);
    assert_int_equal(second.calls, 0);
    batcher_flush(b, 101, 0);
    deliver(b, &fake, 0, ERR_OK, 102);
    expect(&second, ERR_OK);
    drain(b, &fake, 103);
    expect(&third, ERR_OK);
    stop(b);
}

/* Each attempt is a span below the first sampled request, and all sampled ones learn of it. */
static void test_an_attempt_is_a_span(void **state) {
    static const uint8_t none[SPAN_ID_BYTES];
    struct batcher_conf conf = usual;
    struct fake fake;
    struct trace_context traces[3] = {
        {.trace_id = {1}, .span_id = {11}, .state = SLICE("")},
        {.trace_id = {2}, .span_id = {22}, .flags = TRACE_SAMPLED, .state = SLICE("")},
        {.trace_id = {3}, .span_id = {33}, .flags = TRACE_SAMPLED, .state = SLICE("")}};
    struct request requests[3];
    uint8_t first[SPAN_ID_BYTES];

    (void)state;
    conf.spans = true;
    struct batcher *b = start(&fake, &conf);
    for (int i = 0; i < 3; i++) {
        requests[i] = request_of(i + 1, NO_DEADLINE);
        requests[i].waiter.trace = &traces[i];
        add(b, &requests[i]);
    }
    batcher_flush(b, 0, 0);
    const struct trace_context *span = fake.held[0]->trace;
    assert_int_equal(span->trace_id[0], 2); /* sampled before not sampled */
    assert_memory_equal(span->parent_id, traces[1].span_id, SPAN_ID_BYTES);
    memcpy(first, span->span_id, sizeof(first));
    assert_memory_not_equal(first, none, SPAN_ID_BYTES);
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(traces[i].batch.trace_id, span->trace_id, TRACE_ID_BYTES);
        assert_memory_equal(traces[i].batch.span_id, first, SPAN_ID_BYTES);
    }
    deliver(b, &fake, 0, ERR_UNAVAILABLE, 0);
    batcher_poll(b, 25);
    span = fake.held[fake.count - 1]->trace;
    assert_memory_not_equal(span->span_id, first, SPAN_ID_BYTES);
    assert_memory_equal(traces[2].batch.span_id, span->span_id, SPAN_ID_BYTES);
    drain(b, &fake, 25);
    stop(b);
}

/* Requests and messages are many to one: the first traced one's, and its own copy of it, since the
 * request may be gone when the message is sent again. */
static void test_a_message_takes_the_first_trace(void **state) {
    char text[] = "a=1";
    struct trace_context traces[2] = {{.trace_id = {1}, .state = {text, 3}}, {.trace_id = {2}}};
    struct request requests[4];
    struct fake fake;
    struct batcher *b = start(&fake, &usual);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++)
        requests[i] = request_of(1, NO_DEADLINE);
    requests[1].waiter.trace = &traces[0];
    requests[2].waiter.trace = &traces[1];
    for (size_t i = 0; i < 3; i++)
        add(b, &requests[i]);
    memset(traces, 0, sizeof(traces));
    memset(text, 0, sizeof(text));
    batcher_flush(b, 0, 0);
    add(b, &requests[3]);
    batcher_flush(b, 0, 0);
    assert_int_equal(fake.count, 2);
    assert_int_equal(fake.held[0]->trace->trace_id[0], 1);
    assert_true(slice_eq(fake.held[0]->trace->state, SLICE("a=1")));
    assert_null(fake.held[1]->trace);
    deliver(b, &fake, 0, ERR_UNAVAILABLE, 0);
    batcher_poll(b, 10000);
    assert_int_equal(fake.held[fake.count - 1]->trace->trace_id[0], 1); /* the retry */
    drain(b, &fake, 10000);
    stop(b);
}

static void test_free_cancels(void **state) {
    (void)state;
    struct fake fake;
    struct request requests[6];
    struct request again = request_of(1, NO_DEADLINE);
    struct batcher *b = start(&fake, &usual);

    add_many(b, requests, 6);
    requests[5].add_again = b;
    requests[5].again = &again;
    batcher_free(b);
    for (size_t i = 0; i < 6; i++)
        expect(&requests[i], ERR_CANCELLED);
    assert_int_equal(requests[5].again_err, ERR_BUSY);
    assert_int_equal(fake.sends, 0);
    batcher_free(NULL);
}

/* One busy round: a full queue, a refused send, a lost attempt, everything answered. */
static void busy_round(struct batcher *b, struct fake *fake, int64_t now_ms) {
    struct request requests[10];

    add_many(b, requests, 10);
    fake->refuse = ERR_UNAVAILABLE;
    batcher_flush(b, now_ms, now_ms);
    fake->refuse = ERR_OK;
    batcher_poll(b, now_ms + 100);
    batcher_poll(b, now_ms + 700);
    batcher_poll(b, now_ms + 1400);
    drain(b, fake, now_ms + 1400);
    for (size_t i = 0; i < 10; i++)
        expect(&requests[i], ERR_OK);
}

static void test_steady_state_does_not_allocate(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    int64_t now_ms = 0;

    for (int i = 0; i < 50; i++)
        busy_round(b, &fake, now_ms += 2000);
    unsigned long before = allocations;

    for (int i = 0; i < 500; i++)
        busy_round(b, &fake, now_ms += 2000);
    assert_int_equal(allocations, before);
    assert_true(before > 0);
    stop(b);
}

/* Fails every allocation from the k-th on, for all k: the operation is refused, or
 * sent later, and nothing is lost or answered twice. */
static void test_memory_runs_out(void **state) {
    (void)state;
    for (long k = 0; k < 12; k++) {
        struct fake fake = {0};
        struct request requests[6];
        bool added[6];
        struct batcher *b;

        fail_after = k;
        b = batcher_new(&usual, &fake.upstream);
        fail_after = -1;
        if (!b)
            continue;
        batcher_free(b);
        b = start(&fake, &usual);
        fail_after = k;
        for (size_t i = 0; i < 6; i++) {
            requests[i] = request_of((int64_t)i + 1, NO_DEADLINE);
            added[i] = try_add(b, &requests[i]) == ERR_OK;
        }
        batcher_flush(b, 0, 0);
        fail_after = -1;
        batcher_poll(b, 100);
        drain(b, &fake, 100);
        for (size_t i = 0; i < 6; i++)
            if (added[i])
                expect(&requests[i], ERR_OK);
            else
                assert_int_equal(requests[i].calls, 0);
        stop(b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_in_order),
        cmocka_unit_test(test_copies_slices),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_full_queue_refuses),
        cmocka_unit_test(test_bytes_split),
        cmocka_unit_test(test_window_span),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_a_message_takes_its_latest_deadline),
        cmocka_unit_test(test_deadline_in_backoff),
        cmocka_unit_test(test_no_retry_for_nobody),
        cmocka_unit_test(test_callback_adds),
        cmocka_unit_test(test_a_message_takes_the_first_trace),
        cmocka_unit_test(test_an_attempt_is_a_span),
        cmocka_unit_test(test_free_cancels),
        cmocka_unit_test(test_steady_state_does_not_allocate),
        cmocka_unit_test(test_memory_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
