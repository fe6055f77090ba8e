/* test_rate_limit.c - buckets as scripts, eviction, and a million clients. */
#include <inttypes.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "core/rate_limit.h"
#include "test.h"

#define STEPS_MAX 12

static struct rate_limit *make(uint32_t per_second, uint32_t burst, size_t clients) {
    struct rate_limit *limit = rate_limit_new(&(struct rate_limit_conf){
        .per_second = per_second, .burst = burst, .clients = clients, .seed = {7, 11}});

    assert_non_null(limit);
    return limit;
}

static struct rate_limit_key client(uint32_t n) {
    struct rate_limit_key key = {{0}};

    memcpy(key.bytes + 12, &n, sizeof(n));
    return key;
}

/* ---- one client -------------------------------------------------------------------------- */

/* clang-format off */
static const struct {
    const char *name;
    uint32_t per_second;
    uint32_t burst;
    struct {
        int64_t at_ms;
        bool allowed;
        uint32_t remaining, retry_s, reset_s;
    } steps[STEPS_MAX];
    size_t count;
} rows[] = {
    {"a burst, then nothing", 1, 3,
     {{0, true, 2, 0, 1}, {0, true, 1, 0, 2}, {0, true, 0, 1, 3}, {0, false, 0, 1, 3}}, 4},
    {"one more in time", 1, 1,
     {{0, true, 0, 1, 1}, {999, false, 0, 1, 1}, {1000, true, 0, 1, 1}}, 3},
    {"a refusal costs nothing", 2, 1,
     {{0, true, 0, 1, 1}, {100, false, 0, 1, 1}, {499, false, 0, 1, 1}, {500, true, 0, 1, 1}}, 4},
    {"never more than the burst", 1000, 2,
     {{0, true, 1, 0, 1}, {3600000, true, 1, 0, 1}, {3600000, true, 0, 1, 1}, {3600000, false, 0, 1, 1}}, 4},
    {"thousandths add up", 3, 1,
     {{0, true, 0, 1, 1}, {333, false, 0, 1, 1}, {334, true, 0, 1, 1}, {667, false, 0, 1, 1},
      {668, true, 0, 1, 1}}, 5},
    {"an old bucket is full, however long ago", 1, 1000000,
     {{0, true, 999999, 0, 1}, {INT64_MAX, true, 999999, 0, 1}}, 2},
    {"a clock that steps back brings nothing and takes nothing", 1, 2,
     {{5000, true, 1, 0, 1}, {1000, true, 0, 1, 2}, {1000, false, 0, 1, 2}, {6000, true, 0, 1, 2}}, 4},
    {"the most there may be", 1000000, 1000000, {{0, true, 999999, 0, 1}}, 1},
    {"slow and small", 1, 60, {{0, true, 59, 0, 1}, {0, true, 58, 0, 2}}, 2},
};
/* clang-format on */

static void test_steps(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rate_limit *limit = make(rows[i].per_second, rows[i].burst, 8);
        struct rate_limit_key who = client(1);

        for (size_t k = 0; k < rows[i].count; k++) {
            struct rate_limit_verdict got = rate_limit_take(limit, &who, rows[i].steps[k].at_ms);

            if (got.allowed != rows[i].steps[k].allowed ||
                got.remaining != rows[i].steps[k].remaining ||
                got.retry_s != rows[i].steps[k].retry_s ||
                got.reset_s != rows[i].steps[k].reset_s || got.evicted)
                fail_msg("%s: step %zu: %d, %u left, retry %u, reset %u", rows[i].name, k,
                         got.allowed, got.remaining, got.retry_s, got.reset_s);
        }
        rate_limit_free(limit);
    }
}

static void test_window(void **state) {
    (void)state;
    static const struct {
        uint32_t per_second, burst, window_s;
    } windows[] = {{1, 1, 1}, {100, 100, 1}, {100, 101, 2}, {100, 1, 1}, {1, 3600, 3600}};

    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        assert_int_equal(rate_limit_window_s(&(struct rate_limit_conf){
                             .per_second = windows[i].per_second, .burst = windows[i].burst}),
                         windows[i].window_s);
}

