/* analytics_top.c - how long a top-10 takes while core/analytics takes in events as fast as it can,
 * over many counters, and what a counter costs in memory and on disk.
 *
 *     bench_analytics_top FOLDER COUNTERS SECONDS [uniform]
 *
 * Every counter is counted once; then events come, Zipf 1.1 over all counters or uniformly, in
 * reads of 1,000 of which 128 are counted at a time, as the service does it; whoever asks is
 * answered between two pieces, and while events wait for a commit. Another thread asks, at moments
 * of its own; what it waits for is the piece under way and the answer. On a busy machine it also
 * waits for a core: so the same is said in the counting thread's CPU, too.
 */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "core/analytics.h"
#include "edge/rocks_tally.h"
#include "resident.h"

#define LANES      4
#define TYPES      3
#define READ       1000
#define PIECE      128
#define STEPS      8   /* of rows that leave */
#define WAIT_US    100 /* for a commit, between two looks at what is asked */
#define RING       (READ * 2000)
#define NAME_BYTES 16
#define ASK_US     1000
#define ASKED_MAX  1000000
#define COMMIT_US  1e7
#define HOUR_MS    INT64_C(3600000)
#define PENDING    131072

static const char *const types[TYPES] = {"like", "view", "share"};

struct moment {
    double us;
    double thread_us; /* the counting thread's CPU */
};

static struct {
    struct analytics *analytics;
    struct rocks_tally *rocks;
    uint64_t random;
    uint32_t counters;
    uint32_t *ring; /* counters to come */
    uint32_t at;
    int32_t *values;
    uint64_t seq[LANES];
    double commit_us;

    clockid_t thread;
    _Atomic(const struct moment *) question; /* when it was asked, NULL: none */
    atomic_bool over;
    double *waited_us;
    double *worked_us;
    size_t asked;
    size_t idle; /* asked while events waited for a commit */
    struct slice_of {
        double cpu_us; /* the longest one */
        double wall_us;
    } moves, pieces, commits; /* what a question may have to wait for */
} bench;

