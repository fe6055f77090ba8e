/* test_batcher_retry.c - refused, failed and lost attempts: the same number, the
 * backoff's bounds, and what the waiters are told in the end. */
#include <string.h>

#include "batcher_fixture.h"

#define PUSHED_MS 1234 /* no backoff is so long */

/* What becomes of each attempt, and the answer in the end. */
enum fate {
    NONE,
    REFUSED,     /* send() fails, may be tried again */
    UNREACHED,   /* send() finds nobody to send to */
    IMPOSSIBLE,  /* send() fails for good */
    FAILED,      /* comes back with a retryable error */
    UNTOUCHED,   /* the same, and has surely changed nothing */
    PUSHED,      /* comes back untouched, to be sent again after PUSHED_MS exactly */
    NEVER,       /* likewise, never to be sent again */
    FINAL,       /* comes back with another error */
    LOST,        /* no answer within attempt_ms */
    LOST_FAILED, /* the same, and then it fails after all */
    GOOD
};

/* clang-format off */
static const struct {
    const char *name;
    enum fate fates[3];
    unsigned sends;
    enum err want;
} rows[] = {
    {"at once",                         {GOOD},                          1, ERR_OK},
    {"after a refusal",                 {REFUSED, GOOD},                 2, ERR_OK},
    {"after a failure",                 {FAILED, GOOD},                  2, ERR_OK},
    {"after a loss",                    {LOST, GOOD},                    2, ERR_OK},
    {"a lost one failing is no news",   {LOST_FAILED, LOST_FAILED, GOOD},3, ERR_OK},
    {"at the last try",                 {REFUSED, LOST, GOOD},           3, ERR_OK},
    {"never sent: surely not applied",  {REFUSED, REFUSED, REFUSED},     3, ERR_UNAVAILABLE},
    {"failed: nobody knows",            {FAILED, FAILED, FAILED},        3, ERR_UNKNOWN},
    {"once sent: nobody knows",         {REFUSED, FAILED, REFUSED},      3, ERR_UNKNOWN},
    {"lost: nobody knows",              {REFUSED, REFUSED, LOST},        3, ERR_UNKNOWN},
    {"nobody to send to",               {UNREACHED, UNREACHED, UNREACHED}, 3, ERR_UNREACHABLE},
    {"nobody left to send to",          {UNTOUCHED, REFUSED, UNREACHED}, 3, ERR_UNREACHABLE},
    {"refused by the last there was",   {UNREACHED, UNREACHED, UNTOUCHED}, 3, ERR_UNAVAILABLE},
    {"unreachable, one may live",       {FAILED, UNREACHED, UNREACHED},  3, ERR_UNKNOWN},
    {"somebody came",                   {UNREACHED, GOOD},               2, ERR_OK},
    {"pushed back",                     {PUSHED, GOOD},                  2, ERR_OK},
    {"pushed back to the end",          {PUSHED, PUSHED, PUSHED},        3, ERR_UNAVAILABLE},
    {"not to be tried again",           {NEVER},                         1, ERR_UNAVAILABLE},
    {"nor after a failure",             {FAILED, NEVER},                 2, ERR_UNKNOWN},
    {"refused for good",                {IMPOSSIBLE},                    1, ERR_INVALID},
    {"a final error is passed on",      {FINAL},                         1, ERR_INVALID},
    {"final after a refusal",           {REFUSED, FINAL},                2, ERR_INVALID},
    {"final, but the first may live",   {LOST, FINAL},                   2, ERR_UNKNOWN},
    {"impossible, the first may live",  {FAILED, IMPOSSIBLE},            2, ERR_UNKNOWN},
};
/* clang-format on */

static enum err send_result(enum fate fate) {
    switch (fate) {
    case REFUSED:
        return ERR_UNAVAILABLE;
    case UNREACHED:
        return ERR_UNREACHABLE;
    case IMPOSSIBLE:
        return ERR_INVALID;
    default:
        return ERR_OK;
    }
}

