/* A partition's way between two services, step by step, and back at any of them: whatever was left
 * half done, answers are exact again. The topic is in memory, and empty. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "analytics/internal.h"
#include "base/clock.h"
#include "edge/rocks_tally.h"
#include "test.h"

#define STORE_ID 77
#define LANES    4
#define OF       2 /* partitions */
#define MOVED    1
#define WAIT_MS  20000
#define ENDS     1000

/* ---- a topic without an event ---- */

struct topic {
    struct feed feed;
    struct loop *loop;
    struct feed_user user;
    bool reads[OF];
    struct feed_read *waiting[LANES];
    struct timer open;
    struct timer serve;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static struct topic *topic_of(struct feed *feed) {
    return CONTAINER_OF(feed, struct topic, feed);
}

static void opened(struct timer *timer) {
    static const struct event_position none[LANES];
    struct topic *topic = CONTAINER_OF(timer, struct topic, open);
    struct feed_info info = {.store_id = STORE_ID, .lanes = LANES, .reported = none};

    topic->user.opened(topic->user.ctx, ERR_OK, &info);
}

static void topic_open(struct feed *feed, const struct feed_user *user) {
    struct topic *topic = topic_of(feed);

    topic->user = *user;
    topic->open.fire = opened;
    timer_start(topic->loop, &topic->open, 0);
}

static void serve(struct timer *timer) {
    struct topic *topic = CONTAINER_OF(timer, struct topic, serve);

    for (unsigned i = 0; i < LANES; i++) {
        struct feed_read *read = topic->waiting[i];

        topic->waiting[i] = NULL;
        if (read)
            read->done(read, ERR_OK, NULL, 0);
    }
    if (topic->closed)
        topic->closed(topic->closed_ctx);
}

static void topic_read(struct feed *feed, struct feed_read *read) {
    struct topic *topic = topic_of(feed);

    topic->waiting[read->lane] = read;
    timer_start(topic->loop, &topic->serve, 0);
}

static void topic_report(struct feed *feed, uint32_t lane, struct event_position at) {
    (void)feed, (void)lane, (void)at;
}

static struct event_position topic_end(struct feed *feed, uint32_t lane) {
    (void)feed, (void)lane;
    return (struct event_position){0};
}

static void topic_close(struct feed *feed, void (*closed)(void *ctx), void *ctx) {
    struct topic *topic = topic_of(feed);

    timer_stop(topic->loop, &topic->open);
    topic->closed = closed;
    topic->closed_ctx = ctx;
    timer_start(topic->loop, &topic->serve, 0);
}

static uint32_t topic_count(struct feed *feed) {
    (void)feed;
    return OF;
}

static bool topic_reads(struct feed *feed, uint32_t number) {
    return topic_of(feed)->reads[number];
}

static bool topic_assign(struct feed *feed, uint32_t number, bool here) {
    topic_of(feed)->reads[number] = here;
    return true;
}

static int64_t topic_next(struct feed *feed, uint32_t number) {
    (void)feed, (void)number;
    return 0;
}

static void topic_place(struct feed *feed, uint64_t store_id, uint32_t number, int64_t next) {
    (void)feed, (void)number, (void)next;
    assert_int_equal(store_id, STORE_ID);
}

static const struct feed_partition_ops partition_ops = {
    .count = topic_count,
    .reads = topic_reads,
    .assign = topic_assign,
    .next = topic_next,
    .place = topic_place,
};

static const struct feed_ops topic_ops = {
    .open = topic_open,
    .read = topic_read,
    .report = topic_report,
    .end = topic_end,
    .close = topic_close,
    .partitions = &partition_ops,
};

static struct feed *make_feed(void *ctx, struct loop *loop) {
    struct topic *topic = ctx;

    topic->loop = loop;
    topic->serve.fire = serve;
    return &topic->feed;
}

static void release_feed(void *ctx) {
    (void)ctx; /* the side's */
}

/* ---- two services ---- */

struct side {
    const char *name;
    char folder[64];
    struct rocks_tally *rocks;
    struct metrics *metrics;
    struct topic topic;
    struct analytics_service *service;
    struct buf answer;
    struct handover_response last; /* points into the answer */
};

struct pair {
    struct side from;
    struct side to;
};

static void start(struct side *side, const char *name, bool reads) {
    struct rocks_tally_conf rocks = {1 << 20, 1 << 20};
    const char *detail = NULL;

    side->name = name;
    (void)snprintf(side->folder, sizeof(side->folder), "/tmp/hgp-handover-XXXXXX");
    assert_non_null(mkdtemp(side->folder));
    assert_int_equal(rocks_tally_open(side->folder, &rocks, &side->rocks, &detail), ERR_OK);
    side->metrics = metrics_new(1);
    side->topic = (struct topic){.feed.ops = &topic_ops, .reads = {reads, reads}};
    struct analytics_service_conf conf = {
        .store = rocks_tally_view(side->rocks),
        .analytics = {.counters_max = 100, .pending_max = 1024},
        .feed = {.ctx = &side->topic, .make = make_feed, .release = release_feed},
        .commit_ms = 10,
        .name = name,
        .metrics = side->metrics,
    };
    assert_int_equal(analytics_start(&conf, &side->service), ERR_OK);
}

static void stop(struct side *side) {
    char command[96];

    analytics_stop(side->service);
    rocks_tally_close(side->rocks);
    metrics_free(side->metrics);
    buf_release(&side->answer);
    (void)snprintf(command, sizeof(command), "rm -r %s", side->folder);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state) {
    struct pair *pair = calloc(1, sizeof(*pair));

    assert_non_null(pair);
    start(&pair->from, "from", true);
    start(&pair->to, "to", false);
    *state = pair;
    return 0;
}

static int tear_down(void **state) {
    struct pair *pair = *state;

    stop(&pair->from);
    stop(&pair->to);
    free(pair);
    return 0;
}

/* ---- steps ---- */

struct step_visit {
    struct side *side;
    struct handover_request request;
    enum err err;
};

static void run_step(void *ctx) {
    struct step_visit *visit = ctx;
    const char *detail = "";

    buf_clear(&visit->side->answer);
    visit->err = analytics_handover_step(visit->side->service, &visit->request,
                                         &visit->side->answer, &detail);
}

static enum err ask(struct side *side, struct handover_request request) {
    struct step_visit visit = {.side = side, .request = request};

