/* test_concurrency.c - a store with a capacity, in virtual time: what is shed, answered, and when.
 *
 * Every millisecond requests arrive, and the store answers what its capacity allows of what has
 * been there for its own time, whichever loop it is of. Batches don't matter here.
 */
#include <inttypes.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "core/concurrency.h"
#include "test.h"

#define WAITING_MAX (1u << 20)
#define LIMIT_MAX   65536
#define LOOPS_MAX   8
#define TOOK_MAX_MS 4096

struct store {
    struct concurrency loops[LOOPS_MAX];
    size_t under_way[LOOPS_MAX];
    size_t loops_count;
    double share; /* of the arrivals that come to the first loop */
    int64_t now_ms;
    struct waiting {
        int64_t came_ms;
        size_t loop;
    } waiting[WAITING_MAX]; /* a ring */
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
    uint64_t took[TOOK_MAX_MS + 1]; /* answers, by milliseconds; the last: that or more */
};

static double any(struct store *s) {
    return (double)(random_next(&s->random) % 1000) / 1000;
}

static void answer(struct store *s, const struct phase *phase, struct seen *seen) {
    if (s->now_ms % 50 == 0 || s->factor == 0)
        s->factor = phase->noisy ? 0.33 + any(s) * 4 / 3 : 1;
    s->due += phase->capacity * s->factor / 1000;
    while (s->due >= 1 && s->count > 0 &&
           s->now_ms - s->waiting[s->first].came_ms >= phase->own_ms) {
        struct waiting *next = &s->waiting[s->first];
        int64_t took_ms = s->now_ms - next->came_ms;

        s->first = (s->first + 1) % WAITING_MAX;
        s->count--;
        s->due -= 1;
        s->under_way[next->loop]--;
        concurrency_answered(&s->loops[next->loop], 1, took_ms);
        seen->answered++;
        seen->took[took_ms < TOOK_MAX_MS ? took_ms : TOOK_MAX_MS]++;
    }
    if (s->due > 1)
        s->due = 1; /* what it could have done is lost */
}

static size_t any_loop(struct store *s) {
    double at = any(s);

    if (s->loops_count == 1 || at < s->share)
        return 0;
    return 1 + (size_t)((at - s->share) / (1 - s->share) * (double)(s->loops_count - 1));
}

static void arrive(struct store *s, const struct phase *phase, struct seen *seen) {
    if (s->now_ms % 1000 == 0) /* other clients have more to say now */
        s->share = (0.4 + any(s) * 1.2) / (double)s->loops_count;
    s->credit += phase->load / 1000;
    for (; s->credit >= 1; s->credit -= 1) {
        size_t loop = any_loop(s);

        seen->came++;
        if (!concurrency_admits(&s->loops[loop], s->under_way[loop])) {
            seen->shed++;
            continue;
        }
        assert_true(s->count < WAITING_MAX);
        s->waiting[(s->first + s->count) % WAITING_MAX] = (struct waiting){s->now_ms, loop};
        s->count++;
        s->under_way[loop]++;
    }
}

static struct seen run(struct store *s, const struct phase *phase) {
    struct seen seen = {0};

    for (int64_t i = 0; i < phase->ms; i++, s->now_ms++) {
        answer(s, phase, &seen);
        arrive(s, phase, &seen);
        for (size_t j = 0; j < s->loops_count; j++)
            concurrency_turn(&s->loops[j], s->under_way[j], s->now_ms);
    }
    return seen;
}

static struct store *start(size_t loops, int64_t least_ms, int64_t most_ms) {
    static struct store store;

    memset(&store, 0, sizeof(store));
    store.now_ms = 1000;
    store.loops_count = loops;
    store.share = 1.0 / (double)loops;
    for (size_t i = 0; i < loops; i++) {
        concurrency_init(&store.loops[i], LIMIT_MAX, store.now_ms);
        concurrency_set(&store.loops[i], least_ms, most_ms);
    }
    return &store;
}

/* So many of a hundred answers took no longer, in milliseconds. */
static int64_t percentile(const struct seen *seen, double percent) {
    uint64_t left = (uint64_t)((double)seen->answered * percent / 100);
    int64_t ms = 0;

    while (ms < TOOK_MAX_MS && left > seen->took[ms])
        left -= seen->took[ms++];
    return ms;
}