/* What happens to the attempt that was just sent at '*now_ms'. */
static void happen(struct batcher *b, struct fake *fake, enum fate fate, int64_t *now_ms) {
    size_t last = fake->count - 1;

    if (fate == FAILED || fate == FINAL)
        deliver(b, fake, last, fate == FAILED ? ERR_IO : ERR_INVALID, *now_ms);
    if (fate == UNTOUCHED) {
        fake->held[last]->not_applied = true;
        deliver(b, fake, last, ERR_UNAVAILABLE, *now_ms);
    }
    if (fate == PUSHED || fate == NEVER) {
        fake->held[last]->not_applied = true;
        fake->held[last]->pushback = (struct pushback){true, fate == PUSHED ? PUSHED_MS : -1};
        deliver(b, fake, last, ERR_BUSY, *now_ms);
    }
    if (fate == GOOD)
        deliver(b, fake, last, ERR_OK, *now_ms);
    if (fate == LOST || fate == LOST_FAILED) {
        batcher_poll(b, *now_ms + usual.attempt_ms - 1); /* not yet */
        assert_int_equal(stats_of(b).in_flight, 1);
        batcher_poll(b, *now_ms += usual.attempt_ms);
    }
    if (fate == LOST_FAILED)
        deliver(b, fake, last, ERR_UNAVAILABLE, *now_ms);
}

static void wait_pushed(struct batcher *b, struct fake *fake, int64_t *now_ms) {
    unsigned sends = fake->sends;

    batcher_poll(b, *now_ms + PUSHED_MS - 1);
    assert_int_equal(fake->sends, sends);
    batcher_poll(b, *now_ms += PUSHED_MS);
}

static void check_fates(size_t row) {
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request requests[3];
    int64_t now_ms = 1000;

    add_many(b, requests, 3);
    for (size_t i = 0; i < 3 && rows[row].fates[i] != NONE; i++) {
        fake.refuse = send_result(rows[row].fates[i]);
        if (i == 0)
            batcher_flush(b, now_ms, 777);
        else if (rows[row].fates[i - 1] == PUSHED)
            wait_pushed(b, &fake, &now_ms);
        else
            batcher_poll(b, now_ms = batcher_poll(b, now_ms));
        assert_int_equal(fake.sends, i + 1);
        assert_int_equal(fake.last_number, 1); /* every attempt carries the same */
        assert_int_equal(fake.last_issued_ms, 777);
        happen(b, &fake, rows[row].fates[i], &now_ms);
    }
    for (size_t i = 0; i < 3; i++)
        expect(&requests[i], rows[row].want);
    assert_int_equal(fake.sends, rows[row].sends);
    assert_int_equal(stats_of(b).retries_total, rows[row].sends - 1);
    while (fake.count) /* lost ones come back after the end */
        deliver(b, &fake, 0, ERR_OK, now_ms);
    batcher_poll(b, now_ms + 100000);
    assert_int_equal(fake.sends, rows[row].sends);
    stop(b);
}

static void test_fates(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(rows); row++)
        check_fates(row);
}

/* Nobody would wait for it any more by then: told at once, not at their deadline. */
static void test_pushed_back_too_far(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request request = request_of(1, 1000 + PUSHED_MS);

    add(b, &request);
    batcher_flush(b, 1000, 777);
    happen(b, &fake, PUSHED, &(int64_t){1000});
    expect(&request, ERR_UNAVAILABLE);
    stop(b);
}

/* One server of a store refuses its part of the second attempt: the first may have been applied
 * there, unless it surely wasn't. What is final stays so. */
static void test_a_part_refused_behind_an_attempt(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool untouched; /* the first attempt */
        enum err part;
        enum err want;
    } parts[] = {
        {"the first may live", false, ERR_UNAVAILABLE, ERR_UNKNOWN},
        {"out of memory, the first may live", false, ERR_NO_MEMORY, ERR_UNKNOWN},
        {"the first surely not", true, ERR_UNAVAILABLE, ERR_UNAVAILABLE},
        {"final", false, ERR_RANGE, ERR_RANGE},
    };

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        struct fake fake;
        struct batcher *b = start(&fake, &usual);
        struct request requests[2];
        int64_t now_ms = 1000;

        add_many(b, requests, 2);
        batcher_flush(b, now_ms, 0);
        happen(b, &fake, parts[i].untouched ? UNTOUCHED : FAILED, &now_ms);
        batcher_poll(b, now_ms = batcher_poll(b, now_ms));
        fake.first_err = parts[i].part;
        deliver(b, &fake, 0, ERR_OK, now_ms);
        if (requests[0].answer.err != parts[i].want)
            fail_msg("%s: %s", parts[i].name, err_name(requests[0].answer.err));
        expect(&requests[1], ERR_OK);
        stop(b);
    }
}

