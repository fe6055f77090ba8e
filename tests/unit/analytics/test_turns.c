/* Who asks while thousands of events are counted is answered between them, not behind them; where
 * many ask, events are counted between the answers. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "analytics/internal.h"
#include "base/clock.h"
#include "edge/rocks_tally.h"
#include "test.h"

#define STORE_ID 77
#define EVENTS   20000 /* given at once, as a topic's; or so many */
#define READ     128   /* in each turn */
#define WAIT_MS  20000

/* Of a thousand places each: more than a millisecond for IN_A_ROW of them. */
#define CROWD    100
#define IN_A_ROW 20
#define PORT_MAX 256

/* For what is pending, twice; and more values than that. */
#define ROOM   1000
#define VALUES 2500

/* ---- a source that gives all at once, when it is told to ---- */

struct source {
    struct feed feed;
    struct loop *loop;
    struct feed_user user;
    struct timer open;
    struct timer serve;
    struct feed_read *read;
    struct event *events;
    char (*names)[8];
    unsigned given;
    unsigned stands_at; /* given, until it is told to go on */
    unsigned at_once;   /* given behind that, in each turn */
    sem_t stands;
    sem_t go;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static struct source *source_of(struct feed *feed) {
    return CONTAINER_OF(feed, struct source, feed);
}

static void opened(struct timer *timer) {
    static const struct event_position none;
    struct source *source = CONTAINER_OF(timer, struct source, open);
    struct feed_info info = {.store_id = STORE_ID, .lanes = 1, .reported = &none};

    source->user.opened(source->user.ctx, ERR_OK, &info);
}

static void source_open(struct feed *feed, const struct feed_user *user) {
    struct source *source = source_of(feed);

    source->user = *user;
    source->open.fire = opened;
    timer_start(source->loop, &source->open, 0);
}

/* Stands still until the question has been asked: it waits when the events are given. */
static unsigned next_events(struct source *source) {
    unsigned left = EVENTS - source->given;

    if (source->given < source->stands_at)
        return source->stands_at;
    if (source->given == source->stands_at) {
        sem_post(&source->stands);
        while (sem_wait(&source->go) != 0)
            ;
    }
    return left < source->at_once ? left : source->at_once;
}

static void serve(struct timer *timer) {
    struct source *source = CONTAINER_OF(timer, struct source, serve);
    struct feed_read *read = source->read;
    unsigned count = read && !source->closed ? next_events(source) : 0;

    source->read = NULL;
    source->given += count;
    if (read)
        read->done(read, ERR_OK, source->events + source->given - count, count);
    if (source->closed)
        source->closed(source->closed_ctx);
}

static void source_read(struct feed *feed, struct feed_read *read) {
    struct source *source = source_of(feed);

    source->read = read;
    timer_start(source->loop, &source->serve, 0);
}

static void source_report(struct feed *feed, uint32_t lane, struct event_position at) {
    (void)feed, (void)lane, (void)at;
}

static struct event_position source_end(struct feed *feed, uint32_t lane) {
    (void)feed, (void)lane;
    return (struct event_position){1, EVENTS};
}

static void source_close(struct feed *feed, void (*closed)(void *ctx), void *ctx) {
    struct source *source = source_of(feed);

    source->closed = closed;
    source->closed_ctx = ctx;
    timer_start(source->loop, &source->serve, 0);
}

static const struct feed_ops source_ops = {
    .open = source_open,
    .read = source_read,
    .report = source_report,
    .end = source_end,
    .close = source_close,
};

static struct feed *make_feed(void *ctx, struct loop *loop) {
    struct source *source = ctx;

    source->loop = loop;
    source->serve.fire = serve;
    return &source->feed;
}

static void release_feed(void *ctx) {
    (void)ctx; /* the rig's */
}

/* ---- a store whose commits end when they are told to ---- */

struct gated {
    struct tally_store store;
    struct tally_store *inner;
    struct tally_batch gate;
    struct tally_batch *batch;
    atomic_bool closed;
    sem_t open;
};

static struct gated *gated_of(struct tally_store *store) {
    return CONTAINER_OF(store, struct gated, store);
}

static enum err gated_get(struct tally_store *store, struct slice key, struct buf *out) {
    struct tally_store *inner = gated_of(store)->inner;

    return inner->ops->get(inner, key, out);
}

static struct tally_cursor *gated_cursor(struct tally_store *store, struct slice from,
                                         struct slice to) {
    struct tally_store *inner = gated_of(store)->inner;

