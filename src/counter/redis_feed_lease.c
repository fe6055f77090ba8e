/* redis_feed_lease.c - which groups of lanes are this instance's (lua/lease.lua).
 *
 * Who can't be heard for REDIS_LEASE_MS is taken for dead, and the others share what it had. An
 * instance that can't renew goes on with what it has until it hears that it is another's: there is
 * nothing to be lost by it, and Redis may be away for all.
 */
#include <stdio.h>

#include "base/log.h"
#include "counter/redis_feed_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_slot.h"

#define RENEW_MS 1000

uint16_t redis_lease_command(const char *consumer, const char *instance, uint32_t groups,
                             struct slice mode, struct buf *out) {
    char key[64];
    int len = snprintf(key, sizeof(key), "hgp:lease:%s", consumer);

    buf_clear(out);
    redis_command_begin(out, 8);
    redis_command_arg(out, SLICE("EVALSHA"));
    redis_command_arg(out, slice_str(redis_script_lease.sha1));
    redis_command_arg(out, SLICE("1"));
    redis_command_arg(out, slice_of(key, (size_t)len));
    redis_command_arg(out, slice_str(instance));
    redis_add_number(out, groups);
    redis_add_number(out, REDIS_LEASE_MS);
    redis_command_arg(out, mode);
    return redis_slot(slice_of(key, (size_t)len));
}

static bool shares(const struct redis_feed *feed) {
    return feed->user.assigned != NULL;
}

static bool is_mine(const struct redis_feed *feed, uint32_t lane) {
    return feed->lease.mine[lane % feed->lease.groups];
}

static void lose(struct feed_lane *lane) {
    struct redis_feed *feed = lane->feed;
    bool told = lane->state == LANE_MINE && shares(feed);

    lane->state = LANE_OTHERS;
    if (told)
        feed->user.assigned(feed->user.ctx, lane->number, NULL);
}

static void tell_anothers(struct redis_feed *feed) {
    if (feed->lease.told)
        return;
    feed->lease.told = true;
    log_line(LOG_WARN,
             feed->lease.kept
                 ? "these events belong to this consumer in another data folder, which has read "
                   "some: it has to be given up before this one can have them"
                 : "another process reads these events: waiting for its end",
             LOG_STR("store", feed->fleet->name), LOG_STR("consumer", feed->name));
}

static void apply(struct redis_feed *feed) {
    bool joining = false;

    for (uint32_t i = 0; i < feed->lanes_count; i++) {
        struct feed_lane *lane = &feed->lanes[i];

        if (!is_mine(feed, i) && lane->state != LANE_OTHERS) {
            lose(lane);
        } else if (is_mine(feed, i) && lane->state == LANE_OTHERS) {
            lane->state = LANE_JOINING;
            joining = true;
        }
    }
    if (joining)
        redis_feed_look_soon(feed);
    if (!shares(feed) && !feed->lease.mine[0])
        tell_anothers(feed);
}

static bool read_groups(struct redis_feed *feed, const struct redis_reply *reply) {
    int64_t group;

    if (!redis_reply_is_array(reply))
        return false;
    memset(feed->lease.mine, 0, sizeof(feed->lease.mine));
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        if (!redis_reply_i64(redis_reply_at(reply, i), &group) || group < 0 ||
            group >= feed->lease.groups)
            return false;
        feed->lease.mine[group] = true;
    }
    return true;
}

static bool ask(struct redis_feed *feed, struct slice mode) {
    feed->lease.slot =
        redis_lease_command(feed->name, feed->instance, feed->lease.groups, mode, &feed->command);
    return redis_feed_ask_slot(feed, feed->lease.slot, &feed->lease.request);
}

static void on_left(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_feed *feed = CONTAINER_OF(request, struct redis_feed, lease.request);

    (void)outcome; /* it runs out by itself */
    feed->lease.under_way = false;
    redis_feed_rest(feed);
}

static void on_renewed(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_feed *feed = CONTAINER_OF(request, struct redis_feed, lease.request);

    feed->lease.under_way = false;
    if (outcome->err == ERR_OK && read_groups(feed, outcome->reply))
        apply(feed);
    else
        redis_feed_trouble(feed, feed->lease.slot, outcome);
    if (feed->leaving)
        redis_feed_lease_leave(feed);
}

static void on_due(struct timer *timer) {
    struct redis_feed *feed = CONTAINER_OF(timer, struct redis_feed, lease.timer);

    if (feed->up && !feed->lease.under_way) {
        feed->lease.request.done = on_renewed;
        feed->lease.under_way = ask(feed, feed->lease.kept ? SLICE("keep") : SLICE("renew"));
    }
    timer_start(feed->loop, timer, RENEW_MS);
}

void redis_feed_lease_begin(struct redis_feed *feed) {
    uint32_t most = shares(feed) ? FEED_GROUPS_MAX : 1;

    feed->lease.groups = feed->lanes_count < most ? feed->lanes_count : most;
    feed->lease.timer.fire = on_due;
    timer_start(feed->loop, &feed->lease.timer, 0);
}

void redis_feed_lease_stop(struct redis_feed *feed) {
    timer_stop(feed->loop, &feed->lease.timer);
}

void redis_feed_lease_leave(struct redis_feed *feed) {
    if (feed->lease.under_way)
        return; /* behind it */
    if (feed->up && feed->lease.groups) {
        feed->lease.request.done = on_left;
        feed->lease.under_way = ask(feed, feed->lease.kept ? SLICE("rest") : SLICE("leave"));
    }
    if (!feed->lease.under_way)
        redis_feed_rest(feed);
}
