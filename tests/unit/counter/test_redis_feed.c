/* test_redis_feed.c - a real Redis's events for a consumer: order, positions, leases, a full
 * outbox. */
#include <stdio.h>
#include <stdlib.h>

#include "counter/redis_feed.h"
#include "edge/redis_conn.h"
#include "edge/redis_script.h"
#include "redis_world.h"

#define LANES 4

/* One of a consumer's instances: reads all it may, and reports it where 'reports'. */
struct reader {
    struct redis_feed *feed;
    struct world *world;
    bool shares;
    bool reports;
    unsigned opened;
    unsigned closed;
    struct feed_read reads[LANES];
    bool reading[LANES];
    bool mine[LANES];
    struct event_position at[LANES];
    enum err err[LANES];
    uint64_t events;
    int64_t sum;
    char last_type[32];
};

static struct world world;
static const char *reader_owner;

struct condition {
    struct timer timer;
    bool (*so)(void *ctx);
    void *ctx;
};

static void on_condition(struct timer *timer) {
    struct condition *condition = CONTAINER_OF(timer, struct condition, timer);

    if (condition->so(condition->ctx))
        loop_stop(world.loop);
    else
        timer_start(world.loop, timer, 2);
}

static void until(bool (*so)(void *ctx), void *ctx) {
    struct condition condition = {.timer.fire = on_condition, .so = so, .ctx = ctx};

    timer_start(world.loop, &condition.timer, 0);
    assert_int_equal(loop_run(world.loop), ERR_OK);
    timer_stop(world.loop, &condition.timer);
}

/* ---- a lane's node that is away while others aren't ---- */

static unsigned reports_refused; /* the next ones */

enum err __real_redis_store_ask(struct redis_store *store, uint16_t slot,
                                struct redis_request *request, struct slice command);
enum err __wrap_redis_store_ask(struct redis_store *store, uint16_t slot,
                                struct redis_request *request, struct slice command);

enum err __wrap_redis_store_ask(struct redis_store *store, uint16_t slot,
                                struct redis_request *request, struct slice command) {
    bool report = memmem(command.ptr, command.len, redis_script_tidy.sha1, 40) != NULL;

    if (!report || reports_refused == 0)
        return __real_redis_store_ask(store, slot, request, command);
    reports_refused--;
    return ERR_UNAVAILABLE;
}

/* ---- the consumer ---- */

static void read_on(struct reader *reader, uint32_t lane) {
    if (reader->reading[lane] || !reader->mine[lane])
        return;
    reader->reading[lane] = true;
    reader->reads[lane].after = reader->at[lane];
    feed_read(redis_feed_base(reader->feed), &reader->reads[lane]);
}

static struct reader *reader_of(struct feed_read *read) {
    struct feed_read *first = read - read->lane;

    return CONTAINER_OF(first, struct reader, reads);
}

static void on_events(struct feed_read *read, enum err err, const struct event *events,
                      size_t count) {
    struct reader *reader = reader_of(read);
    uint32_t lane = read->lane;

    reader->reading[lane] = false;
    reader->err[lane] = err;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(events[i].lane, lane);
        assert_true(events[i].at.seq == reader->at[lane].seq + 1); /* none left out */
        reader->at[lane] = events[i].at;
        reader->events++;
        reader->sum += events[i].delta;
        (void)snprintf(reader->last_type, sizeof(reader->last_type), "%.*s",
                       SLICE_ARGS(events[i].counter_type));
    }
    if (count && reader->reports)
        feed_report(redis_feed_base(reader->feed), lane, reader->at[lane]);
    if (count)
        read_on(reader, lane);
}

static void on_more(void *ctx) {
    for (uint32_t i = 0; i < LANES; i++)
        read_on(ctx, i);
}

static void on_opened(void *ctx, enum err err, const struct feed_info *info) {
    struct reader *reader = ctx;

    assert_int_equal(err, ERR_OK);
    assert_int_equal(info->lanes, LANES);
    assert_true(info->shared == reader->shares);
    reader->opened++;
    for (uint32_t i = 0; i < LANES && !reader->shares; i++) {
        reader->mine[i] = true;
        reader->at[i] = info->reported[i];
        read_on(reader, i);
    }
}

static void on_assigned(void *ctx, uint32_t lane, const struct event_position *at) {
    struct reader *reader = ctx;

    reader->mine[lane] = at != NULL;
    if (!at)
        return;
    reader->at[lane] = *at;
    read_on(reader, lane);
}

static void on_closed(void *ctx) {
    ((struct reader *)ctx)->closed++;
    loop_stop(world.loop);
}