/* clang-format off */
static const struct {
    const char *name;
    size_t loops;
    struct phase before, during, then; /* looked at: the last */
    double shed_min, shed_max;         /* of what came */
    double answered_min;               /* of what came, or of what the store can do if that is less */
    int64_t p99_ms, most_ms;           /* no more answers take longer */
} rows[] = {
    {"light", 1,                       {2000, 100, 10000, 1, false},   {2000, 100, 10000, 1, false},    {5000, 100, 10000, 1, false},     0, 0, 0.99,       1, 2},
    {"ordinary", 1,                    {2000, 8000, 10000, 2, false},  {2000, 8000, 10000, 2, false},   {9000, 8000, 10000, 2, false},    0, 0, 0.99,       2, 3},
    {"slow, ordinary", 1,              {2000, 8000, 10000, 90, false}, {2000, 8000, 10000, 90, false},  {9000, 8000, 10000, 90, false},   0, 0, 0.99,       90, 92},
    {"three times", 1,                 {3000, 8000, 10000, 2, false},  {1000, 30000, 10000, 2, false},  {60000, 30000, 10000, 2, false},  0.6, 0.7, 0.98,   11, 20},
    {"ten times", 1,                   {3000, 8000, 10000, 2, false},  {3000, 99000, 10000, 2, false},  {30000, 99000, 10000, 2, false},  0.85, 0.95, 0.98, 11, 20},
    {"slow, three times", 1,           {3000, 8000, 10000, 50, false}, {2000, 30000, 10000, 50, false}, {60000, 30000, 10000, 50, false}, 0.6, 0.7, 0.98,   100, 120},
    {"its beginning", 1,               {3000, 8000, 10000, 2, false},  {100, 30000, 10000, 2, false},   {1000, 30000, 10000, 2, false},   0.5, 0.75, 0.95,  300, 320},
    {"from nothing", 1,                {100, 0, 10000, 2, false},      {500, 30000, 10000, 2, false},   {10000, 30000, 10000, 2, false},  0.6, 0.7, 0.98,   20, 30},
    {"over again", 1,                  {3000, 8000, 10000, 2, false},  {20000, 30000, 10000, 2, false}, {9000, 8000, 10000, 2, false},    0, 0.001, 0.99,   2, 11},
    {"hardly over", 1,                 {3000, 8000, 10000, 2, false},  {5000, 10500, 10000, 2, false},  {60000, 10500, 10000, 2, false},  0.02, 0.06, 0.98, 11, 20},
    {"less can be done", 1,            {3000, 8000, 10000, 2, false},  {1000, 8000, 3000, 2, false},    {20000, 8000, 3000, 2, false},    0.55, 0.7, 0.97,  30, 80},
    {"a pause of 0.3 s", 1,            {3000, 5000, 10000, 2, false},  {300, 5000, 0, 2, false},        {5000, 5000, 10000, 2, false},    0, 0.08, 0.92,    310, 700},
    {"a bit longer now", 1,            {3000, 5000, 10000, 2, false},  {8000, 5000, 10000, 11, false},  {20000, 5000, 10000, 11, false},  0, 0.01, 0.99,    12, 20},
    {"takes longer now", 1,            {3000, 5000, 10000, 2, false},  {5000, 5000, 10000, 60, false},  {20000, 5000, 10000, 60, false},  0, 0.01, 0.99,    62, 125},
    {"far longer", 1,                  {3000, 1000, 10000, 2, false},  {8000, 1000, 10000, 300, false}, {20000, 1000, 10000, 300, false}, 0, 0.01, 0.99,    305, 320},
    {"longer, three times", 1,         {3000, 5000, 10000, 2, false},  {5000, 30000, 10000, 60, false}, {60000, 30000, 10000, 60, false}, 0.6, 0.7, 0.98,   100, 120},
    {"noisy, ordinary", 1,             {2000, 6000, 10000, 2, true},   {2000, 6000, 10000, 2, true},    {30000, 6000, 10000, 2, true},    0, 0.05, 0.95,    40, 120},
    {"noisy, three times", 1,          {2000, 6000, 10000, 2, true},   {2000, 30000, 10000, 2, true},   {60000, 30000, 10000, 2, true},   0.6, 0.75, 0.9,   40, 120},
    {"noisy, longer", 1,               {3000, 5000, 10000, 2, true},   {5000, 5000, 10000, 60, true},   {30000, 5000, 10000, 60, true},   0, 0.05, 0.95,    92, 120},
    {"three times, 2 loops", 2,        {3000, 8000, 10000, 2, false},  {1000, 30000, 10000, 2, false},  {60000, 30000, 10000, 2, false},  0.6, 0.7, 0.98,   11, 20},
    {"slow, three times, 2 loops", 2,  {3000, 8000, 10000, 50, false}, {2000, 30000, 10000, 50, false}, {60000, 30000, 10000, 50, false}, 0.6, 0.7, 0.98,   110, 150},
    {"hardly over, 2 loops", 2,        {3000, 8000, 10000, 2, false},  {5000, 10500, 10000, 2, false},  {60000, 10500, 10000, 2, false},  0.02, 0.06, 0.98, 16, 30},
    {"less can be done, 2 loops", 2,   {3000, 8000, 10000, 2, false},  {1000, 8000, 3000, 2, false},    {20000, 8000, 3000, 2, false},    0.55, 0.7, 0.97,  20, 80},
    {"takes longer now, 2 loops", 2,   {3000, 5000, 10000, 2, false},  {5000, 5000, 10000, 60, false},  {20000, 5000, 10000, 60, false},  0, 0.01, 0.99,    62, 125},
    {"far longer, 2 loops", 2,         {3000, 1000, 10000, 2, false},  {8000, 1000, 10000, 300, false}, {20000, 1000, 10000, 300, false}, 0, 0.01, 0.99,    305, 320},
    {"noisy, 2 loops", 2,              {2000, 6000, 10000, 2, true},   {2000, 6000, 10000, 2, true},    {30000, 6000, 10000, 2, true},    0, 0.05, 0.95,    40, 120},
    {"noisy, three times, 2 loops", 2, {2000, 6000, 10000, 2, true},   {2000, 30000, 10000, 2, true},   {60000, 30000, 10000, 2, true},   0.6, 0.75, 0.9,   40, 120},
    {"three times, 8 loops", 8,        {3000, 8000, 10000, 2, false},  {1000, 30000, 10000, 2, false},  {60000, 30000, 10000, 2, false},  0.6, 0.7, 0.98,   11, 20},
    {"slow, three times, 8 loops", 8,  {3000, 8000, 10000, 50, false}, {2000, 30000, 10000, 50, false}, {60000, 30000, 10000, 50, false}, 0.6, 0.7, 0.98,   110, 150},
    {"hardly over, 8 loops", 8,        {3000, 8000, 10000, 2, false},  {5000, 10500, 10000, 2, false},  {60000, 10500, 10000, 2, false},  0.02, 0.06, 0.98, 16, 30},
    {"less can be done, 8 loops", 8,   {3000, 8000, 10000, 2, false},  {1000, 8000, 3000, 2, false},    {20000, 8000, 3000, 2, false},    0.55, 0.7, 0.97,  20, 80},
    {"takes longer now, 8 loops", 8,   {3000, 5000, 10000, 2, false},  {5000, 5000, 10000, 60, false},  {20000, 5000, 10000, 60, false},  0, 0.01, 0.99,    62, 125},
    {"far longer, 8 loops", 8,         {3000, 1000, 10000, 2, false},  {8000, 1000, 10000, 300, false}, {20000, 1000, 10000, 300, false}, 0, 0.01, 0.99,    305, 320},
    {"noisy, 8 loops", 8,              {2000, 6000, 10000, 2, true},   {2000, 6000, 10000, 2, true},    {30000, 6000, 10000, 2, true},    0, 0.05, 0.95,    40, 120},
    {"noisy, three times, 8 loops", 8, {2000, 6000, 10000, 2, true},   {2000, 30000, 10000, 2, true},   {60000, 30000, 10000, 2, true},   0.6, 0.75, 0.9,   40, 120},
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store *s = start(rows[i].loops, 10, 1000);
        double can =
            rows[i].then.capacity < rows[i].then.load ? rows[i].then.capacity : rows[i].then.load;

        (void)run(s, &rows[i].before);
        (void)run(s, &rows[i].during);
        struct seen seen = run(s, &rows[i].then);
        double shed = (double)seen.shed / (double)seen.came;
        double answered = (double)seen.answered / (can * (double)rows[i].then.ms / 1000);
        int64_t p99_ms = percentile(&seen, 99), most_ms = percentile(&seen, 100);

        if (shed < rows[i].shed_min || shed > rows[i].shed_max || answered < rows[i].answered_min ||
            p99_ms > rows[i].p99_ms || most_ms > rows[i].most_ms)
            fail_msg("%s: %.4f shed, %.4f answered of what could be, 99 %% after %" PRId64
                     " ms, the last after %" PRId64 " ms",
                     rows[i].name, shed, answered, p99_ms, most_ms);
    }
}

