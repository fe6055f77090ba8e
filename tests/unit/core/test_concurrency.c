/* test_concurrency.c - a store with a capacity, in virtual time: what is shed, answered, and when.
 *
 * Every millisecond requests arrive, and the store answers what its capacity allows of what has
 * been there for its own time. Batches don't matter here.
 */
#include <inttypes.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "core/concurrency.h"
#include "test.h"

#define WAITING_MAX (1u << 20)
#define LIMIT_MAX   65536

struct store {
    struct concurrency c;
    int64_t now_ms;
    int64_t came_ms[WAITING_MAX]; /* a ring */
    size_t first, count;
    double credit; /* of arrivals and of answers, fractions of one */
    double due;
    double factor;
    uint64_t random;
};

struct phase {
    int64_t ms;
    double load;     /* requests a second */
    double capacity; /* answers a second */
    int64_t own_ms;  /* of an answer, with nothing before it */
    bool noisy; /* the capacity is anything from a third to nearly twice that, for 50 ms each */
};

struct seen {
    uint64_t came, shed, answered;
    int64_t most_ms; /* of an answer */
};

static void answer(struct store *s, const struct phase *phase, struct seen *seen) {
    if (s->now_ms % 50 == 0 || s->factor == 0)
        s->factor = phase->noisy ? 0.33 + (double)(random_next(&s->random) % 1000) / 750 : 1;
    s->due += phase->capacity * s->factor / 1000;
    while (s->due >= 1 && s->count > 0 && s->now_ms - s->came_ms[s->first] >= phase->own_ms) {
        int64_t took_ms = s->now_ms - s->came_ms[s->first];

        s->first = (s->first + 1) % WAITING_MAX;
        s->count--;
        s->due -= 1;
        concurrency_answered(&s->c, 1, took_ms);
        seen->answered++;
        if (took_ms > seen->most_ms)
            seen->most_ms = took_ms;
    }
    if (s->due > 1)
        s->due = 1; /* what it could have done is lost */
}

static void arrive(struct store *s, const struct phase *phase, struct seen *seen) {
    s->credit += phase->load / 1000;
    for (; s->credit >= 1; s->credit -= 1) {
        seen->came++;
        if (!concurrency_admits(&s->c, s->count)) {
            seen->shed++;
            continue;
        }
        assert_true(s->count < WAITING_MAX);
        s->came_ms[(s->first + s->count) % WAITING_MAX] = s->now_ms;
        s->count++;
    }
}

static struct seen run(struct store *s, const struct phase *phase) {
    struct seen seen = {0};

    for (int64_t i = 0; i < phase->ms; i++, s->now_ms++) {
        answer(s, phase, &seen);
        arrive(s, phase, &seen);
        concurrency_turn(&s->c, s->count, s->now_ms);
    }
    return seen;
}

static struct store *start(int64_t least_ms, int64_t most_ms) {
    static struct store store;

    memset(&store, 0, sizeof(store));
    store.now_ms = 1000;
    concurrency_init(&store.c, LIMIT_MAX, store.now_ms);
    concurrency_set(&store.c, least_ms, most_ms);
    return &store;
}