    return inner->ops->cursor(inner, from, to);
}

static enum err gated_scan(struct tally_store *store, struct slice from, struct slice to,
                           bool (*take)(void *ctx, struct slice key, struct slice value),
                           void *ctx) {
    struct tally_store *inner = gated_of(store)->inner;

    return inner->ops->scan(inner, from, to, take, ctx);
}

static enum err gated_fill(struct tally_batch *batch, struct tally_store *store) {
    struct gated *gated = CONTAINER_OF(batch, struct gated, gate);

    while (atomic_load(&gated->closed) && sem_wait(&gated->open) != 0)
        ;
    return gated->batch->fill(gated->batch, store);
}

static void gated_ended(struct tally_batch *batch) {
    struct gated *gated = CONTAINER_OF(batch, struct gated, gate);

    gated->batch->ended(gated->batch);
}

static void gated_begin(struct tally_store *store, struct tally_batch *batch) {
    struct gated *gated = gated_of(store);

    gated->batch = batch;
    gated->inner->ops->begin(gated->inner, &gated->gate);
}

static enum err gated_end(struct tally_store *store, bool wait) {
    struct tally_store *inner = gated_of(store)->inner;

    return inner->ops->end(inner, wait);
}

static void gate(struct gated *gated, struct tally_store *inner) {
    static struct tally_store_ops ops;

    ops = *inner->ops; /* walk, close; what fills is given the inner one */
    ops.get = gated_get;
    ops.cursor = gated_cursor;
    ops.scan = gated_scan;
    ops.begin = gated_begin;
    ops.end = gated_end;
    gated->store.ops = &ops;
    gated->inner = inner;
    gated->gate = (struct tally_batch){gated_fill, gated_ended};
    (void)sem_init(&gated->open, 0, 0);
}

/* ---- a service, and one who asks ---- */

struct rig {
    char folder[64];
    struct rocks_tally *rocks;
    struct gated gated;
    struct metrics *metrics;
    struct source source;
    struct analytics_service *service;
    struct mailbox *home;
    struct analytics_port *port;
    unsigned answers;
    unsigned late_at; /* answers before the late one */
};

static void make_events(struct source *source) {
    source->events = calloc(EVENTS, sizeof(*source->events));
    assert_non_null(source->events);
    for (unsigned i = 0; i < EVENTS; i++)
        source->events[i] = (struct event){.at = {1, i + 1},
                                           .kind = OP_ADD,
                                           .resource_id = SLICE("a"),
                                           .counter_type = SLICE("like"),
                                           .delta = 1,
                                           .new_value = i + 1,
                                           .count = 1,
                                           .et_ms = clock_wall_ms()};
}

/* Of as many counters: half of them at first, then a few in each turn. */
static void spread_events(struct source *source) {
    source->names = calloc(EVENTS, sizeof(*source->names));
    assert_non_null(source->names);
    for (unsigned i = 0; i < EVENTS; i++) {
        int len = snprintf(source->names[i], sizeof(source->names[i]), "%u", i);

        source->events[i].resource_id = slice_of(source->names[i], (size_t)len);
        source->events[i].new_value = 1;
    }
    source->stands_at = EVENTS / 2;
    source->at_once = READ;
}

/* Crowded: many counters. Or with little room for what is pending, and commits that don't end. */
static int start(void **state, bool crowded, bool gated) {
    struct rig *rig = calloc(1, sizeof(*rig));
    struct rocks_tally_conf rocks = {1 << 20, 1 << 20};
    const char *detail = NULL;

    assert_non_null(rig);
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/hgp-turns-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    assert_int_equal(rocks_tally_open(rig->folder, &rocks, &rig->rocks, &detail), ERR_OK);
    rig->metrics = metrics_new(1);
    rig->source.feed.ops = &source_ops;
    (void)sem_init(&rig->source.stands, 0, 0);
    (void)sem_init(&rig->source.go, 0, 0);
    make_events(&rig->source);
    rig->source.at_once = EVENTS;
    if (crowded)
        spread_events(&rig->source);
    gate(&rig->gated, rocks_tally_view(rig->rocks));
    atomic_store(&rig->gated.closed, gated);
    struct analytics_service_conf conf = {
        .store = &rig->gated.store,
        .analytics = {.counters_max = EVENTS, .pending_max = gated ? ROOM : 8 * EVENTS},
        .feed = {.ctx = &rig->source, .make = make_feed, .release = release_feed},
        .commit_ms = 10,
        .metrics = rig->metrics,
    };
    assert_int_equal(analytics_start(&conf, &rig->service), ERR_OK);
    rig->home = mailbox_new(1024);
    assert_non_null(rig->home);
    rig->port = analytics_port_new(rig->service, rig->home, NULL, NULL);
    assert_non_null(rig->port);
    *state = rig;
    return 0;
}

static int set_up(void **state) {
    return start(state, false, false);
}

static int set_up_crowd(void **state) {
    return start(state, true, false);
}

static int set_up_gated(void **state) {
    return start(state, false, true);
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    char command[96];

    analytics_port_free(rig->port);
    analytics_stop(rig->service);
    mailbox_free(rig->home);
    rocks_tally_close(rig->rocks);
    metrics_free(rig->metrics);
    sem_destroy(&rig->gated.open);
    sem_destroy(&rig->source.stands);
    sem_destroy(&rig->source.go);
    free(rig->source.events);
    free(rig->source.names);
    (void)snprintf(command, sizeof(command), "rm -r %s", rig->folder);
    assert_int_equal(system(command), 0);
    free(rig);
    return 0;
}

static void done(struct analytics_ask *ask) {
    struct rig *rig = ask->ctx;

    if (ask->err == ERR_DEADLINE)
        rig->late_at = rig->answers;
    rig->answers++;
}

static void ask(struct rig *rig, struct analytics_ask *ask) {
    ask->deadline_ms = clock_mono_ms() + WAIT_MS;
    ask->done = done;
    ask->ctx = rig;
    assert_int_equal(analytics_ask(analytics_port_upstream(rig->port), ask), ERR_OK);
}

static void wait_for(struct rig *rig, unsigned answers) {
    int64_t until_ms = clock_mono_ms() + WAIT_MS;

    while (rig->answers < answers && clock_mono_ms() < until_ms) {
        mailbox_wait(rig->home, 100);
        (void)mailbox_drain(rig->home);
    }
    assert_int_equal(rig->answers, answers);
}

static const struct top_query top = {{"like", 4}, RANGE_1H, 0, 10};
static const struct stats_query stats = {{"a", 1}, {"like", 4}, RANGE_1H};

/* Both kinds, and both are exact as of where counting was. */
static void test_answered_between_events(void **state) {
    struct rig *rig = *state;
    static struct analytics_ask asks[2];

    asks[0] = (struct analytics_ask){.kind = ASK_TOP, .top = top};
    asks[1] = (struct analytics_ask){.kind = ASK_STATS, .stats = stats};
    ask(rig, &asks[0]);
    ask(rig, &asks[1]);
    sem_post(&rig->source.go);
    wait_for(rig, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(asks[i].err, ERR_OK);
        assert_true(asks[i].lag > 0);
    }
    int64_t counted = asks[0].top_answer.count ? top_item(&asks[0].top_answer, 0)->tally.sum : 0;
    assert_true(asks[0].top_answer.certainty.exact);
    assert_int_equal(counted + (int64_t)asks[0].lag, EVENTS);
    assert_int_equal(asks[1].stats_answer.total.sum + (int64_t)asks[1].lag, EVENTS);
    top_answer_release(&asks[0].top_answer);
}

/* One question after the other, as fast as they are answered: all events are counted once. */
static void test_a_flood_of_questions(void **state) {
    struct rig *rig = *state;
    static struct analytics_ask one;
    uint64_t lag = EVENTS;

    for (unsigned i = 1; lag && i < EVENTS; i++) {
        one = (struct analytics_ask){.kind = ASK_TOP, .top = top};
        ask(rig, &one);
        if (i == 1)
            sem_post(&rig->source.go);
        wait_for(rig, i);
        assert_int_equal(one.err, ERR_OK);
        lag = one.lag;
        int64_t counted = one.top_answer.count ? top_item(&one.top_answer, 0)->tally.sum : 0;
        assert_int_equal(counted + (int64_t)lag, EVENTS);
        top_answer_release(&one.top_answer);
    }
    assert_int_equal(lag, 0);
}

/* ---- more questions than there is time for ---- */

static struct analytics_ask crowd[CROWD];

static void ask_crowd(struct rig *rig) {
    static const struct top_query long_one = {{"like", 4}, RANGE_1H, 0, TOP_LIMIT_MAX};

    while (sem_wait(&rig->source.stands) != 0)
        ;
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = (struct analytics_ask){.kind = ASK_TOP, .top = long_one};
        ask(rig, &crowd[i]);
    }
}

