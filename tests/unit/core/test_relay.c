/* test_relay.c - order, gaplessness and bounds, over a feed and a sink in memory. */
#include <stdlib.h>

#include "core/relay.h"
#include "test.h"

#define LANES     3
#define EVENTS    64 /* per lane at most */
#define IN_FLIGHT 8

struct world {
    struct feed feed;
    struct feed_user user;
    struct feed_read *reads[LANES]; /* under way */
    enum err fail[LANES];           /* what the lane's next reads say */
    uint64_t end[LANES];
    uint64_t reported[LANES];
    struct event_position start[LANES];
    unsigned read_events; /* how many one read gives */

    struct relay *relay;
    struct relay_slot *slots[4 * EVENTS]; /* with the sink, oldest first */
    size_t slots_count;
    size_t most;
    uint64_t arrived[LANES]; /* the highest that was ever produced */
    uint64_t next[LANES];    /* what must come next since the last resume */
    unsigned opened;
    unsigned stopped;
    struct event_position stopped_at;
    enum err stopped_err;
    bool work;
    bool refuse; /* produce() has no room */
};

static struct world world;

/* ---- the feed ---- */

static void fake_open(struct feed *feed, const struct feed_user *user) {
    (void)feed;
    world.user = *user;
}

static void fake_read(struct feed *feed, struct feed_read *read) {
    (void)feed;
    assert_null(world.reads[read->lane]); /* one at a time */
    world.reads[read->lane] = read;
}

static void fake_report(struct feed *feed, uint32_t lane, struct event_position at) {
    (void)feed;
    assert_true(at.epoch == 1 && at.seq == world.reported[lane] + 1); /* gapless */
    world.reported[lane] = at.seq;
}

static struct event_position fake_end(struct feed *feed, uint32_t lane) {
    (void)feed;
    return (struct event_position){1, world.end[lane]};
}

static const struct feed_ops feed_ops = {
    .open = fake_open, .read = fake_read, .report = fake_report, .end = fake_end};

static void answer_read(uint32_t lane) {
    struct feed_read *read = world.reads[lane];
    struct event events[EVENTS];
    size_t count = 0;

    if (!read)
        return;
    world.reads[lane] = NULL;
    for (uint64_t seq = read->after.seq + 1; seq <= world.end[lane] && count < world.read_events;
         seq++)
        events[count++] = (struct event){
            .lane = lane, .at = {1, seq}, .et_ms = (int64_t)(1000 * lane + seq), .count = 1};
    read->done(read, world.fail[lane], events, world.fail[lane] == ERR_OK ? count : 0);
}

/* ---- the sink ---- */

static void on_opened(void *ctx, enum err err, const struct feed_info *info) {
    (void)ctx;
    assert_int_equal(err, ERR_OK);
    assert_int_equal(info->lanes, LANES);
    world.opened++;
}

static bool on_produce(void *ctx, const struct event *event, struct relay_slot *slot) {
    (void)ctx;
    if (world.refuse)
        return false;
    assert_true(event->at.seq == world.next[event->lane]); /* in order, none left out */
    world.next[event->lane]++;
    world.arrived[event->lane] = event->at.seq;
    world.slots[world.slots_count++] = slot;
    if (world.slots_count > world.most)
        world.most = world.slots_count;
    return true;
}

static void on_stopped(void *ctx, uint32_t lane, struct event_position at, enum err err) {
    (void)ctx;
    (void)lane;
    world.stopped++;
    world.stopped_at = at;
    world.stopped_err = err;
}

static void on_work(void *ctx) {
    (void)ctx;
    world.work = true;
}

/* ---- what happens ---- */

static void resume(void) {
    world.slots_count = 0;
    for (uint32_t i = 0; i < LANES; i++)
        world.next[i] = world.reported[i] + 1;
    relay_resume(world.relay);
}

