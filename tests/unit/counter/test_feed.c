/* test_feed.c - the embedded store's events for a consumer: order, durability, waking, restart. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "counter/feed.h"
#include "edge/rocks_kv.h"
#include "loop/mailbox.h"
#include "test.h"

#define WAIT_MS 10000

struct world {
    char dir[64];
    struct rocks_kv *rocks;
    struct metrics *metrics;
    struct counter_service *service;
    struct counter_conf conf;
    struct mailbox *home; /* this thread's, the consumer's loop */
    struct counter_port *port;
    struct feed *feed;
    struct counter_feed *counter_feed;
    uint64_t number;
    /* what came */
    unsigned opened;
    struct event_position start;
    unsigned more;
    bool closed;
    bool delivered;
    bool read_done;
    enum err err;
    size_t count;
    struct event first;
    struct event last;
};

static struct world world;

/* ---- the store ---- */

static void on_failed(void *ctx) {
    (void)ctx;
    abort();
}

static void on_delivered(void *ctx, struct delivery *delivery) {
    (void)delivery;
    ((struct world *)ctx)->delivered = true;
}

static void start(struct world *w) {
    static const struct rocks_kv_conf rocks_conf = {1 << 20, 1 << 20};
    const char *detail = "";

    if (rocks_kv_open(w->dir, &rocks_conf, &w->rocks, &detail) != ERR_OK)
        fail_msg("%s", detail);
    w->conf.kv = rocks_kv_view(w->rocks);
    w->conf.scanner = rocks_kv_scanner(w->rocks);
    if (counter_start(&w->conf, &w->service, &detail) != ERR_OK)
        fail_msg("%s", detail);
    w->home = mailbox_new(64);
    w->port = counter_port_new(w->service, w->home, on_delivered, w);
    assert_true(w->home && w->port);
}

static void stop(struct world *w) {
    counter_stop(w->service);
    counter_port_free(w->port);
    mailbox_free(w->home);
    rocks_kv_close(w->rocks);
}

static int setup(void **state) {
    world = (struct world){.metrics = metrics_new(1)};
    snprintf(world.dir, sizeof(world.dir), "/tmp/hgp-feed-XXXXXX");
    assert_non_null(mkdtemp(world.dir));
    world.conf = (struct counter_conf){
        .applier = {.lanes = 1,
                    .key_ttl_ms = 3600000,
                    .outbox_max_bytes = 1 << 30,
                    .outbox_max_age_ms = 86400000,
                    .cache_counters = 1000,
                    .coalesce = true,
                    .hash_seed = {11, 22}},
        .durability = DURABILITY_LOCAL,
        .metrics = world.metrics,
        .on_failed = on_failed,
    };
    start(&world);
    *state = &world;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state) {
    struct world *w = *state;

    stop(w);
    metrics_free(w->metrics);
    nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static void restart(struct world *w, enum durability durability) {
    stop(w);
    w->conf.durability = durability;
    start(w);
}

/* Runs the consumer's "loop" until it is so. */
static void wait_for(struct world *w, const bool *flag) {
    int64_t until_ms = clock_mono_ms() + WAIT_MS;

    while (!*flag) {
        assert_true(clock_mono_ms() < until_ms);
        mailbox_wait(w->home, 100);
        (void)mailbox_drain(w->home);
    }
}

/* One message of 'count' increments of as many counters; waits for its answers. */
static void write_events(struct world *w, unsigned count) {
    static const struct producer_id producer = {1, 2};
    char names[64][8];
    struct op ops[64];
    struct answer answers[64];
    int64_t now_ms = clock_mono_ms() + counter_clock_ahead_ms(w->service);

    assert_true(count <= ARRAY_LEN(ops));
    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "c%u", i);
        ops[i] = (struct op){OP_ADD, 1, slice_str(names[i]), SLICE("like"), {NULL, 0}};
    }
    struct message message = {producer, ++w->number, now_ms, ops, count};
    struct delivery delivery = {.message = &message, .answers = answers};
    struct upstream *upstream = counter_port_upstream(w->port);
    w->delivered = false;
    assert_int_equal(upstream->send(upstream, &delivery), ERR_OK);
    wait_for(w, &w->delivered);
    assert_int_equal(delivery.err, ERR_OK);
    assert_int_equal(answers[0].err, ERR_OK);
}

/* ---- the consumer ---- */

static void on_opened(void *ctx, enum err err, const struct feed_info *info) {
    struct world *w = ctx;

    assert_int_equal(err, ERR_OK);
    assert_int_equal(info->lanes, 1);
    assert_true(info->store_id == counter_store_id(w->service));
    w->start = info->reported[0];
    w->opened++;
}

static void on_more(void *ctx) {
    ((struct world *)ctx)->more++;
}

static void on_closed(void *ctx) {
    ((struct world *)ctx)->closed = true;
}

static void open_feed(struct world *w) {
    struct feed_user user = {.ctx = w, .opened = on_opened, .more = on_more};
    bool opened = false;

    w->counter_feed = counter_feed_new(w->service, "test", w->home);
    assert_non_null(w->counter_feed);
    w->feed = counter_feed_base(w->counter_feed);
    w->opened = 0;
    feed_open(w->feed, &user);
    assert_int_equal(w->opened, 0); /* never inside */
    while (!opened) {
        mailbox_wait(w->home, 100);
        (void)mailbox_drain(w->home);
        opened = w->opened > 0;
    }
}

