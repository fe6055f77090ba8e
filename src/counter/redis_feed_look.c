/* redis_feed_look.c - how far each of our lanes has come, and joining those that are new.
 *
 *     HMGET of each lane ─► nothing new ─────────────────────────────► again, later and later
 *                       └─► new ─► [mode replicated: touch, WAIT] ──► ends ─► more(), again soon
 *
 * The ends of a look become readable together, when they are durable.
 */
#include <inttypes.h>
#include <stdio.h>

#include "counter/redis_feed_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_text.h"

/* While events come, and while none do: an idle instance asks each lane of its own so often. More
 * lanes are looked at more seldom, as each is a command. */
#define LOOK_BUSY_MS 5
#define LOOK_IDLE_MS 250
#define LANES_PER_MS 10 /* of the former */

static int64_t busy_ms(const struct redis_feed *feed) {
    return LOOK_BUSY_MS + feed->lanes_count / LANES_PER_MS;
}

static int64_t idle_ms(const struct redis_feed *feed) {
    return LOOK_IDLE_MS + feed->lanes_count;
}

/* ---- what a lane says ---- */

static bool read_position(struct slice text, struct event_position *out) {
    int64_t epoch;
    int64_t seq;

    if (!redis_take_i64(&text, &epoch) || !redis_take_char(&text, ' ') ||
        !redis_take_i64(&text, &seq) || text.len)
        return false;
    *out = (struct event_position){(uint64_t)epoch, (uint64_t)seq};
    return true;
}

static bool hear(struct feed_lane *lane, const struct redis_reply *reply) {
    int64_t epoch;
    int64_t seq;

    if (redis_reply_count(reply) != (lane->state == LANE_JOINING ? 3 : 2) ||
        !redis_reply_i64(redis_reply_at(reply, 0), &epoch) ||
        !redis_reply_i64(redis_reply_at(reply, 1), &seq))
        return false;
    lane->heard = (struct event_position){(uint64_t)epoch, (uint64_t)seq};
    return lane->state != LANE_JOINING ||
           read_position(redis_reply_text(redis_reply_at(reply, 2)), &lane->joined);
}

/* ---- the end of a look ---- */

static void open_if_complete(struct redis_feed *feed) {
    struct feed_info info = {.store_id = feed->fleet->id,
                             .lanes = feed->lanes_count,
                             .reported = feed->reported,
                             .shared = feed->user.assigned != NULL};

    if (feed->opened)
        return;
    for (uint32_t i = 0; i < feed->lanes_count && !info.shared; i++) {
        if (feed->lanes[i].state != LANE_MINE)
            return;
        feed->reported[i] = feed->lanes[i].joined;
    }
    feed->opened = true;
    feed->user.opened(feed->user.ctx, ERR_OK, &info);
}

static void begin_lane(struct feed_lane *lane) {
    struct redis_feed *feed = lane->feed;

    lane->state = LANE_MINE;
    if (event_position_less(lane->done, lane->joined))
        lane->done = lane->joined;
    if (event_position_less(lane->given, lane->joined))
        lane->given = lane->joined;
    if (feed->user.assigned)
        feed->user.assigned(feed->user.ctx, lane->number, &lane->joined);
}

/* A lane behind what was read of it has lost events: Redis has come back with less than it had. */
static void commit(struct feed_lane *lane) {
    if (!lane->answered || lane->state == LANE_OTHERS)
        return;
    lane->end = lane->heard;
    if (event_position_less(lane->end, lane->given))
        lane->broken = ERR_INVALID;
    if (lane->state == LANE_JOINING)
        begin_lane(lane);
}

static void again(struct redis_feed *feed) {
    bool any = false;

    for (uint32_t i = 0; i < feed->lanes_count && !any; i++)
        any = feed->lanes[i].state != LANE_OTHERS;
    if (any && feed->up && !feed->leaving)
        timer_start(feed->loop, &feed->look.timer, feed->look.pause_ms);
}

static void finish(struct redis_feed *feed, bool news, bool durable) {
    feed->look.under_way = false;
    for (uint32_t i = 0; i < feed->lanes_count && durable; i++)
        commit(&feed->lanes[i]);
    if (news && durable) {
        feed->look.pause_ms = busy_ms(feed);
    } else {
        feed->look.pause_ms *= 2;
        if (feed->look.pause_ms > idle_ms(feed))
            feed->look.pause_ms = idle_ms(feed);
    }
    if (!feed->leaving) {
        open_if_complete(feed);
        redis_feed_wake(feed);
    }
    again(feed);
    redis_feed_rest(feed);
}

/* ---- durable on replicas ---- */