/* What it sees first is the others' overload: that isn't usual, and the others give it its share.
 */
static void test_a_loop_that_joins(void **state) {
    (void)state;
    const struct phase over = {3000, 30000, 10000, 2, false};
    struct store *s = start(8, 10, 1000);
    (void)run(s, &(struct phase){3000, 8000, 10000, 2, false});
    (void)run(s, &over);
    concurrency_init(&s->loops[0], LIMIT_MAX, s->now_ms);
    concurrency_set(&s->loops[0], 10, 1000);

    struct seen seen = run(s, &(struct phase){60000, 30000, 10000, 2, false});
    assert_in_range(percentile(&seen, 99), 1, 20);
    assert_true(s->loops[0].usual_us < 10000);
    assert_true(s->loops[0].rate > 10000 / 8 / 4);
}

/* A trial ends well once the store takes longer, and that is usual from then on. */
static void test_trial(void **state) {
    (void)state;
    const struct phase longer = {1000, 5000, 10000, 60, false};
    struct store *s = start(1, 10, 1000);
    (void)run(s, &(struct phase){3000, 5000, 10000, 2, false});
    struct seen seen = run(s, &longer);

    assert_true(seen.shed > 0);
    for (int i = 0; i < 4 && s->loops[0].usual_us < 30000; i++)
        seen = run(s, &longer);
    assert_in_range(s->loops[0].usual_us, 30000, 60000);
    (void)run(s, &longer);
    seen = run(s, &longer);
    assert_int_equal(seen.shed, 0);
    assert_int_equal(s->loops[0].limit, LIMIT_MAX);
}