/* Each turn counts some events and answers some questions. */
static void test_events_between_questions(void **state) {
    struct rig *rig = *state;
    unsigned in_a_row = 1;
    unsigned longest = 1;

    ask_crowd(rig);
    sem_post(&rig->source.go);
    wait_for(rig, CROWD);
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(crowd[i].err, ERR_OK);
        if (i > 0 && crowd[i].lag > 0) {
            assert_true(crowd[i].lag <= crowd[i - 1].lag); /* in the order of asking */
            in_a_row = crowd[i].lag == crowd[i - 1].lag ? in_a_row + 1 : 1;
            longest = in_a_row > longest ? in_a_row : longest;
        }
        top_answer_release(&crowd[i].top_answer);
    }
    assert_true(longest <= IN_A_ROW);
}

/* Whose deadline passes while others are answered hears so then, not when its turn comes. */
static void test_late_before_its_turn(void **state) {
    static struct analytics_ask late;
    struct rig *rig = *state;

    ask_crowd(rig);
    late = (struct analytics_ask){.kind = ASK_TOP, .top = top};
    ask(rig, &late);
    late.deadline_ms = clock_mono_ms() + 1;
    sem_post(&rig->source.go);
    wait_for(rig, CROWD + 1);
    assert_int_equal(late.err, ERR_DEADLINE);
    assert_true(rig->late_at < CROWD);
    for (unsigned i = 0; i < CROWD; i++)
        top_answer_release(&crowd[i].top_answer);
}