    visit.request.partition = MOVED;
    assert_true(analytics_visit(side->service, run_step, &visit));
    if (visit.err == ERR_OK)
        assert_int_equal(handover_read_response(buf_slice(&side->answer), &side->last), ERR_OK);
    return visit.err;
}

static enum err step(struct side *side, enum handover_kind kind, const struct side *peer) {
    return ask(side, (struct handover_request){.kind = kind,
                                               .peer = slice_str(peer->name),
                                               .attempt = side->last.attempt});
}

static enum err arrive(struct pair *pair) {
    const struct handover_response *from = &pair->from.last;

    return ask(&pair->to, (struct handover_request){.kind = HANDOVER_ARRIVE,
                                                    .peer = slice_str(pair->from.name),
                                                    .of = from->of,
                                                    .moves = from->moves,
                                                    .store_id = from->store_id,
                                                    .lanes = from->lanes});
}

/* As `highgopress move` does, which is killed behind so many of its steps. */
static void move(struct pair *pair, unsigned steps) {
    struct side *from = &pair->from;
    struct side *to = &pair->to;

    assert_int_equal(step(from, HANDOVER_LOOK, to), ERR_OK);
    assert_int_equal(step(to, HANDOVER_LOOK, from), ERR_OK);
    if (steps > 0)
        assert_int_equal(step(from, HANDOVER_LEAVE, to), ERR_OK);
    if (steps > 1)
        assert_int_equal(arrive(pair), ERR_OK);
    if (steps > 2)
        assert_int_equal(step(to, HANDOVER_WIPE, from), ERR_OK);
    if (steps > 3)
        assert_int_equal(step(from, HANDOVER_READ, to), ERR_OK);
    if (steps > 4)
        assert_int_equal(step(to, HANDOVER_READY, from), ERR_OK);
    if (steps > 5)
        assert_int_equal(step(from, HANDOVER_RELEASE, to), ERR_OK);
    if (steps > 6)
        assert_int_equal(step(to, HANDOVER_OWN, from), ERR_OK);
}

#define STEPS_UNTIL_GONE 5
#define STEPS            7

static void cancel(struct pair *pair) {
    assert_int_equal(step(&pair->from, HANDOVER_LOOK, &pair->to), ERR_OK);
    assert_int_equal(step(&pair->to, HANDOVER_LOOK, &pair->from), ERR_OK);
    assert_int_equal(step(&pair->from, HANDOVER_KEEP, &pair->to), ERR_OK);
    if (pair->to.last.state >= PARTITION_ARRIVING)
        assert_int_equal(step(&pair->to, HANDOVER_KEEP, &pair->from), ERR_OK);
}

/* ---- what is answered ---- */

struct cover {
    struct side *side;
    struct coverage coverage;
};

static void cover(void *ctx) {
    struct cover *cover = ctx;

    cover->coverage = *analytics_coverage(cover->side->service);
}

/* Of both. */
static struct coverage coverage_of(struct pair *pair) {
    struct cover from = {.side = &pair->from};
    struct cover to = {.side = &pair->to};