static int setup(void **state) {
    static const struct relay_sink sink = {
        .opened = on_opened, .produce = on_produce, .stopped = on_stopped, .work = on_work};

    world = (struct world){.feed = {&feed_ops}, .read_events = EVENTS};
    for (uint32_t i = 0; i < LANES; i++)
        world.start[i].epoch = 1;
    world.relay = relay_new(&world.feed, &sink, IN_FLIGHT);
    assert_non_null(world.relay);
    relay_open(world.relay);
    world.user.opened(world.user.ctx, ERR_OK,
                      &(struct feed_info){.store_id = 1, .lanes = LANES, .reported = world.start});
    assert_int_equal(world.opened, 1);
    *state = &world;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    relay_free(world.relay);
    return 0;
}

/* Until nobody has anything to do. */
static void settle(void) {
    bool busy = true;

    while (busy) {
        busy = world.work;
        world.work = false;
        relay_pump(world.relay);
        for (uint32_t i = 0; i < LANES; i++) {
            busy |= world.reads[i] != NULL;
            answer_read(i);
        }
        busy &= !world.refuse;
    }
}

static void add_events(uint32_t lane, unsigned count) {
    world.end[lane] += count;
    world.user.more(world.user.ctx);
}

/* The sink confirms its 'count' oldest. */
static void confirm(size_t count) {
    assert_true(count <= world.slots_count);
    for (size_t i = 0; i < count; i++)
        assert_true(relay_acked(world.relay, world.slots[i]));
    world.slots_count -= count;
    memmove(world.slots, world.slots + count, world.slots_count * sizeof(*world.slots));
}

static struct relay_stats stats(void) {
    struct relay_stats out;

    relay_stats(world.relay, &out);
    return out;
}

/* ---- tests ---- */

static void test_ships_in_order_and_reports_what_is_confirmed(void **state) {
    (void)state;
    add_events(1, 3);
    resume();
    settle();
    assert_int_equal(world.slots_count, 3);
    assert_true(world.reported[1] == 0);
    assert_true(stats().lag_events == 3 && stats().in_flight == 3 && stats().oldest_ms == 1001);
    confirm(2);
    assert_true(world.reported[1] == 2);
    assert_true(stats().lag_events == 1 && stats().oldest_ms == 1003);
    confirm(1);
    assert_true(stats().lag_events == 0 && stats().oldest_ms == INT64_MAX);
    assert_true(stats().shipped_total == 3);
}

static void test_what_is_in_flight_is_bounded(void **state) {
    (void)state;
    for (uint32_t i = 0; i < LANES; i++)
        add_events(i, 20);
    resume();
    settle();
    assert_int_equal(world.slots_count, IN_FLIGHT);
    while (stats().lag_events > 0) {
        confirm(world.slots_count > 3 ? 3 : world.slots_count);
        settle();
    }
    assert_int_equal(world.most, IN_FLIGHT);
    for (uint32_t i = 0; i < LANES; i++)
        assert_true(world.reported[i] == 20);
}

static void test_nothing_is_asked_while_all_is_shipped(void **state) {
    (void)state;
    resume();
    settle();
    relay_pump(world.relay);
    for (uint32_t i = 0; i < LANES; i++)
        assert_null(world.reads[i]);
    add_events(2, 1);
    assert_true(world.work);
    settle();
    assert_int_equal(world.slots_count, 1);
}

static void test_a_lost_sink_gets_everything_again_from_the_confirmed(void **state) {
    (void)state;
    add_events(0, 6);
    resume();
    settle();
    confirm(2);
    relay_pause(world.relay);
    assert_true(stats().in_flight == 0 && stats().lag_events == 4);
    resume();
    settle();
    assert_int_equal(world.slots_count, 4); /* 3 ... 6: on_produce() checks */
    confirm(4);
    assert_true(world.reported[0] == 6);
}

/* Its answer is for a position that isn't wanted any more. */
static void test_a_read_from_before_the_loss_is_not_shipped(void **state) {
    (void)state;
    world.read_events = 2;
    add_events(0, 6);
    resume();
    relay_pump(world.relay);
    answer_read(0); /* 1, 2 */
    relay_pump(world.relay);
    assert_non_null(world.reads[0]); /* behind 2 */
    relay_pause(world.relay);
    resume();
    settle();
    confirm(world.slots_count);
    settle();
    confirm(world.slots_count);
    assert_true(world.reported[0] == 6);
}