/* Of what a port may have under way the last one is answered, one more is refused. */
static void test_refused_behind_the_last(void **state) {
    static struct analytics_ask one_more;
    static struct analytics_ask rest[PORT_MAX - CROWD];
    struct rig *rig = *state;

    ask_crowd(rig);
    for (unsigned i = 0; i < PORT_MAX - CROWD; i++) {
        rest[i] = (struct analytics_ask){.kind = ASK_TOP, .top = top};
        ask(rig, &rest[i]);
    }
    assert_int_equal(analytics_ask(analytics_port_upstream(rig->port), &one_more), ERR_BUSY);
    sem_post(&rig->source.go);
    wait_for(rig, PORT_MAX);
    for (unsigned i = 0; i < CROWD; i++)
        top_answer_release(&crowd[i].top_answer);
    for (unsigned i = 0; i < PORT_MAX - CROWD; i++) {
        assert_int_equal(rest[i].err, ERR_OK);
        top_answer_release(&rest[i].top_answer);
    }
}

/* ---- while a commit is under way ---- */

static void *put_values(void *arg) {
    static char names[VALUES][8];
    static struct counter_value values[VALUES];
    struct rig *rig = arg;

    for (unsigned i = 0; i < VALUES; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "v%u", i);

        values[i] =
            (struct counter_value){slice_of(names[i], (size_t)len), slice_str("like"), i + 1};
    }
    assert_int_equal(analytics_begin_values(rig->service), ERR_OK);
    assert_int_equal(analytics_put_values(rig->service, values, VALUES), ERR_OK);
    assert_int_equal(analytics_end_values(rig->service), ERR_OK);
    return NULL;
}

static size_t counters_now(struct rig *rig) {
    static const struct top_query all = {{"like", 4}, RANGE_ALL, 0, TOP_REACH_MAX};
    static struct analytics_ask one;

    one = (struct analytics_ask){.kind = ASK_TOP, .top = all};
    ask(rig, &one);
    wait_for(rig, rig->answers + 1);
    assert_int_equal(one.err, ERR_OK);
    size_t count = one.top_answer.count;
    top_answer_release(&one.top_answer);
    return count;
}

/* Values of the store that find no room wait for a commit; who asks doesn't. */
static void test_answered_while_values_wait(void **state) {
    struct rig *rig = *state;
    pthread_t putter;

    sem_post(&rig->source.go);
    assert_int_equal(pthread_create(&putter, NULL, put_values, rig), 0);
    while (counters_now(rig) < ROOM - 1)
        ;
    assert_true(counters_now(rig) < VALUES);
    atomic_store(&rig->gated.closed, false);
    sem_post(&rig->gated.open);
    assert_int_equal(pthread_join(putter, NULL), 0);
    assert_int_equal(counters_now(rig), VALUES + 1);
    assert_false(analytics_lacks_values(rig->service));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answered_between_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_flood_of_questions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_between_questions, set_up_crowd, tear_down),
        cmocka_unit_test_setup_teardown(test_late_before_its_turn, set_up_crowd, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_behind_the_last, set_up_crowd, tear_down),
        cmocka_unit_test_setup_teardown(test_answered_while_values_wait, set_up_gated, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