static void open_reader(struct reader *reader, const char *name, bool shares) {
    struct feed_user user = {.ctx = reader,
                             .opened = on_opened,
                             .more = on_more,
                             .assigned = shares ? on_assigned : NULL};

    *reader = (struct reader){.world = &world, .shares = shares, .reports = true};
    for (uint32_t i = 0; i < LANES; i++)
        reader->reads[i] = (struct feed_read){.lane = i, .max_bytes = 1 << 16, .done = on_events};
    reader->feed = redis_feed_new(world.fleet, name, reader_owner, world.loop, 1);
    assert_non_null(reader->feed);
    feed_open(redis_feed_base(reader->feed), &user);
    assert_int_equal(reader->opened, 0); /* never inside */
}

static void close_reader(struct reader *reader) {
    feed_close(redis_feed_base(reader->feed), on_closed, reader);
    assert_int_equal(reader->closed, 0); /* never inside */
    assert_int_equal(loop_run(world.loop), ERR_OK);
    assert_int_equal(reader->closed, 1);
    redis_feed_free(reader->feed);
}

/* ---- the store ---- */

static int setup(void **state) {
    (void)state;
    world_open(&world, world_always);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    world_close(&world);
    return 0;
}

static long long ask(const char *format, ...) {
    redisContext *client = redis_fixture_connect(&world.server);
    va_list args;

    va_start(args, format);
    redisReply *reply = redisvCommand(client, format, args);
    va_end(args);
    assert_non_null(reply);
    long long got = reply->type == REDIS_REPLY_INTEGER  ? reply->integer
                    : reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10)
                                                        : -1;
    freeReplyObject(reply);
    redisFree(client);
    return got;
}

static long long entries(void) {
    long long sum = 0;

    for (int lane = 0; lane < LANES; lane++)
        sum += ask("XLEN hgp:{%d}:o", lane);
    return sum;
}

static void count_up(size_t operations) {
    world.pending = operations;
    world_run(&world, operations);
}

static bool outbox_is_empty(void *ctx) {
    (void)ctx;
    return entries() == 0;
}

static bool all_counted(void *ctx) {
    return ((struct reader *)ctx)->sum == (int64_t)world.answered;
}

static unsigned lanes_of(const struct reader *reader) {
    unsigned count = 0;

    for (uint32_t i = 0; i < LANES; i++)
        count += reader->mine[i];
    return count;
}

static bool has_all(void *ctx) {
    return lanes_of(ctx) == LANES;
}

static bool has_half(void *ctx) {
    return lanes_of(ctx) == LANES / 2;
}

static bool is_open(void *ctx) {
    return ((struct reader *)ctx)->opened == 1;
}

/* ---- tests ---- */

static void test_everything_comes_once_and_goes_when_reported(void **state) {
    struct reader reader;
    struct op op = world_add_op("x:y", 3);

    (void)state;
    world_start(&world);
    count_up(500); /* before anybody reads: kept for who comes */
    open_reader(&reader, "test", false);
    until(all_counted, &reader);
    count_up(500);
    until(all_counted, &reader);
    until(outbox_is_empty, NULL);
    assert_int_equal(ask("HGET hgp:{0}:m bytes"), 0);
    assert_int_equal(ask("HGET hgp:{0}:m consumers"), 1);

    op.counter_type = SLICE("a:b%c");
    world_ask(&world, &op);
    world_run(&world, 1);
    reader.sum -= 2;
    until(all_counted, &reader);
    assert_string_equal(reader.last_type, "a:b%c");
    close_reader(&reader);
}

static void test_a_consumer_goes_on_behind_what_it_reported(void **state) {
    struct reader first;
    struct reader second;

    (void)state;
    world_start(&world);
    count_up(100);
    open_reader(&first, "test", false);
    until(all_counted, &first);
    close_reader(&first); /* reports what is due */
    count_up(50);
    open_reader(&second, "test", false);
    second.sum = first.sum;
    until(all_counted, &second);
    close_reader(&second);
}

/* Nothing comes behind it that would bring it along. */
static void test_a_last_report_that_can_t_be_sent_is_sent_later(void **state) {
    struct reader reader;

    (void)state;
    world_start(&world);
    open_reader(&reader, "test", false);
    until(is_open, &reader);
    reports_refused = 3 * LANES;
    count_up(100);
    until(all_counted, &reader);
    until(outbox_is_empty, NULL);
    assert_int_equal(reports_refused, 0);
    close_reader(&reader);
}

/* The end doesn't wait for a node that is away, and nothing is left to come later. */
static void test_a_report_that_can_t_be_sent_at_the_end(void **state) {
    struct reader reader;

    (void)state;
    world_start(&world);
    open_reader(&reader, "test", false);
    until(is_open, &reader);
    reports_refused = UINT32_MAX;
    count_up(100);
    until(all_counted, &reader);
    close_reader(&reader);
    count_up(100); /* the loop turns */
    reports_refused = 0;
    assert_true(entries() > 0);
}