static void on_touched(struct redis_request *request, const struct redis_outcome *outcome) {
    (void)outcome; /* whatever came of it, WAIT comes to no better end */
    CONTAINER_OF(request, struct redis_feed, look.touch)->look.touching = false;
}

static void on_waited(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_feed *feed = CONTAINER_OF(request, struct redis_feed, look.wait);
    int64_t count = 0;
    bool enough = outcome->err == ERR_OK && redis_reply_i64(outcome->reply, &count) &&
                  count >= feed->fleet->conf.replicas;

    finish(feed, true, enough);
}

static bool ask_wait(struct redis_feed *feed) {
    struct buf *out = &feed->command;

    /* WAIT covers what was written before our own last write, and nothing of a mere reader. */
    buf_clear(out);
    redis_command_begin(out, 4);
    redis_command_arg(out, SLICE("HSET"));
    redis_command_arg(out, SLICE("hgp:meta"));
    redis_command_arg(out, SLICE("touched"));
    redis_command_arg(out, SLICE("1"));
    feed->look.touch.done = on_touched;
    if (feed->look.touching || !redis_feed_ask_slot(feed, 0, &feed->look.touch))
        return false;
    feed->look.touching = true;
    buf_clear(out);
    redis_command_begin(out, 3);
    redis_command_arg(out, SLICE("WAIT"));
    redis_add_number(out, feed->fleet->conf.replicas);
    redis_add_number(out, feed->fleet->conf.response_ms / 3 + 1);
    feed->look.wait.done = on_waited;
    return redis_feed_ask_slot(feed, 0, &feed->look.wait);
}

static void all_answered(struct redis_feed *feed) {
    bool news = false;

    for (uint32_t i = 0; i < feed->lanes_count; i++) {
        const struct feed_lane *lane = &feed->lanes[i];

        news |= lane->answered &&
                (lane->state == LANE_JOINING || event_position_less(lane->end, lane->heard) ||
                 event_position_less(lane->heard, lane->given));
    }
    if (!news || !redis_waits(feed->store))
        finish(feed, news, true);
    else if (!ask_wait(feed))
        finish(feed, true, false);
}

/* ---- asking ---- */

static void on_looked(struct redis_request *request, const struct redis_outcome *outcome) {
    struct feed_lane *lane = CONTAINER_OF(request, struct feed_lane, look);
    struct redis_feed *feed = lane->feed;

    lane->answered = outcome->err == ERR_OK && hear(lane, outcome->reply);
    if (outcome->err == ERR_OK && !lane->answered && lane->state == LANE_MINE)
        lane->broken = ERR_CORRUPT; /* its meta is gone, or it has halted */
    else if (outcome->err != ERR_OK)
        redis_feed_trouble(feed, redis_feed_slot(lane), outcome);
    if (--feed->look.open == 0)
        all_answered(feed);
}

static void write_command(struct feed_lane *lane, struct buf *out) {
    const struct redis_feed *feed = lane->feed;
    struct buf key = {0};

    if (lane->state == LANE_JOINING) {
        redis_lane_script(&feed->fleet->layout, lane->number, &redis_script_consumer, "mo", 2, out);
        redis_command_arg(out, slice_str(feed->name));
        redis_command_arg(out, SLICE("join"));
        return;
    }
    redis_lane_key(&key, &feed->fleet->layout, lane->number, "m");
    buf_clear(out);
    redis_command_begin(out, 4);
    redis_command_arg(out, SLICE("HMGET"));
    redis_command_arg(out, buf_slice(&key));
    redis_command_arg(out, SLICE("epoch"));
    redis_command_arg(out, SLICE("seq"));
    out->failed |= buf_failed(&key);
    buf_release(&key);
}

static void look(struct timer *timer) {
    struct redis_feed *feed = CONTAINER_OF(timer, struct redis_feed, look.timer);

    if (feed->look.under_way || !feed->up || feed->leaving)
        return;
    feed->look.under_way = true;
    feed->look.open = 1; /* so that no answer ends it early */
    for (uint32_t i = 0; i < feed->lanes_count; i++) {
        struct feed_lane *lane = &feed->lanes[i];

        lane->answered = false;
        if (lane->state == LANE_OTHERS)
            continue;
        write_command(lane, &feed->command);
        lane->look.done = on_looked;
        feed->look.open += redis_feed_ask(lane, &lane->look);
    }
    if (--feed->look.open == 0)
        all_answered(feed);
}

void redis_feed_look_soon(struct redis_feed *feed) {
    feed->look.timer.fire = look;
    feed->look.pause_ms = busy_ms(feed);
    if (!feed->look.under_way && feed->up && !feed->leaving)
        timer_start(feed->loop, &feed->look.timer, 0);
}

void redis_feed_look_stop(struct redis_feed *feed) {
    timer_stop(feed->loop, &feed->look.timer);
}