/* clang-format off */
static const struct {
    const char *name;
    struct phase before, during, then; /* looked at: the last */
    double shed_min, shed_max;         /* of what came */
    double answered_min;               /* of what came, or of what the store can do if that is less */
    int64_t most_ms;                   /* no answer takes longer */
} rows[] = {
    {"light",            {2000, 100, 10000, 1, false},   {2000, 100, 10000, 1, false},   {5000, 100, 10000, 1, false},   0, 0, 0.99, 2},
    {"ordinary",         {2000, 8000, 10000, 2, false},  {2000, 8000, 10000, 2, false},  {9000, 8000, 10000, 2, false},  0, 0, 0.99, 3},
    {"slow, ordinary",   {2000, 8000, 10000, 90, false}, {2000, 8000, 10000, 90, false}, {9000, 8000, 10000, 90, false}, 0, 0, 0.99, 92},
    {"three times",      {3000, 8000, 10000, 2, false},  {1000, 30000, 10000, 2, false}, {60000, 30000, 10000, 2, false}, 0.6, 0.7, 0.98, 30},
    {"ten times",        {3000, 8000, 10000, 2, false},  {3000, 99000, 10000, 2, false}, {30000, 99000, 10000, 2, false}, 0.85, 0.95, 0.98, 30},
    {"slow, three times",{3000, 8000, 10000, 50, false}, {2000, 30000, 10000, 50, false},{60000, 30000, 10000, 50, false}, 0.6, 0.75, 0.9, 260},
    {"its beginning",    {3000, 8000, 10000, 2, false},  {100, 30000, 10000, 2, false},  {1000, 30000, 10000, 2, false}, 0.5, 0.75, 0.95, 320},
    {"from nothing",     {100, 0, 10000, 2, false},      {500, 30000, 10000, 2, false},  {10000, 30000, 10000, 2, false}, 0.6, 0.7, 0.98, 60},
    {"over again",       {3000, 8000, 10000, 2, false},  {20000, 30000, 10000, 2, false},{9000, 8000, 10000, 2, false},  0, 0.001, 0.99, 30},
    {"less can be done", {3000, 8000, 10000, 2, false},  {1000, 8000, 3000, 2, false},   {20000, 8000, 3000, 2, false},  0.55, 0.7, 0.97, 100},
    {"a pause of 0.3 s", {3000, 5000, 10000, 2, false},  {300, 5000, 0, 2, false},       {5000, 5000, 10000, 2, false},  0, 0.08, 0.92, 700},
    {"takes longer now", {3000, 5000, 10000, 2, false},  {5000, 5000, 10000, 60, false}, {20000, 5000, 10000, 60, false},0, 0.1, 0.9, 125},
    {"noisy, ordinary",  {2000, 6000, 10000, 2, true}, {2000, 6000, 10000, 2, true}, {30000, 6000, 10000, 2, true}, 0, 0.05, 0.95, 120},
    {"noisy, three times", {2000, 6000, 10000, 2, true}, {2000, 30000, 10000, 2, true}, {60000, 30000, 10000, 2, true}, 0.6, 0.75, 0.9, 120},
    {"far longer",       {3000, 1000, 10000, 2, false},  {8000, 1000, 10000, 300, false},{20000, 1000, 10000, 300, false},0, 0.1, 0.9, 320},
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store *s = start(10, 1000);
        double can =
            rows[i].then.capacity < rows[i].then.load ? rows[i].then.capacity : rows[i].then.load;

        (void)run(s, &rows[i].before);
        (void)run(s, &rows[i].during);
        struct seen seen = run(s, &rows[i].then);
        double shed = (double)seen.shed / (double)seen.came;
        double answered = (double)seen.answered / (can * (double)rows[i].then.ms / 1000);

        if (shed < rows[i].shed_min || shed > rows[i].shed_max || answered < rows[i].answered_min ||
            seen.most_ms > rows[i].most_ms)
            fail_msg("%s: %.4f shed, %.4f answered of what could be, the last after %" PRId64 " ms",
                     rows[i].name, shed, answered, seen.most_ms);
    }
}

static void test_off(void **state) {
    (void)state;
    struct store *s = start(0, 1000);
    struct seen seen = run(s, &(struct phase){5000, 20000, 10000, 2, false});

    assert_int_equal(seen.shed, 0);
    assert_int_equal(s->c.limit, LIMIT_MAX);
}

/* Hot: the bounds are those of this moment. */
static void test_other_bounds(void **state) {
    (void)state;
    const struct phase over = {10000, 30000, 10000, 2, false};
    struct store *s = start(10, 1000);
    (void)run(s, &(struct phase){3000, 8000, 10000, 2, false});
    (void)run(s, &over);
    size_t before = s->c.limit;

    concurrency_set(&s->c, 100, 1000);
    (void)run(s, &over);
    assert_in_range(s->c.limit, before * 5, before * 20);
    concurrency_set(&s->c, 1, 5);
    (void)run(s, &over);
    assert_true(s->c.limit < before);
    concurrency_set(&s->c, 0, 5);
    assert_int_equal(s->c.limit, LIMIT_MAX);
}

/* Nothing is answered: nothing is learned, and the queue's bound is another's. */
static void test_silence(void **state) {
    (void)state;
    struct store *s = start(10, 1000);
    (void)run(s, &(struct phase){3000, 8000, 10000, 2, false});
    struct seen seen = run(s, &(struct phase){2000, 8000, 0, 2, false});

    assert_int_equal(seen.shed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_other_bounds),
        cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