/* Registered once, it holds the outbox, whatever age and bytes say; and so does the slower of two.
 */
static void test_what_is_not_reported_stays(void **state) {
    struct reader slow;
    struct reader fast;

    (void)state;
    world.conf.outbox_max_age_ms = 0;
    world_start(&world);
    open_reader(&slow, "slow", false);
    slow.reports = false;
    open_reader(&fast, "fast", false);
    until(is_open, &slow);
    until(is_open, &fast);
    count_up(300);
    until(all_counted, &fast);
    close_reader(&fast);
    assert_true(entries() > 0);
    until(all_counted, &slow);
    for (uint32_t i = 0; i < LANES; i++)
        feed_report(redis_feed_base(slow.feed), i, slow.at[i]);
    until(outbox_is_empty, NULL);
    close_reader(&slow);
}

static void test_instances_share_the_lanes(void **state) {
    struct reader one;
    struct reader two;

    (void)state;
    world_start(&world);
    open_reader(&one, "test", true);
    until(has_all, &one);
    count_up(100);
    open_reader(&two, "test", true);
    until(has_half, &two);
    until(has_half, &one);
    for (uint32_t i = 0; i < LANES; i++)
        assert_true(one.mine[i] != two.mine[i]);
    count_up(100);
    until(outbox_is_empty, NULL);
    assert_true(one.sum + two.sum >= (int64_t)world.answered); /* a handover may repeat some */
    close_reader(&one);
    until(has_all, &two);
    count_up(100);
    until(outbox_is_empty, NULL);
    close_reader(&two);
}

static void test_all_or_none_waits_for_its_turn(void **state) {
    struct reader one;
    struct reader two;

    (void)state;
    world_start(&world);
    open_reader(&one, "test", false);
    until(is_open, &one);
    open_reader(&two, "test", false);
    count_up(100);
    until(all_counted, &one);
    assert_int_equal(two.opened, 0);
    close_reader(&one);
    until(is_open, &two);
    two.sum = one.sum;
    count_up(100);
    until(all_counted, &two);
    close_reader(&two);
}

/* A consumer with state: nobody else's state goes on behind it, dead or alive. */
static void test_what_an_owner_has_read_is_nobody_elses(void **state) {
    struct reader mine;
    struct reader other;

    (void)state;
    world_start(&world);
    reader_owner = "mine";
    open_reader(&mine, "test", false);
    until(is_open, &mine);
    count_up(10);
    until(all_counted, &mine);
    close_reader(&mine);
    reader_owner = "other";
    open_reader(&other, "test", false);
    count_up(10);
    reader_owner = "mine";
    open_reader(&mine, "test", false);
    mine.sum = 10;
    until(all_counted, &mine);
    assert_int_equal(other.opened, 0);
    close_reader(&other);
    close_reader(&mine);
    reader_owner = NULL;
}

static enum err said(const struct reader *reader) {
    for (uint32_t i = 0; i < LANES; i++)
        if (!reader->reading[i] && reader->err[i] != ERR_OK)
            return reader->err[i];
    return ERR_OK;
}

static bool some_lane_says(void *ctx) {
    return said(ctx) != ERR_OK;
}

static void test_a_gap_is_told_and_not_skipped(void **state) {
    struct reader reader;

    (void)state;
    world_start(&world);
    count_up(200);
    open_reader(&reader, "test", false);
    until(is_open, &reader);
    until(all_counted, &reader);
    close_reader(&reader);
    count_up(200);
    for (int lane = 0; lane < LANES; lane++)
        (void)ask("XTRIM hgp:{%d}:o MAXLEN 1", lane);
    count_up(1);
    open_reader(&reader, "test", false);
    until(some_lane_says, &reader);
    assert_int_equal(said(&reader), ERR_TRIMMED);
    close_reader(&reader);
}

static void test_a_position_beyond_the_end_is_refused(void **state) {
    struct reader reader;

    (void)state;
    world_start(&world);
    open_reader(&reader, "test", false);
    until(is_open, &reader);
    reader.at[0].seq += 5;
    read_on(&reader, 0);
    until(some_lane_says, &reader);
    assert_int_equal(said(&reader), ERR_INVALID);
    close_reader(&reader);
}

static bool has_read(void *ctx) {
    return !((struct reader *)ctx)->reading[0];
}

/* What takes the place of another's state goes on where that one was, which may be behind what this
 * feed has heard of by then. */
static void test_where_another_feed_was_is_no_position_beyond_the_end(void **state) {
    struct reader reader;

    (void)state;
    world_start(&world);
    open_reader(&reader, "test", false);
    until(is_open, &reader);
    until(has_read, &reader);
    (void)ask("HSET hgp:{0}:m seq 5");
    reader.at[0].seq = 5;
    read_on(&reader, 0);
    until(has_read, &reader);
    assert_int_equal(said(&reader), ERR_OK);
    (void)ask("HSET hgp:{0}:m seq 4");
    until(some_lane_says, &reader);
    assert_int_equal(said(&reader), ERR_INVALID);
    close_reader(&reader);
}