/* The answer of a lost attempt, while backing off and while another is in flight. */
static void test_late_answer_counts(void **state) {
    (void)state;
    for (int retried = 0; retried < 2; retried++) {
        struct fake fake;
        struct batcher *b = start(&fake, &usual);
        struct request request = request_of(5, NO_DEADLINE);
        struct request other = request_of(6, NO_DEADLINE);
        int64_t now_ms = 500;

        add(b, &request);
        batcher_flush(b, 0, 0);
        int64_t next_ms = batcher_poll(b, now_ms);
        if (retried)
            batcher_poll(b, now_ms = next_ms);
        assert_int_equal(fake.count, 1 + retried);
        deliver(b, &fake, 0, ERR_OK, now_ms);
        expect(&request, ERR_OK);
        assert_int_equal(stats_of(b).in_flight, 0);
        batcher_poll(b, now_ms + 5000);
        assert_int_equal(fake.sends, 1 + retried);

        /* The message's memory isn't reused while the second attempt is out. */
        assert_int_equal(batcher_idle(b), !retried);
        add(b, &other);
        batcher_flush(b, now_ms + 5000, 0);
        if (retried) {
            assert_int_equal(fake.held[0]->message->ops[0].arg, 5);
            deliver(b, &fake, 0, ERR_OK, now_ms + 5000); /* a second answer is ignored */
        }
        drain(b, &fake, now_ms + 5001);
        expect(&request, ERR_OK);
        expect(&other, ERR_OK);
        stop(b);
    }
}

/* The failure of a lost attempt must not disturb the one that is in flight. */
static void test_late_failure_is_no_news(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request request = request_of(5, NO_DEADLINE);

    add(b, &request);
    batcher_flush(b, 0, 0);
    int64_t now_ms = batcher_poll(b, 500);

    batcher_poll(b, now_ms); /* the second attempt leaves */
    assert_int_equal(fake.count, 2);
    deliver(b, &fake, 0, ERR_UNAVAILABLE, now_ms);
    batcher_poll(b, now_ms + usual.attempt_ms - 1);
    assert_int_equal(fake.sends, 2);
    deliver(b, &fake, 0, ERR_OK, now_ms + usual.attempt_ms - 1);
    expect(&request, ERR_OK);
    stop(b);
}

static int64_t fake_lost(struct upstream *upstream, const struct delivery *delivery,
                         int64_t now_ms) {
    struct fake *fake = CONTAINER_OF(upstream, struct fake, upstream);

    (void)now_ms;
    assert_ptr_equal(delivery, fake->held[0]);
    assert_int_equal(delivery->attempt, 1);
    return fake->lost_ms;
}

/* The upstream may know earlier that a first attempt is lost, and is asked when it says so. */
static void test_lost_by_the_upstream(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request request = request_of(5, NO_DEADLINE);

    fake.upstream.lost_ms = fake_lost;
    fake.lost_ms = 200;
    add(b, &request);
    batcher_flush(b, 0, 0);
    assert_int_equal(batcher_poll(b, 0), 200);
    fake.lost_ms = 300; /* it has been heard of meanwhile */
    assert_int_equal(batcher_poll(b, 200), 300);
    assert_int_equal(fake.sends, 1);
    int64_t now_ms = batcher_poll(b, 300);

    assert_in_range(now_ms, 300, 325); /* the backoff */
    batcher_poll(b, now_ms);
    assert_int_equal(fake.sends, 2);
    assert_int_equal(fake.last_number, 1);
    /* The second has all its time. */
    assert_int_equal(batcher_poll(b, now_ms + usual.attempt_ms - 1), now_ms + usual.attempt_ms);
    assert_int_equal(fake.sends, 2);
    deliver(b, &fake, 0, ERR_OK, now_ms + 1); /* the first, after all */
    expect(&request, ERR_OK);
    drain(b, &fake, now_ms + 2);
    stop(b);
}