    assert_true(analytics_visit(pair->from.service, cover, &from));
    assert_true(analytics_visit(pair->to.service, cover, &to));
    coverage_merge(&from.coverage, &to.coverage);
    return from.coverage;
}

/* At no step is the partition there twice, and where it isn't, that is said. */
static void test_each_partition_once(void **state) {
    struct pair *pair = *state;

    for (unsigned steps = 0; steps <= STEPS; steps++) {
        move(pair, steps);
        struct coverage coverage = coverage_of(pair);
        bool there = steps <= STEPS_UNTIL_GONE || steps == STEPS;

        assert_int_equal(coverage.of, OF);
        assert_false(coverage.unlike);
        assert_int_equal(coverage_doubled(&coverage), 0);
        assert_int_equal(coverage_missing(&coverage), there ? 0 : 1);
        assert_true(there || (coverage_is_missing(&coverage, MOVED) && coverage.moving));
        if (steps <= STEPS_UNTIL_GONE)
            cancel(pair);
    }
}

/* As configured, wrongly. */
static void test_both_read_it(void **state) {
    struct pair *pair = *state;

    pair->to.topic.reads[MOVED] = true;
    struct coverage coverage = coverage_of(pair);
    assert_int_equal(coverage_doubled(&coverage), 1);
    assert_true(coverage_is_doubled(&coverage, MOVED));
    assert_false(coverage_whole(&coverage));
}

struct look {
    struct side *side;
    bool exact;
};

static void look(void *ctx) {
    struct look *look = ctx;
    struct analytics *a = look->side->service->own.analytics;
    struct top_query query = {.counter_type = SLICE("like"), .range = RANGE_24H, .limit = 10};
    struct top_answer answer = {0};

    assert_int_equal(analytics_move(a, clock_wall_ms()), ERR_OK);
    assert_int_equal(analytics_top(a, &query, &answer), ERR_OK);
    look->exact = answer.certainty.exact;
    top_answer_release(&answer);
}

static void wait_exact(struct side *side, unsigned steps) {
    int64_t end_ms = clock_mono_ms() + WAIT_MS;
    struct look now = {side, false};

    while (analytics_visit(side->service, look, &now) && !now.exact)
        if (clock_mono_ms() > end_ms)
            fail_msg("cancelled behind step %u, '%s' is never exact again", steps, side->name);
}

static void test_cancelled_behind_any_step(void **state) {
    struct pair *pair = *state;

    for (unsigned steps = 0; steps <= STEPS_UNTIL_GONE; steps++) {
        move(pair, steps);
        cancel(pair);
        assert_true(topic_reads(&pair->from.topic.feed, MOVED));
        assert_false(topic_reads(&pair->to.topic.feed, MOVED));
        wait_exact(&pair->from, steps);
        wait_exact(&pair->to, steps);
    }
}

static void test_moved_and_not_to_be_cancelled(void **state) {
    struct pair *pair = *state;

    move(pair, STEPS);
    assert_false(topic_reads(&pair->from.topic.feed, MOVED));
    assert_true(topic_reads(&pair->to.topic.feed, MOVED));
    wait_exact(&pair->from, STEPS);
    wait_exact(&pair->to, STEPS);
    assert_int_equal(step(&pair->from, HANDOVER_KEEP, &pair->to), ERR_LOCKED);
}

/* What a killed command had sent may be read behind the cancel. */
static void test_a_step_that_comes_late(void **state) {
    struct pair *pair = *state;

    move(pair, 0);
    uint64_t attempt = pair->from.last.attempt;
    cancel(pair);
    assert_int_equal(ask(&pair->from, (struct handover_request){.kind = HANDOVER_LEAVE,
                                                                .peer = slice_str(pair->to.name),
                                                                .attempt = attempt}),
                     ERR_LOCKED);
    assert_true(topic_reads(&pair->from.topic.feed, MOVED));
    move(pair, STEPS); /* one that has looked since may */
}

/* A loop that ends as soon as it has begun: the first word of it may still be on its way. */
static void test_who_asks_leaves_at_once(void **state) {
    struct pair *pair = *state;
    struct mailbox *home = mailbox_new(4);

    assert_non_null(home);
    for (unsigned i = 0; i < ENDS; i++)
        analytics_port_free(analytics_port_new(pair->from.service, home, NULL, NULL));
    wait_exact(&pair->from, 0);
    mailbox_free(home);
}

static void never(void *ctx, bool answers) {
    (void)ctx, (void)answers;
    fail();
}

/* And so may what it was to be told, which nobody is there to hear. */
static void test_who_leaves_is_told_nothing(void **state) {
    struct pair *pair = *state;
    struct mailbox *home = mailbox_new(2);

    assert_non_null(home);
    for (unsigned i = 0; i < 2; i++)
        analytics_port_free(analytics_port_new(pair->from.service, home, never, NULL));
    assert_int_equal(mailbox_drain(home), 2);
    analytics_port_free(analytics_port_new(pair->from.service, home, never, NULL));
    mailbox_free(home);
}

struct stopped {
    struct analytics_service *service;
    bool answers;
};

static void break_it(void *ctx) {
    struct stopped *stopped = ctx;

    analytics_break(stopped->service, "a test", ERR_IO);
    analytics_consumer(stopped->service).empty(stopped->service);
    stopped->answers = analytics_answers(stopped->service);
}

static void test_what_has_stopped_has_no_answers(void **state) {
    struct pair *pair = *state;
    struct stopped stopped = {pair->from.service, true};

    assert_true(analytics_visit(pair->from.service, break_it, &stopped));
    assert_false(stopped.answers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cancelled_behind_any_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moved_and_not_to_be_cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_step_that_comes_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_partition_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_read_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_asks_leaves_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_leaves_is_told_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_has_stopped_has_no_answers, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