static double now_us(clockid_t clock) {
    struct timespec at;

    clock_gettime(clock, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static struct moment now(void) {
    return (struct moment){now_us(CLOCK_MONOTONIC), now_us(bench.thread)};
}

static int64_t wall_ms(void) {
    return (int64_t)(now_us(CLOCK_REALTIME) / 1e3);
}

static void must(enum err err, const char *what) {
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_name(err));
    exit(1);
}

static void *take(size_t count, size_t size) {
    void *memory = calloc(count, size);

    if (!memory)
        must(ERR_NO_MEMORY, "memory");
    return memory;
}

/* ---- events ---- */

static double random_share(void) {
    return (double)(random_next(&bench.random) >> 11) * 0x1p-53;
}

/* Ranks of a Zipf distribution by rejection: no table (Devroye 1986, X.6.1). */
static uint32_t zipf(double s) {
    double b = pow(2, s - 1);

    for (;;) {
        double u = 1 - random_share();
        double x = floor(pow(u, -1 / (s - 1)));
        double t = pow(1 + 1 / x, s - 1);

        if (x <= bench.counters && random_share() * x * (t - 1) / (b - 1) <= t / b)
            return (uint32_t)x - 1;
    }
}

static void fill_ring(bool uniform) {
    bench.ring = take(RING, sizeof(*bench.ring));
    for (uint32_t i = 0; i < RING; i++)
        bench.ring[i] =
            uniform ? (uint32_t)(random_next(&bench.random) % bench.counters) : zipf(1.1);
}

static struct event make_event(uint32_t counter, int64_t at_ms, char name[NAME_BYTES]) {
    uint32_t lane = counter % LANES;
    struct event event = {.lane = lane,
                          .at = {1, ++bench.seq[lane]},
                          .kind = OP_ADD,
                          .delta = 1,
                          .new_value = ++bench.values[counter],
                          .count = 1,
                          .et_ms = at_ms,
                          .counter_type = slice_str(types[counter % TYPES])};

    event.resource_id = slice_of(name, (size_t)snprintf(name, NAME_BYTES, "r%" PRIu32, counter));
    return event;
}

/* ---- counting, as the service does ---- */

static struct moment slice_ends(struct slice_of *slice, struct moment since) {
    struct moment at = now();

    if (at.thread_us - since.thread_us > slice->cpu_us)
        slice->cpu_us = at.thread_us - since.thread_us;
    if (at.us - since.us > slice->wall_us)
        slice->wall_us = at.us - since.us;
    return at;
}

static void commit_when_due(void) {
    double at_us = now_us(CLOCK_MONOTONIC);
    enum err err = analytics_commit_end(bench.analytics, false);

    must(err == ERR_BUSY ? ERR_OK : err, "commit");
    if (at_us - bench.commit_us < COMMIT_US)
        return;
    (void)analytics_commit_begin(bench.analytics);
    bench.commit_us = at_us;
}

/* Who asks while events wait for a commit waits for nothing: it isn't counted. */
static void answer(bool waits) {
    static struct top_answer answer;
    struct top_query query = {slice_str(types[random_next(&bench.random) % TYPES]),
                              (enum time_range)(random_next(&bench.random) % RANGES), 0, 10};
    const struct moment *asked = atomic_load(&bench.question);

    if (!asked)
        return;
    must(analytics_move(bench.analytics, wall_ms()), "move");
    must(analytics_top(bench.analytics, &query, &answer), "top");
    bench.idle += waits;
    if (bench.asked < ASKED_MAX && !waits) {
        bench.waited_us[bench.asked] = now().us - asked->us;
        bench.worked_us[bench.asked++] = now().thread_us - asked->thread_us;
    }
    atomic_store(&bench.question, NULL);
}

/* Lanes without room stand still, the loop goes on. */
static void wait_for_room(void) {
    enum err err;

    while ((err = analytics_commit_end(bench.analytics, false)) == ERR_BUSY) {
        answer(true);
        usleep(WAIT_US);
    }
    must(err, "commit");
    struct moment at = now();
    (void)analytics_commit_begin(bench.analytics);
    (void)slice_ends(&bench.commits, at);
}

static void count_piece(const struct event *events, size_t n) {
    struct moment at = now();

    must(analytics_move(bench.analytics, wall_ms()), "move");
    at = slice_ends(&bench.moves, at);
    while (analytics_apply(bench.analytics, events, n) == ERR_BUSY) {
        (void)slice_ends(&bench.pieces, at);
        wait_for_room();
        at = now();
    }
    (void)slice_ends(&bench.pieces, at);
}

static void count(const struct event *events, size_t n) {
    struct moment at = now();

    for (unsigned i = 0; i < STEPS && analytics_is_behind(bench.analytics); i++) {
        answer(false);
        at = now();
        must(analytics_catch_up(bench.analytics), "catch up");
        at = slice_ends(&bench.moves, at);
    }
    commit_when_due();
    (void)slice_ends(&bench.commits, at);
    for (size_t i = 0; i < n; i += PIECE) {
        answer(false);
        count_piece(events + i, n - i < PIECE ? n - i : PIECE);
    }
}

static void *ask(void *arg) {
    struct moment asked;

    (void)arg;
    while (!atomic_load(&bench.over)) {
        asked = now();
        atomic_store(&bench.question, &asked);
        while (atomic_load(&bench.question))
            usleep(ASK_US / 4);
        usleep(ASK_US);
    }
    return NULL;
}

/* ---- the whole ---- */

static void count_each_once(void) {
    static struct event events[READ];
    static char names[READ][NAME_BYTES];

    for (uint32_t next = 0; next < bench.counters;) {
        size_t n = bench.counters - next < READ ? bench.counters - next : READ;

        for (size_t i = 0; i < n; i++)
            events[i] = make_event(next++, wall_ms(), names[i]);
        count(events, n);
    }
    must(analytics_commit(bench.analytics), "commit");
}

static void run(double seconds) {
    static struct event events[READ];
    static char names[READ][NAME_BYTES];
    double end_us = now_us(CLOCK_MONOTONIC) + seconds * 1e6;
    double process_us = now_us(CLOCK_PROCESS_CPUTIME_ID);
    double thread_us = 0;
    uint64_t counted = 0;
    pthread_t asker;

    if (pthread_create(&asker, NULL, ask, NULL) != 0)
        must(ERR_NO_MEMORY, "the asking thread");
    for (double began = now_us(CLOCK_MONOTONIC); began < end_us;
         began = now_us(CLOCK_MONOTONIC), counted += READ) {
        int64_t at_ms = wall_ms();

        for (size_t i = 0; i < READ; i++)
            events[i] = make_event(bench.ring[bench.at++ % RING], at_ms, names[i]);
        double before_us = now_us(CLOCK_THREAD_CPUTIME_ID);
        count(events, READ);
        thread_us += now_us(CLOCK_THREAD_CPUTIME_ID) - before_us;
    }
    process_us = now_us(CLOCK_PROCESS_CPUTIME_ID) - process_us;
    printf("ingest   %.0f events/s with making them; %.2f us of the thread's CPU an event, answers "
           "too, %.2f us of the process's\n",
           (double)counted / seconds, thread_us / (double)counted, process_us / (double)counted);
    atomic_store(&bench.over, true);
    while (atomic_load(&bench.question))
        answer(false);
    pthread_join(asker, NULL);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_waits(const char *what, double *us) {
    size_t n = bench.asked;

    qsort(us, n, sizeof(double), by_size);
    if (n)
        printf("top-10   n=%zu beside counting, asked to answered, %s: p50=%.2f ms p99=%.2f ms "
               "p99.9=%.2f ms "
               "max=%.1f ms\n",
               n, what, us[n / 2] / 1e3, us[n * 99 / 100] / 1e3, us[n * 999 / 1000] / 1e3,
               us[n - 1] / 1e3);
}

static void print_slice(const char *what, const struct slice_of *slice) {
    printf("longest  %s: %.2f ms CPU, %.1f ms by the clock\n", what, slice->cpu_us / 1e3,
           slice->wall_us / 1e3);
}

/* The clock runs on for an hour: what was counted leaves 1h, minute by minute. */
static void leave(void) {
    static struct top_answer answer;
    struct top_query query = {slice_str(types[0]), RANGE_1H, 0, 10};
    struct slice_of steps = {0, 0};
    unsigned steps_count = 0;
    unsigned inexact = 0;
    double steps_us = 0;
    int64_t begin_ms = wall_ms();

    bench.moves = (struct slice_of){0, 0};
    must(analytics_commit(bench.analytics), "commit"); /* what is pending leaves at once */
    for (int64_t ms = begin_ms; ms < begin_ms + HOUR_MS + HOUR_MS / 30; ms += HOUR_MS / 120) {
        struct moment at = now();

        must(analytics_move(bench.analytics, ms), "move");
        at = slice_ends(&bench.moves, at);
        for (; analytics_is_behind(bench.analytics); steps_count++) {
            must(analytics_top(bench.analytics, &query, &answer), "top");
            inexact += !answer.certainty.exact;
            at = now();
            must(analytics_catch_up(bench.analytics), "catch up");
            steps_us += slice_ends(&steps, at).thread_us - at.thread_us;
        }
    }
    print_slice("move of the windows to the next minute, in the hour after", &bench.moves);
    print_slice("step of rows that leave 1h then", &steps);
    printf("         of %u steps, %.2f ms CPU; of as many top-10s %u weren't exact\n", steps_count,
           steps_us / 1e3, inexact);
}

int main(int argc, char **argv) {
    static const struct event_position none[LANES];
    struct rocks_tally_conf conf = {16 << 20, 16 << 20};
    struct analytics_conf own = {
        .counters_max = UINT32_MAX / 4, .pending_max = PENDING, .hash_seed = {1, 2}};
    const char *detail = NULL;

    if (argc < 4 || (argc == 5 && strcmp(argv[4], "uniform") != 0)) {
        fprintf(stderr, "usage: bench_analytics_top FOLDER COUNTERS SECONDS [uniform]\n");
        return 64;
    }
    bench.counters = (uint32_t)strtoul(argv[2], NULL, 10);
    bench.random = 20261126;
    bench.values = take(bench.counters, sizeof(*bench.values));
    bench.waited_us = take(ASKED_MAX, sizeof(double));
    bench.worked_us = take(ASKED_MAX, sizeof(double));
    (void)pthread_getcpuclockid(pthread_self(), &bench.thread);
    fill_ring(argc == 5);
    memset(bench.values, 0, bench.counters * sizeof(*bench.values)); /* its pages, now */
    must(rocks_tally_open(argv[1], &conf, &bench.rocks, &detail), "open");
    size_t before = resident_bytes();
    must(analytics_open(rocks_tally_view(bench.rocks), &own, wall_ms(), &bench.analytics), "open");
    must(analytics_source(bench.analytics, 1, LANES, none), "source");
    double began_us = now_us(CLOCK_MONOTONIC);
    count_each_once();
    printf("counters %" PRIu32 " counted once in %.1f s, %.0f bytes of memory each\n",
           bench.counters, (now_us(CLOCK_MONOTONIC) - began_us) / 1e6,
           (double)(resident_bytes() - before) / bench.counters);
    bench.moves = bench.pieces = bench.commits = (struct slice_of){0, 0};
    run(strtod(argv[3], NULL));
    printf("top-10   %zu were asked while events waited for a commit\n", bench.idle);
    print_waits("by the clock", bench.waited_us);
    print_waits("CPU", bench.worked_us);
    print_slice("move of the windows", &bench.moves);
    print_slice("piece of 128 events", &bench.pieces);
    print_slice("begin or end of a commit", &bench.commits);
    leave();
    must(analytics_commit(bench.analytics), "commit");
    analytics_close(bench.analytics);
    rocks_tally_close(bench.rocks);
    return 0;
}
