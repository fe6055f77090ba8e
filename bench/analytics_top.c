/* analytics_top.c - how long a top-10 takes while analytics takes in events as fast as it can, over
 * many counters, and what a counter costs in memory and on disk.
 *
 *     bench_analytics_top FOLDER COUNTERS SECONDS [uniform] [flood]
 *
 * The service itself, as in a process: its thread, its writer's, its mailboxes. Its events are made
 * here, on its thread: every counter's first, then Zipf 1.1 over all counters or uniformly, 250 of
 * each of four lanes in a turn. Another thread asks, one question after the other, all of which
 * count: while events are counted, while they wait for a commit, while windows move. On a busy
 * machine it also waits for a core: so the same is said in the service's CPU, too, which goes on
 * until the one who asks has woken. With 'flood', 250 others, of a thousand places each, are under
 * way all the time.
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

#include "analytics/service.h"
#include "base/clock.h"
#include "base/random.h"
#include "edge/rocks_tally.h"
#include "loop/mailbox.h"
#include "loop/timer.h"
#include "resident.h"

#define LANES       4
#define TYPES       3
#define READ        250 /* of a lane */
#define RING        500000
#define NAME_BYTES  16
#define ASK_US      1000
#define ASKED_MAX   1000000
#define FLOOD       250
#define DEADLINE_MS 60000
#define COMMIT_MS   10000
#define HOUR_MS     INT64_C(3600000)
#define PENDING     131072
#define STORE_ID    1

static const char *const types[TYPES] = {"like", "view", "share"};

/* ---- events ---- */

struct lane {
    uint32_t *ring; /* counters to come, by Zipf or uniformly */
    uint32_t at;
    uint32_t first; /* of the counters that have had none yet */
    uint64_t seq;   /* of the last event that was made */
    struct event events[READ];
    char names[READ][NAME_BYTES];
};

static struct {
    struct feed feed;
    struct feed_user user;
    struct loop *loop;
    struct timer turn;
    bool opened;
    struct feed_read *reads;
    void (*closed)(void *ctx);
    void *closed_ctx;

    struct lane lanes[LANES];
    uint64_t random;
    uint32_t counters;
    int32_t *values;
    double made_us; /* the thread's CPU for making them */

    clockid_t thread;          /* the service's */
    atomic_uint_fast64_t made; /* events */
    atomic_uint reading;       /* lanes; none: all wait for a commit */
    atomic_bool over;
} source;