static void test_off(void **state) {
    (void)state;
    struct store *s = start(1, 0, 1000);
    struct seen seen = run(s, &(struct phase){5000, 20000, 10000, 2, false});

    assert_int_equal(seen.shed, 0);
    assert_int_equal(s->loops[0].limit, LIMIT_MAX);
}

/* Hot: the bounds are those of this moment. */
static void test_other_bounds(void **state) {
    (void)state;
    const struct phase over = {10000, 30000, 10000, 2, false};
    struct store *s = start(1, 10, 1000);
    (void)run(s, &(struct phase){3000, 8000, 10000, 2, false});
    (void)run(s, &over);
    size_t before = s->loops[0].limit;

    concurrency_set(&s->loops[0], 100, 1000);
    (void)run(s, &over);
    assert_in_range(s->loops[0].limit, before * 5, before * 20);
    concurrency_set(&s->loops[0], 1, 5);
    (void)run(s, &over);
    assert_true(s->loops[0].limit < before);
    concurrency_set(&s->loops[0], 0, 5);
    assert_int_equal(s->loops[0].limit, LIMIT_MAX);
}

/* Nothing is answered: nothing is learned, and the queue's bound is another's. */
static void test_silence(void **state) {
    (void)state;
    struct store *s = start(1, 10, 1000);
    (void)run(s, &(struct phase){3000, 8000, 10000, 2, false});
    struct seen seen = run(s, &(struct phase){2000, 8000, 0, 2, false});

    assert_int_equal(seen.shed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),         cmocka_unit_test(test_a_loop_that_joins),
        cmocka_unit_test(test_trial),        cmocka_unit_test(test_off),
        cmocka_unit_test(test_other_bounds), cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