static void close_feed(struct world *w) {
    w->closed = false;
    feed_close(w->feed, on_closed, w);
    wait_for(w, &w->closed);
    counter_feed_free(w->counter_feed);
}

static void on_read(struct feed_read *read, enum err err, const struct event *events,
                    size_t count) {
    (void)read;
    world.read_done = true;
    world.err = err;
    world.count = count;
    if (count) {
        world.first = events[0];
        world.last = events[count - 1];
    }
}

/* How many events came. */
static size_t read_after(struct world *w, uint64_t seq) {
    struct feed_read read = {.after = {1, seq}, .max_bytes = 1 << 20, .done = on_read};

    w->read_done = false;
    feed_read(w->feed, &read);
    assert_false(w->read_done); /* never inside */
    wait_for(w, &w->read_done);
    assert_int_equal(w->err, ERR_OK);
    return w->count;
}

static uint64_t metric(const struct world *w, enum metric family) {
    return metrics_sum(w->metrics, metrics_series(w->metrics, family, ""));
}

/* ---- tests ---- */

static void test_events_come_in_order_and_again_until_reported(void **state) {
    struct world *w = *state;

    write_events(w, 3);
    open_feed(w);
    write_events(w, 2);
    assert_int_equal(read_after(w, 0), 5);
    assert_true(w->first.at.seq == 1 && w->last.at.seq == 5 && w->last.new_value == 2);
    close_feed(w);
    restart(w, DURABILITY_LOCAL);
    open_feed(w);
    assert_true(w->start.seq == 0);
    assert_int_equal(read_after(w, 0), 5);
    close_feed(w);
}

static void test_a_report_is_kept_over_a_restart_and_trims(void **state) {
    struct world *w = *state;

    open_feed(w);
    write_events(w, 5);
    write_events(w, 5);
    feed_report(w->feed, 0, (struct event_position){1, 5});
    close_feed(w); /* stores what is under way first */
    restart(w, DURABILITY_LOCAL);
    assert_int_equal(metric(w, METRIC_OUTBOX_TRIMMED), 5);
    open_feed(w);
    assert_true(w->start.seq == 5);
    assert_int_equal(read_after(w, 5), 5);
    close_feed(w);
}

static void test_more_comes_once_after_an_empty_read(void **state) {
    struct world *w = *state;
    bool woken = false;

    open_feed(w);
    assert_int_equal(read_after(w, 0), 0);
    assert_int_equal(w->more, 0);
    write_events(w, 1);
    while (!woken) {
        mailbox_wait(w->home, 100);
        (void)mailbox_drain(w->home);
        woken = w->more > 0;
    }
    write_events(w, 1);
    write_events(w, 1);
    assert_int_equal(w->more, 1); /* not asleep: nobody calls */
    assert_int_equal(read_after(w, 0), 3);
    close_feed(w);
}

/* The answer leaves at once, the event only with the fsync that follows. */
static void test_in_mode_fast_only_synced_events_are_seen(void **state) {
    struct world *w = *state;
    bool woken = false;

    restart(w, DURABILITY_FAST);
    open_feed(w);
    int64_t before_ms = clock_mono_ms();
    assert_int_equal(read_after(w, 0), 0);
    write_events(w, 4);
    bool at_once = read_after(w, 0) != 0;
    int64_t after_ms = clock_mono_ms();
    /* On a machine that stood still for a second the fsync may have come in between. */
    assert_true(!at_once || after_ms - before_ms >= FAST_SYNC_MS);
    while (!woken) {
        mailbox_wait(w->home, 100);
        (void)mailbox_drain(w->home);
        woken = w->more > 0;
    }
    assert_true(clock_mono_ms() - before_ms >= FAST_SYNC_MS);
    assert_int_equal(read_after(w, 0), 4);
    close_feed(w);
}

static void test_positions_of_a_consumer_are_told(void **state) {
    struct world *w = *state;
    struct event_position at[1] = {{0, 0}};
    struct event_position reported = {.epoch = 1, .seq = 3};

    assert_int_equal(counter_consumer_at(w->service, "test", at, 1), ERR_NOT_FOUND);
    open_feed(w);
    write_events(w, 5);
    feed_report(w->feed, 0, reported);
    close_feed(w); /* behind the report */
    assert_int_equal(counter_consumer_at(w->service, "test", at, 1), ERR_OK);
    assert_int_equal(at[0].seq, 3);
    assert_int_equal(counter_consumer_at(w->service, "test", at, 2), ERR_LAYOUT);
}

static void test_a_forgotten_consumer_holds_nothing(void **state) {
    struct world *w = *state;

    open_feed(w);
    close_feed(w);
    write_events(w, 5);
    assert_int_equal(metric(w, METRIC_OUTBOX_CONSUMERS), 1);
    assert_int_equal(counter_forget_consumer(w->service, "test"), ERR_OK);
    write_events(w, 1);
    assert_int_equal(metric(w, METRIC_OUTBOX_CONSUMERS), 0);
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_events_come_in_order_and_again_until_reported),
        TEST(test_a_report_is_kept_over_a_restart_and_trims),
        TEST(test_more_comes_once_after_an_empty_read),
        TEST(test_in_mode_fast_only_synced_events_are_seen),
        TEST(test_positions_of_a_consumer_are_told),
        TEST(test_a_forgotten_consumer_holds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