static void test_a_confirmation_out_of_order_is_noticed(void **state) {
    (void)state;
    add_events(0, 3);
    resume();
    settle();
    assert_false(relay_acked(world.relay, world.slots[1]));
    assert_true(world.reported[0] == 0);
    relay_pause(world.relay);
    resume();
    settle();
    confirm(3);
    assert_true(world.reported[0] == 3);
}

static void test_a_gap_stops_its_lane_and_no_other(void **state) {
    (void)state;
    add_events(0, 2);
    resume();
    settle();
    confirm(2);
    world.fail[0] = ERR_TRIMMED;
    add_events(0, 2);
    add_events(1, 2);
    settle();
    assert_int_equal(world.stopped, 1);
    assert_int_equal(world.stopped_err, ERR_TRIMMED);
    assert_true(world.stopped_at.seq == 2 && stats().lanes_stopped == 1);
    world.fail[0] = ERR_OK;
    relay_pause(world.relay);
    resume();
    add_events(0, 2);
    settle();
    assert_true(world.arrived[0] == 2 && world.arrived[1] == 2); /* never skipped */
    confirm(world.slots_count);
}

static void test_a_store_that_is_away_is_asked_again_when_it_says_so(void **state) {
    (void)state;
    world.fail[0] = ERR_UNAVAILABLE;
    add_events(0, 2);
    resume();
    settle();
    assert_int_equal(world.slots_count, 0);
    assert_int_equal(world.stopped, 0);
    world.fail[0] = ERR_OK;
    relay_pump(world.relay);
    assert_null(world.reads[0]);
    world.user.more(world.user.ctx);
    settle();
    assert_int_equal(world.slots_count, 2);
}

static void test_a_sink_without_room_is_tried_again(void **state) {
    (void)state;
    add_events(0, 2);
    world.refuse = true;
    resume();
    settle();
    assert_int_equal(world.slots_count, 0);
    assert_true(world.work); /* and it asks for another turn by itself */
    world.refuse = false;
    settle();
    assert_int_equal(world.slots_count, 2);
}

/* Lanes come and go; in between somebody else ships them. */
static void test_a_lane_that_is_anothers_is_left_alone(void **state) {
    struct event_position at = {1, 4};

    (void)state;
    add_events(0, 3);
    resume();
    settle();
    world.user.assigned(world.user.ctx, 0, NULL);
    assert_true(stats().lag_events == 0);
    add_events(0, 3);
    settle();
    assert_int_equal(world.slots_count, 3); /* what was sent before, */
    confirm(3);
    assert_true(world.reported[0] == 3); /* is confirmed all the same */

    world.reported[0] = at.seq; /* by the other one */
    world.next[0] = at.seq + 1;
    world.user.assigned(world.user.ctx, 0, &at);
    settle();
    assert_int_equal(world.slots_count, 2);
    assert_true(world.arrived[0] == 6 && stats().lag_events == 2);
    confirm(2);
}

/* The other one was quicker, or this one comes back before Kafka has answered. */
static void test_a_lane_that_comes_back_goes_on_where_it_was(void **state) {
    struct event_position behind = {1, 1};
    struct event_position ahead = {1, 5};

    (void)state;
    add_events(0, 3);
    resume();
    settle();
    world.user.assigned(world.user.ctx, 0, NULL);
    world.user.assigned(world.user.ctx, 0, &behind);
    settle();
    assert_int_equal(world.slots_count, 3); /* not sent again */
    world.user.assigned(world.user.ctx, 0, NULL);
    add_events(0, 4);
    world.next[0] = ahead.seq + 1;
    world.user.assigned(world.user.ctx, 0, &ahead);
    settle();
    assert_true(world.slots_count == 5 && world.arrived[0] == 7);
    relay_pause(world.relay);
    world.reported[0] = ahead.seq; /* what a lost sink gets again begins there */
    resume();
    settle();
    assert_int_equal(world.slots_count, 2);
    confirm(2);
}