/* At any speed of asking, over any time: no more than burst + time x rate, and no less. */
static void test_what_is_allowed(void **state) {
    (void)state;
    uint64_t seed = 42;

    for (unsigned round = 0; round < 200; round++) {
        uint32_t rate = 1 + (uint32_t)(random_next(&seed) % 5000);
        uint32_t burst = 20 + (uint32_t)(random_next(&seed) % 5000); /* more than comes in a step */
        struct rate_limit *limit = make(rate, burst, 8);
        struct rate_limit_key who = client(round);
        int64_t allowed = 0, now_ms = 0, end_ms = 1000 + (int64_t)(random_next(&seed) % 20000);

        for (; now_ms < end_ms; now_ms += (int64_t)(random_next(&seed) % 3))
            while (rate_limit_take(limit, &who, now_ms).allowed)
                allowed++;
        int64_t most = burst + now_ms * rate / 1000 + 1;
        if (allowed > most || allowed < most - 3 - (int64_t)rate * 3 / 1000)
            fail_msg("round %u: %u/s, burst %u: %" PRId64 " in %" PRId64 " ms", round, rate, burst,
                     allowed, now_ms);
        rate_limit_free(limit);
    }
}

/* ---- many -------------------------------------------------------------------------------- */

static void test_clients_are_apart(void **state) {
    (void)state;
    struct rate_limit *limit = make(1, 1, 4096);

    for (uint32_t i = 0; i < 200; i++) {
        struct rate_limit_key who = client(i);

        assert_true(rate_limit_take(limit, &who, 0).allowed);
        assert_false(rate_limit_take(limit, &who, 0).allowed);
    }
    rate_limit_free(limit);
}

/* The one set is full: who comes new takes the place of the fullest bucket. */
static void test_the_fullest_is_forgotten(void **state) {
    (void)state;
    struct rate_limit *limit = make(1, 10, RATE_LIMIT_WAYS);
    struct rate_limit_verdict verdict;

    for (uint32_t i = 0; i < RATE_LIMIT_WAYS; i++)
        for (uint32_t k = 0; k <= i; k++) {
            struct rate_limit_key who = client(i);

            verdict = rate_limit_take(limit, &who, 0);
            assert_false(verdict.evicted);
        }
    struct rate_limit_key newcomer = client(100), emptied = client(RATE_LIMIT_WAYS - 1);
    assert_true(rate_limit_take(limit, &newcomer, 0).evicted); /* client 0 goes */
    assert_int_equal(rate_limit_take(limit, &emptied, 0).remaining, 10 - RATE_LIMIT_WAYS - 1);
    struct rate_limit_key first = client(0);
    verdict = rate_limit_take(limit, &first, 0);
    assert_true(verdict.allowed && verdict.evicted && verdict.remaining == 9);
    /* Full again after a while: forgetting them is no loss. */
    verdict = rate_limit_take(limit, &(struct rate_limit_key){{200}}, 60000);
    assert_false(verdict.evicted);
    rate_limit_free(limit);
}

/* A million addresses, one request each: the table stays as large as it was made, and whoever had
 * used up what is his is still refused. */
static void test_a_million_clients(void **state) {
    (void)state;
    struct rate_limit *limit = make(1, 2, 65536);
    size_t bytes = rate_limit_bytes(limit);
    struct rate_limit_key abuser = client(UINT32_MAX);

    assert_in_range(bytes, 65536 * 24, 65536 * 40);
    for (unsigned i = 0; i < 3; i++)
        (void)rate_limit_take(limit, &abuser, 0);
    for (uint32_t i = 0; i < 1000000; i++) {
        struct rate_limit_key who = client(i);

        assert_true(rate_limit_take(limit, &who, 0).allowed);
    }
    assert_int_equal(rate_limit_bytes(limit), bytes);
    assert_false(rate_limit_take(limit, &abuser, 0).allowed);
    rate_limit_free(limit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_what_is_allowed),
        cmocka_unit_test(test_clients_are_apart),
        cmocka_unit_test(test_the_fullest_is_forgotten),
        cmocka_unit_test(test_a_million_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