/* Never later than attempt_ms says. */
static void test_lost_in_any_case(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request request = request_of(5, NO_DEADLINE);

    fake.upstream.lost_ms = fake_lost;
    fake.lost_ms = INT64_MAX;
    add(b, &request);
    batcher_flush(b, 0, 0);
    assert_int_equal(batcher_poll(b, 0), usual.attempt_ms);
    int64_t now_ms = batcher_poll(b, usual.attempt_ms);

    batcher_poll(b, now_ms);
    assert_int_equal(fake.sends, 2);
    drain(b, &fake, now_ms);
    expect(&request, ERR_OK);
    stop(b);
}

/* attempt_ms 0: never lost, so nothing but the deadline wakes us. */
static void test_never_lost_in_process(void **state) {
    (void)state;
    struct batcher_conf conf = usual;
    struct fake fake;
    struct request request = request_of(1, NO_DEADLINE);

    conf.attempt_ms = 0;
    struct batcher *b = start(&fake, &conf);

    add(b, &request);
    batcher_flush(b, 0, 0);
    assert_int_equal(batcher_poll(b, 1000), NO_DEADLINE);
    assert_int_equal(batcher_poll(b, NO_DEADLINE - 1), NO_DEADLINE);
    assert_int_equal(fake.sends, 1);
    deliver(b, &fake, 0, ERR_OK, 100000);
    expect(&request, ERR_OK);
    stop(b);
}

/* Full jitter: between 0 and 25, 50, 100 ... 1000 ms, and all of that range is used. */
static const int64_t tops_ms[] = {25, 50, 100, 200, 400, 800, 1000, 1000};

/* Waits before each retry of a message that is always refused, millisecond by millisecond. */
static void measure_waits(uint64_t seed, int64_t out_waits_ms[ARRAY_LEN(tops_ms)]) {
    struct batcher_conf conf = usual;
    struct fake fake;
    struct request request = request_of(1, NO_DEADLINE);
    int64_t sent_ms = 0;
    unsigned sends = 1;

    conf.seed = seed;
    conf.attempts_max = ARRAY_LEN(tops_ms) + 1;
    struct batcher *b = start(&fake, &conf);

    fake.refuse = ERR_UNAVAILABLE;
    add(b, &request);
    batcher_flush(b, 0, 0);
    for (int64_t now_ms = 0; request.calls == 0;) {
        int64_t next_ms = batcher_poll(b, now_ms);

        if (fake.sends > sends) {
            assert_true(fake.sends - sends == 1 && sends <= ARRAY_LEN(tops_ms));
            out_waits_ms[sends++ - 1] = now_ms - sent_ms;
            sent_ms = now_ms;
        }
        if (next_ms > now_ms)
            now_ms++;
    }
    assert_int_equal(sends, conf.attempts_max);
    expect(&request, ERR_UNAVAILABLE);
    stop(b);
}

static void test_jitter(void **state) {
    (void)state;
    int64_t low[ARRAY_LEN(tops_ms)];
    int64_t high[ARRAY_LEN(tops_ms)] = {0};
    int64_t waits_ms[ARRAY_LEN(tops_ms)];
    int64_t again_ms[ARRAY_LEN(tops_ms)];

    memcpy(low, tops_ms, sizeof(low));
    for (uint64_t seed = 0; seed < 300; seed++) {
        measure_waits(seed, waits_ms);
        measure_waits(seed, again_ms);
        assert_memory_equal(waits_ms, again_ms, sizeof(waits_ms)); /* the seed's alone */
        for (size_t k = 0; k < ARRAY_LEN(tops_ms); k++) {
            assert_in_range(waits_ms[k], 0, tops_ms[k]);
            low[k] = waits_ms[k] < low[k] ? waits_ms[k] : low[k];
            high[k] = waits_ms[k] > high[k] ? waits_ms[k] : high[k];
        }
    }
    for (size_t k = 0; k < ARRAY_LEN(tops_ms); k++) {
        assert_true(low[k] < tops_ms[k] / 10);
        assert_true(high[k] > tops_ms[k] - tops_ms[k] / 10);
    }
}

/* 1, 2, 3 ... whatever is refused, lost or repeated. */
static void test_numbers_are_unique(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request requests[40];
    uint64_t highest = 0;

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        int64_t now_ms = (int64_t)i * 10000;

        requests[i] = request_of((int64_t)i + 1, NO_DEADLINE);
        add(b, &requests[i]);
        fake.refuse = i % 3 == 0 ? ERR_BUSY : ERR_OK;
        batcher_flush(b, now_ms, 0);
        fake.refuse = ERR_OK;
        assert_int_equal(fake.last_number, ++highest);
        if (i % 3 == 1)
            batcher_poll(b, now_ms + 500); /* lost */
        batcher_poll(b, now_ms + 5000);
        assert_int_equal(fake.last_number, highest);
        drain(b, &fake, now_ms + 5001);
        expect(&requests[i], ERR_OK);
    }
    stop(b);
}