static double now_us(clockid_t clock) {
    struct timespec at;

    clock_gettime(clock, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
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

static double random_share(void) {
    return (double)(random_next(&source.random) >> 11) * 0x1p-53;
}

/* Ranks of a Zipf distribution by rejection: no table (Devroye 1986, X.6.1). */
static uint32_t zipf(double s) {
    double b = pow(2, s - 1);

    for (;;) {
        double u = 1 - random_share();
        double x = floor(pow(u, -1 / (s - 1)));
        double t = pow(1 + 1 / x, s - 1);

        if (x <= source.counters && random_share() * x * (t - 1) / (b - 1) <= t / b)
            return (uint32_t)x - 1;
    }
}

static void fill_rings(bool uniform) {
    uint32_t filled[LANES] = {0};

    for (unsigned i = 0; i < LANES; i++) {
        source.lanes[i].ring = take(RING, sizeof(uint32_t));
        source.lanes[i].first = i;
    }
    for (unsigned full = 0; full < LANES;) {
        uint32_t counter =
            uniform ? (uint32_t)(random_next(&source.random) % source.counters) : zipf(1.1);
        unsigned lane = counter % LANES; /* a counter is always in the same one */

        if (filled[lane] == RING)
            continue;
        source.lanes[lane].ring[filled[lane]++] = counter;
        full += filled[lane] == RING;
    }
}

static uint32_t next_counter(struct lane *lane) {
    uint32_t counter = lane->first;

    if (counter >= source.counters)
        return lane->ring[lane->at++ % RING];
    lane->first += LANES;
    return counter;
}

static void make_events(uint32_t number) {
    struct lane *lane = &source.lanes[number];
    double began_us = now_us(CLOCK_THREAD_CPUTIME_ID);
    int64_t at_ms = clock_wall_ms();

    for (size_t i = 0; i < READ; i++) {
        uint32_t counter = next_counter(lane);
        int len = snprintf(lane->names[i], NAME_BYTES, "r%" PRIu32, counter);

        lane->events[i] = (struct event){.lane = number,
                                         .at = {1, ++lane->seq},
                                         .kind = OP_ADD,
                                         .resource_id = slice_of(lane->names[i], (size_t)len),
                                         .counter_type = slice_str(types[counter % TYPES]),
                                         .delta = 1,
                                         .new_value = ++source.values[counter],
                                         .count = 1,
                                         .et_ms = at_ms};
    }
    source.made_us += now_us(CLOCK_THREAD_CPUTIME_ID) - began_us;
    atomic_fetch_add(&source.made, READ);
}

/* ---- as a feed ---- */

/* What found no room before comes again. */
static void give(struct feed_read *read) {
    struct lane *lane = &source.lanes[read->lane];
    bool over = atomic_load(&source.over) || source.closed;

    if (!over && read->after.seq == lane->seq)
        make_events(read->lane);
    size_t left = over ? 0 : (size_t)(lane->seq - read->after.seq);
    atomic_fetch_sub(&source.reading, 1);
    read->done(read, ERR_OK, lane->events + READ - left, left);
}

static void run_turn(struct timer *timer) {
    static const struct event_position none[LANES];
    struct feed_info info = {.store_id = STORE_ID, .lanes = LANES, .reported = none};
    struct feed_read *read = source.reads;

    (void)timer;
    source.reads = NULL;
    if (!source.opened)
        source.user.opened(source.user.ctx, ERR_OK, &info);
    source.opened = true;
    while (read) {
        struct feed_read *next = read->next;

        give(read);
        read = next;
    }
    if (source.closed)
        source.closed(source.closed_ctx);
}

static void feed_opens(struct feed *feed, const struct feed_user *user) {
    (void)feed;
    source.user = *user;
    timer_start(source.loop, &source.turn, 0);
}

static void feed_reads(struct feed *feed, struct feed_read *read) {
    (void)feed;
    read->next = source.reads;
    source.reads = read;
    atomic_fetch_add(&source.reading, 1);
    timer_start(source.loop, &source.turn, 0);
}

static void feed_reported(struct feed *feed, uint32_t lane, struct event_position at) {
    (void)feed, (void)lane, (void)at;
}

static struct event_position feed_ends(struct feed *feed, uint32_t lane) {
    (void)feed;
    return (struct event_position){1, source.lanes[lane].seq};
}

static void feed_closes(struct feed *feed, void (*closed)(void *ctx), void *ctx) {
    (void)feed;
    source.closed = closed;
    source.closed_ctx = ctx;
    timer_start(source.loop, &source.turn, 0);
}

static const struct feed_ops feed_ops = {
    .open = feed_opens,
    .read = feed_reads,
    .report = feed_reported,
    .end = feed_ends,
    .close = feed_closes,
};

/* On the service's thread. */
static struct feed *make_feed(void *ctx, struct loop *loop) {
    (void)ctx;
    (void)pthread_getcpuclockid(pthread_self(), &source.thread);
    source.feed.ops = &feed_ops;
    source.loop = loop;
    source.turn.fire = run_turn;
    return &source.feed;
}

static void release_feed(void *ctx) {
    (void)ctx;
}

/* ---- who asks ---- */

struct waits {
    const char *of;
    size_t count;
    double *us;
};

static struct {
    struct mailbox *home;
    struct analytics_port *one_port;
    struct analytics_port *flood_port;
    struct analytics_ask one;
    struct analytics_ask flood[FLOOD];
    uint64_t flooded; /* answers */
    uint64_t random;
    bool waits;
    bool over;
    unsigned under_way;
    size_t inexact;
    struct waits all, counting, committing, cpu;
} asker;

static void add(struct waits *waits, double us) {
    if (waits->count < ASKED_MAX)
        waits->us[waits->count++] = us;
}

static void on_answer(struct analytics_ask *ask) {
    must(ask->err, "top");
    asker.inexact += !ask->top_answer.certainty.exact;
    top_answer_release(&ask->top_answer);
    asker.under_way--;
    asker.waits = false;
}

static void send_one(struct analytics_port *port, struct analytics_ask *ask, uint32_t limit,
                     void (*done)(struct analytics_ask *ask)) {
    uint64_t random = random_next(&asker.random);

    *ask = (struct analytics_ask){.kind = ASK_TOP,
                                  .deadline_ms = clock_mono_ms() + DEADLINE_MS,
                                  .top = {slice_str(types[random % TYPES]),
                                          (enum time_range)(random / TYPES % RANGES), 0, limit},
                                  .done = done};
    must(analytics_ask(analytics_port_upstream(port), ask), "ask");
    asker.under_way++;
}

static void on_flood_answer(struct analytics_ask *ask) {
    must(ask->err, "top");
    top_answer_release(&ask->top_answer);
    asker.under_way--;
    asker.flooded++;
    if (!asker.over)
        send_one(asker.flood_port, ask, TOP_LIMIT_MAX, on_flood_answer);
}

static void wait_for_answer(void) {
    while (asker.waits) {
        mailbox_wait(asker.home, -1);
        (void)mailbox_drain(asker.home);
    }
}

static void ask_once(void) {
    struct waits *kind = atomic_load(&source.reading) ? &asker.counting : &asker.committing;
    double cpu_us = now_us(source.thread);
    double began_us = now_us(CLOCK_MONOTONIC);

    asker.waits = true;
    send_one(asker.one_port, &asker.one, 10, on_answer);
    wait_for_answer();
    double us = now_us(CLOCK_MONOTONIC) - began_us;
    add(&asker.cpu, now_us(source.thread) - cpu_us);
    add(&asker.all, us);
    add(kind, us);
}

static void ask_for(double seconds) {
    double end_us = now_us(CLOCK_MONOTONIC) + seconds * 1e6;

    while (now_us(CLOCK_MONOTONIC) < end_us) {
        ask_once();
        usleep(ASK_US);
        (void)mailbox_drain(asker.home);
    }
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_waits(struct waits *waits) {
    size_t n = waits->count;
    const double *us = waits->us;

    qsort(waits->us, n, sizeof(double), by_size);
    if (n)
        printf("top-10   %-42s n=%zu p50=%.2f p99=%.2f p99.9=%.2f max=%.1f ms\n", waits->of, n,
               us[n / 2] / 1e3, us[n * 99 / 100] / 1e3, us[n * 999 / 1000] / 1e3, us[n - 1] / 1e3);
}

static void init_asker(struct analytics_service *service) {
    asker.random = 5;
    asker.all.of = "by the clock, all";
    asker.counting.of = "by the clock, asked while events came";
    asker.committing.of = "by the clock, asked while a commit was awaited";
    asker.cpu.of = "CPU of the service's thread, all";
    struct waits *const all[] = {&asker.all, &asker.counting, &asker.committing, &asker.cpu};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        all[i]->us = take(ASKED_MAX, sizeof(double));
    asker.home = mailbox_new(4096);
    asker.one_port = analytics_port_new(service, asker.home, NULL, NULL);
    asker.flood_port = analytics_port_new(service, asker.home, NULL, NULL);
    if (!asker.home || !asker.one_port || !asker.flood_port)
        must(ERR_NO_MEMORY, "ports");
}

static void end_asker(void) {
    asker.over = true;
    while (asker.under_way) {
        mailbox_wait(asker.home, -1);
        (void)mailbox_drain(asker.home);
    }
    analytics_port_free(asker.one_port);
    analytics_port_free(asker.flood_port);
    mailbox_free(asker.home);
}

/* ---- the whole ---- */

static void wait_until_counted_once(const struct analytics_service *service, size_t resident) {
    double began_us = now_us(CLOCK_MONOTONIC);

    while (atomic_load(&source.made) < source.counters && analytics_answers(service))
        usleep(1000);
    must(analytics_answers(service) ? ERR_OK : ERR_UNAVAILABLE, "count");
    printf("counters %" PRIu32 " counted once in %.1f s, %.0f bytes of memory each\n",
           source.counters, (now_us(CLOCK_MONOTONIC) - began_us) / 1e6,
           (double)(resident_bytes() - resident) / source.counters);
}

static void run(double seconds, bool flood) {
    uint64_t made = atomic_load(&source.made);
    double made_us = source.made_us;
    double thread_us = now_us(source.thread);
    double process_us = now_us(CLOCK_PROCESS_CPUTIME_ID);
    double began_us = now_us(CLOCK_MONOTONIC);

    for (unsigned i = 0; flood && i < FLOOD; i++)
        send_one(asker.flood_port, &asker.flood[i], TOP_LIMIT_MAX, on_flood_answer);
    ask_for(seconds);
    seconds = (now_us(CLOCK_MONOTONIC) - began_us) / 1e6;
    made = atomic_load(&source.made) - made;
    made_us = source.made_us - made_us;
    thread_us = now_us(source.thread) - thread_us;
    process_us = now_us(CLOCK_PROCESS_CPUTIME_ID) - process_us;
    printf("ingest   %.0f events/s; the service's thread %.2f us of CPU an event, answers too, and "
           "%.2f for making it; the process %.2f\n",
           (double)made / seconds, (thread_us - made_us) / (double)made, made_us / (double)made,
           process_us / (double)made);
    if (flood)
        printf("flood    %.0f tops of %d a second\n", (double)asker.flooded / seconds,
               TOP_LIMIT_MAX);
}

struct slice_of {
    double cpu_us; /* the longest one */
    double wall_us;
};

struct moment {
    double us;
    double thread_us;
};

static struct moment now(void) {
    return (struct moment){now_us(CLOCK_MONOTONIC), now_us(CLOCK_THREAD_CPUTIME_ID)};
}

static struct moment slice_ends(struct slice_of *slice, struct moment since) {
    struct moment at = now();

    if (at.thread_us - since.thread_us > slice->cpu_us)
        slice->cpu_us = at.thread_us - since.thread_us;
    if (at.us - since.us > slice->wall_us)
        slice->wall_us = at.us - since.us;
    return at;
}

static void print_slice(const char *what, const struct slice_of *slice) {
    printf("longest  %s: %.2f ms CPU, %.1f ms by the clock\n", what, slice->cpu_us / 1e3,
           slice->wall_us / 1e3);
}

/* The clock runs on for an hour: what was counted leaves 1h, minute by minute. */
static void leave(struct analytics *analytics) {
    static struct top_answer answer;
    struct top_query query = {slice_str(types[0]), RANGE_1H, 0, 10};
    struct slice_of moves = {0, 0};
    struct slice_of steps = {0, 0};
    unsigned steps_count = 0;
    unsigned inexact = 0;
    double steps_us = 0;
    int64_t begin_ms = clock_wall_ms();

    for (int64_t ms = begin_ms; ms < begin_ms + HOUR_MS + HOUR_MS / 30; ms += HOUR_MS / 120) {
        struct moment at = now();

        must(analytics_move(analytics, ms), "move");
        at = slice_ends(&moves, at);
        for (; analytics_is_behind(analytics); steps_count++) {
            must(analytics_top(analytics, &query, &answer), "top");
            inexact += !answer.certainty.exact;
            at = now();
            must(analytics_catch_up(analytics), "catch up");
            steps_us += slice_ends(&steps, at).thread_us - at.thread_us;
        }
    }
    print_slice("move of the windows to the next minute, in the hour after", &moves);
    print_slice("step of rows that leave 1h then", &steps);
    printf("         of %u steps, %.2f ms CPU; of as many top-10s %u weren't exact\n", steps_count,
           steps_us / 1e3, inexact);
}

static void serve(struct rocks_tally *rocks, const struct analytics_conf *own, double seconds,
                  bool flood) {
    struct metrics *metrics = metrics_new(1);
    struct analytics_service *service = NULL;
    struct analytics_service_conf conf = {
        .store = rocks_tally_view(rocks),
        .analytics = *own,
        .feed = {.make = make_feed, .release = release_feed},
        .commit_ms = COMMIT_MS,
        .metrics = metrics,
    };
    size_t resident = resident_bytes();

    must(analytics_start(&conf, &service), "start");
    init_asker(service);
    wait_until_counted_once(service, resident);
    run(seconds, flood);
    atomic_store(&source.over, true);
    end_asker();
    analytics_stop(service);
    metrics_free(metrics);
    print_waits(&asker.all);
    print_waits(&asker.counting);
    print_waits(&asker.committing);
    print_waits(&asker.cpu);
    printf("         %zu of them weren't exact\n", asker.inexact);
}

static bool has(int argc, char **argv, const char *word) {
    for (int i = 4; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

int main(int argc, char **argv) {
    struct rocks_tally_conf conf = {16 << 20, 16 << 20};
    struct analytics_conf own = {
        .counters_max = UINT32_MAX / 4, .pending_max = PENDING, .hash_seed = {1, 2}};
    struct rocks_tally *rocks = NULL;
    struct analytics *analytics = NULL;
    const char *detail = NULL;
    bool uniform = has(argc, argv, "uniform");
    bool flood = has(argc, argv, "flood");

    if (argc < 4 || argc > 4 + uniform + flood) {
        fprintf(stderr, "usage: bench_analytics_top FOLDER COUNTERS SECONDS [uniform] [flood]\n");
        return 64;
    }
    source.counters = (uint32_t)strtoul(argv[2], NULL, 10);
    source.random = 20261126;
    source.values = take(source.counters, sizeof(*source.values));
    memset(source.values, 0, source.counters * sizeof(*source.values)); /* its pages, now */
    fill_rings(uniform);
    must(rocks_tally_open(argv[1], &conf, &rocks, &detail), detail);
    serve(rocks, &own, strtod(argv[3], NULL), flood);
    double began_us = now_us(CLOCK_MONOTONIC);
    must(analytics_open(rocks_tally_view(rocks), &own, clock_wall_ms(), &analytics), "open");
    printf("opened   again in %.1f s\n", (now_us(CLOCK_MONOTONIC) - began_us) / 1e6);
    leave(analytics);
    analytics_close(analytics);
    rocks_tally_close(rocks);
    return 0;
}