static int64_t wanted;

static bool has_read_wanted(void *ctx) {
    return ((struct reader *)ctx)->sum == wanted;
}

/* Restored from an older copy, say: its numbers will be used again, for other events. A report on
 * its way is of those that are gone: at its word it would trim the others, unread. */
static void test_a_redis_that_went_back_is_told(void **state) {
    struct reader reader;

    (void)state;
    world_start(&world);
    open_reader(&reader, "test", false);
    reader.reports = false;
    count_up(50);
    until(all_counted, &reader);
    for (uint32_t lane = 0; lane < LANES; lane++) {
        (void)ask("HSET hgp:{%u}:m seq 0 bytes 0", lane);
        (void)ask("DEL hgp:{%u}:o", lane);
        feed_report(redis_feed_base(reader.feed), lane, reader.at[lane]);
    }
    until(some_lane_says, &reader);
    assert_int_equal(said(&reader), ERR_INVALID);
    close_reader(&reader);
    count_up(20);
    open_reader(&reader, "test", false);
    wanted = 20;
    until(has_read_wanted, &reader);
    close_reader(&reader);
}

static void test_a_redis_that_is_killed_and_comes_back(void **state) {
    struct reader reader;

    (void)state;
    world_start(&world);
    open_reader(&reader, "test", false);
    until(is_open, &reader);
    for (int round = 0; round < 3; round++) {
        count_up(100);
        redis_fixture_kill(&world.server);
        redis_fixture_again(&world.server);
    }
    count_up(100);
    until(all_counted, &reader);
    until(outbox_is_empty, NULL);
    close_reader(&reader);
}

static bool says_full(const struct one *one) {
    return one->answer.err == ERR_OUTBOX_FULL;
}

static void test_a_full_outbox_refuses_writes_until_it_is_reported(void **state) {
    struct reader reader;
    struct op op = world_add_op("a", 1);
    struct op read = {.kind = OP_GET, .resource_id = SLICE("a"), .counter_type = SLICE("like")};

    (void)state;
    world.conf.outbox_max_bytes = 4 * 2048;
    world_start(&world);
    open_reader(&reader, "test", false);
    reader.reports = false;
    until(is_open, &reader);
    do {
        world_ask(&world, &op);
        world_run(&world, 1);
    } while (!says_full(&world.ones[world.asked - 1]) && world.asked < 1000);
    assert_true(says_full(&world.ones[world.asked - 1]));
    int64_t counted = wanted = (int64_t)world.asked - 1;
    world_ask(&world, &read);
    world_ask(&world, &op);
    world_run(&world, 2);
    assert_int_equal(world.ones[world.asked - 2].answer.err, ERR_OK);
    assert_true(world.ones[world.asked - 2].answer.value == counted); /* nothing was changed */
    assert_true(says_full(&world.ones[world.asked - 1]));
    assert_true(
        metrics_sum(world.metrics, metrics_series(world.metrics, METRIC_OUTBOX_REFUSED, "")) >= 2);
    until(has_read_wanted, &reader);
    for (uint32_t i = 0; i < LANES; i++)
        feed_report(redis_feed_base(reader.feed), i, reader.at[i]);
    until(outbox_is_empty, NULL);
    world_ask(&world, &op);
    world_run(&world, 1);
    assert_int_equal(world.ones[world.asked - 1].answer.err, ERR_OK);
    close_reader(&reader);
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_everything_comes_once_and_goes_when_reported),
        TEST(test_a_consumer_goes_on_behind_what_it_reported),
        TEST(test_a_last_report_that_can_t_be_sent_is_sent_later),
        TEST(test_a_report_that_can_t_be_sent_at_the_end),
        TEST(test_what_is_not_reported_stays),
        TEST(test_instances_share_the_lanes),
        TEST(test_all_or_none_waits_for_its_turn),
        TEST(test_what_an_owner_has_read_is_nobody_elses),
        TEST(test_a_gap_is_told_and_not_skipped),
        TEST(test_a_position_beyond_the_end_is_refused),
        TEST(test_where_another_feed_was_is_no_position_beyond_the_end),
        TEST(test_a_redis_that_went_back_is_told),
        TEST(test_a_redis_that_is_killed_and_comes_back),
        TEST(test_a_full_outbox_refuses_writes_until_it_is_reported),
    };
    struct redis_fixture server;

    if (!redis_fixture_start(&server, false, NULL))
        return 77; /* no redis-server here: skipped */
    redis_fixture_stop(&server);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