/* ---- somebody is expected back ---- */

/* Neither what was sent before nor what comes meanwhile uses up attempts on nobody. */
static void test_waits_for_somebody_to_come_back(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request before = request_of(1, 9000);
    struct request meanwhile = request_of(2, 9000);

    add(b, &before);
    batcher_flush(b, 0, 0);
    fake.refuse = ERR_UNREACHABLE;
    fake.wait_until_ms = 2000;
    deliver(b, &fake, 0, ERR_UNAVAILABLE, 10); /* the connection is gone */
    add(b, &meanwhile);
    for (int64_t now_ms = 10; now_ms < 1500; now_ms += 7)
        batcher_flush(b, now_ms, 0);
    assert_int_equal(batcher_poll(b, 1500), 2000); /* no timer but for the wait's end */
    assert_int_equal(fake.sends, 1);
    fake.refuse = ERR_OK;
    fake.wait_until_ms = INT64_MIN;
    batcher_flush(b, 1500, 0);
    assert_int_equal(fake.sends, 3);
    assert_int_equal(fake.held[fake.count - 2]->message->number +
                         fake.held[fake.count - 1]->message->number,
                     3); /* 1 again, and 2 */
    drain(b, &fake, 1501);
    expect(&before, ERR_OK);
    expect(&meanwhile, ERR_OK);
    stop(b);
}

static void test_waits_for_nobody(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request before = request_of(1, 9000);
    struct request meanwhile = request_of(2, 9000);

    add(b, &before);
    batcher_flush(b, 0, 0);
    fake.refuse = ERR_UNREACHABLE;
    fake.wait_until_ms = 2000;
    deliver(b, &fake, 0, ERR_UNAVAILABLE, 10);
    add(b, &meanwhile);
    batcher_flush(b, 10, 0);
    assert_int_equal(batcher_poll(b, 1999), 2000);
    assert_int_equal(before.calls + meanwhile.calls, 0);
    for (int64_t now_ms = 2000; !batcher_idle(b) && now_ms < 2200; now_ms++)
        batcher_flush(b, now_ms, 0);
    expect(&before, ERR_UNKNOWN);
    expect(&meanwhile, ERR_UNREACHABLE);
    stop(b);
}

/* Deadlines and the queue's bound hold meanwhile, and nobody's message isn't kept for later. */
static void test_limits_hold_while_it_waits(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request before = request_of(1, 100);
    struct request queued[10];
    struct request one_more = request_of(1, 9000);

    add(b, &before);
    batcher_flush(b, 0, 0);
    fake.wait_until_ms = 2000;
    deliver(b, &fake, 0, ERR_UNAVAILABLE, 10);
    for (size_t i = 0; i < ARRAY_LEN(queued); i++) {
        queued[i] = request_of(1, 200);
        add(b, &queued[i]);
    }
    assert_int_equal(try_add(b, &one_more), ERR_BUSY);
    assert_in_range(batcher_poll(b, 50), 50, 100);
    batcher_poll(b, 100);
    expect(&before, ERR_DEADLINE);
    batcher_poll(b, 200);
    for (size_t i = 0; i < ARRAY_LEN(queued); i++)
        expect(&queued[i], ERR_EXPIRED);
    assert_int_equal(fake.sends, 1);
    stop(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fates),
        cmocka_unit_test(test_pushed_back_too_far),
        cmocka_unit_test(test_a_part_refused_behind_an_attempt),
        cmocka_unit_test(test_late_answer_counts),
        cmocka_unit_test(test_late_failure_is_no_news),
        cmocka_unit_test(test_lost_by_the_upstream),
        cmocka_unit_test(test_lost_in_any_case),
        cmocka_unit_test(test_never_lost_in_process),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_numbers_are_unique),
        cmocka_unit_test(test_waits_for_somebody_to_come_back),
        cmocka_unit_test(test_waits_for_nobody),
        cmocka_unit_test(test_limits_hold_while_it_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
