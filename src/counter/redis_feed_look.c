/* redis_feed_look.c - how far each of our lanes has come, and joining those that are new.
 *
 *     HMGET of each lane ─► nothing new ─────────────────────────────► again, later and later
 *                       └─► new ─► [mode replicated: touch, WAIT] ──► ends ─► more(), again soon
 *
 * The ends of a look become readable together, when they are durable. WAIT covers what was written
 * before our own last write, and nothing of a mere reader: so a lane of each server that has news
 * is touched, and then that server's replicas are waited for.
 */
#include <inttypes.h>
#include <stdio.h>

#include "counter/redis_feed_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_text.h"

/* While events come, and while none do: an idle instance asks each lane of its own so often. More
 * lanes are looked at more seldom, as each is a command. What comes between two looks goes on
 * together: a request to Kafka costs as much as many events in it. */
#define LOOK_BUSY_MS 40
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
    if (!lane->answered || lane->state == LANE_OTHERS || (lane->wait && !lane->wait->durable))
        return;
    lane->end = lane->heard;
    if (event_position_less(lane->end, lane->expected))
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

static void finish(struct redis_feed *feed, bool news) {
    feed->look.under_way = false;
    for (uint32_t i = 0; i < feed->lanes_count; i++)
        commit(&feed->lanes[i]);
    if (news) {
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

static void close_wait(struct redis_feed *feed) {
    if (--feed->look.open > 0)
        return;
    bool news = false;

    for (uint32_t i = 0; i < feed->look.waits_count; i++)
        news |= feed->look.waits[i].durable;
    finish(feed, news);
}

static void on_touched(struct redis_request *request, const struct redis_outcome *outcome) {
    struct feed_wait *wait = CONTAINER_OF(request, struct feed_wait, touch);

    wait->touched = outcome->err == ERR_OK;
    close_wait(wait->feed);
}

static void on_waited(struct redis_request *request, const struct redis_outcome *outcome) {
    struct feed_wait *wait = CONTAINER_OF(request, struct feed_wait, wait);
    int64_t count = 0;

    wait->durable = wait->touched && outcome->err == ERR_OK &&
                    redis_reply_i64(outcome->reply, &count) &&
                    count >= wait->feed->fleet->conf.replicas;
    close_wait(wait->feed);
}

static bool ask(struct feed_wait *wait, struct redis_request *request) {
    const struct buf *command = &wait->feed->command;

    if (buf_failed(command) || redis_conn_ask(wait->conn, request, buf_slice(command)) != ERR_OK)
        return false;
    wait->feed->look.open++;
    return true;
}

static void touch(struct feed_wait *wait, const struct feed_lane *lane) {
    struct buf *out = &wait->feed->command;
    struct buf key = {0};

    redis_lane_key(&key, &wait->feed->fleet->layout, lane->number, "m");
    buf_clear(out);
    redis_command_begin(out, 4);
    redis_command_arg(out, SLICE("HSET"));
    redis_command_arg(out, buf_slice(&key));
    redis_command_arg(out, SLICE("touched"));
    redis_command_arg(out, SLICE("1"));
    out->failed |= buf_failed(&key);
    buf_release(&key);
    wait->touch.done = on_touched;
    (void)ask(wait, &wait->touch); /* if it isn't, what is waited for isn't durable */
}

/* The wait for the lane's server; NULL: there is none now. */
static struct feed_wait *wait_of(struct feed_lane *lane) {
    struct redis_feed *feed = lane->feed;
    struct redis_conn *conn = redis_store_conn(feed->store, redis_feed_slot(lane));
    uint32_t i = 0;

    while (i < feed->look.waits_count && feed->look.waits[i].conn != conn)
        i++;
    if (!conn || i == FEED_WAITS_MAX)
        return NULL;
    struct feed_wait *wait = &feed->look.waits[i];
    if (i == feed->look.waits_count) {
        feed->look.waits_count++;
        *wait = (struct feed_wait){.feed = feed, .conn = conn, .wait.done = on_waited};
        touch(wait, lane);
    }
    return wait;
}

static bool has_news(const struct feed_lane *lane) {
    return lane->answered &&
           (lane->state == LANE_JOINING || event_position_less(lane->end, lane->heard) ||
            event_position_less(lane->heard, lane->expected));
}

/* All touches before the first WAIT, which blocks its connection. */
static void wait_for_replicas(struct redis_feed *feed) {
    feed->look.open = 1; /* so that no answer ends it early */
    for (uint32_t i = 0; i < feed->lanes_count; i++) {
        struct feed_lane *lane = &feed->lanes[i];

        if (!has_news(lane))
            continue;
        lane->wait = wait_of(lane);
        lane->answered = lane->wait != NULL;
    }
    redis_wait_command(feed->fleet, &feed->command);
    for (uint32_t i = 0; i < feed->look.waits_count; i++)
        (void)ask(&feed->look.waits[i], &feed->look.waits[i].wait);
    close_wait(feed);
}

static void all_answered(struct redis_feed *feed) {
    bool news = false;

    for (uint32_t i = 0; i < feed->lanes_count; i++)
        news |= has_news(&feed->lanes[i]);
    if (news && redis_waits(feed->store))
        wait_for_replicas(feed);
    else
        finish(feed, news);
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
    feed->look.waits_count = 0;
    feed->look.open = 1; /* so that no answer ends it early */
    for (uint32_t i = 0; i < feed->lanes_count; i++) {
        struct feed_lane *lane = &feed->lanes[i];

        lane->answered = false;
        lane->expected = lane->given;
        lane->wait = NULL;
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