static void test_a_drain_reads_no_more_and_still_confirms(void **state) {
    (void)state;
    add_events(0, 2);
    resume();
    settle();
    relay_drain(world.relay);
    add_events(0, 2);
    settle();
    assert_int_equal(world.slots_count, 2);
    confirm(2);
    assert_true(world.reported[0] == 2 && stats().lag_events == 2);
}

/* Sinks that are lost at any moment, reads that come in any order: every event of every lane is
 * confirmed in the end, in order and without a gap (fake_report() and on_produce() check). */
/* Of what is there and isn't sent, in lanes that are read. */
static void test_is_behind_by_what_a_read_gives(void **state) {
    (void)state;
    assert_false(relay_behind(world.relay));
    world.end[0] = 256;
    world.end[1] = 255;
    assert_false(relay_behind(world.relay));
    world.end[1] = 256;
    assert_true(relay_behind(world.relay));
    world.user.assigned(world.user.ctx, 1, NULL);
    assert_false(relay_behind(world.relay));
    world.end[0] = 512 + IN_FLIGHT;
    assert_true(relay_behind(world.relay));
    resume();
    relay_pump(world.relay);
    answer_read(0); /* as many as there is room for */
    assert_int_equal(world.slots_count, IN_FLIGHT);
    world.end[0]--;
    assert_false(relay_behind(world.relay));
    confirm(IN_FLIGHT);

    world.end[2] = 512;
    assert_true(relay_behind(world.relay));
    world.fail[2] = ERR_TRIMMED;
    relay_pump(world.relay);
    answer_read(2);
    assert_false(relay_behind(world.relay)); /* nothing more comes of a lane that has stopped */
}

static void test_random_losses(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++) {
        unsigned random = seed;

        (void)teardown(NULL);
        (void)setup(&(void *){NULL});
        resume();
        for (unsigned step = 0; step < 400; step++) {
            uint32_t lane = (uint32_t)rand_r(&random) % LANES;

            switch (rand_r(&random) % 6) {
            case 0:
                if (world.end[lane] < EVENTS)
                    add_events(lane, 1);
                break;
            case 1:
                relay_pump(world.relay);
                break;
            case 2:
                world.read_events = 1 + (unsigned)rand_r(&random) % 5;
                answer_read(lane);
                break;
            case 3:
                confirm(world.slots_count ? (size_t)rand_r(&random) % world.slots_count : 0);
                break;
            case 4:
                if (rand_r(&random) % 8 == 0) {
                    relay_pause(world.relay);
                    world.slots_count = 0;
                    if (rand_r(&random) % 2)
                        answer_read(lane);
                    resume();
                }
                break;
            default:
                world.refuse = rand_r(&random) % 4 == 0;
                break;
            }
        }
        world.refuse = false;
        world.read_events = EVENTS;
        while (stats().lag_events > 0) {
            settle();
            confirm(world.slots_count);
        }
        assert_true(world.most <= IN_FLIGHT);
        for (uint32_t i = 0; i < LANES; i++)
            if (world.reported[i] != world.end[i])
                fail_msg("seed %u, lane %u", seed, i);
    }
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ships_in_order_and_reports_what_is_confirmed),
        TEST(test_what_is_in_flight_is_bounded),
        TEST(test_nothing_is_asked_while_all_is_shipped),
        TEST(test_a_lost_sink_gets_everything_again_from_the_confirmed),
        TEST(test_a_read_from_before_the_loss_is_not_shipped),
        TEST(test_a_confirmation_out_of_order_is_noticed),
        TEST(test_a_gap_stops_its_lane_and_no_other),
        TEST(test_a_store_that_is_away_is_asked_again_when_it_says_so),
        TEST(test_a_sink_without_room_is_tried_again),
        TEST(test_a_lane_that_is_anothers_is_left_alone),
        TEST(test_a_lane_that_comes_back_goes_on_where_it_was),
        TEST(test_a_drain_reads_no_more_and_still_confirms),
        TEST(test_is_behind_by_what_a_read_gives),
        TEST(test_random_losses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
