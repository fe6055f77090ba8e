/* redis_feed_report.c - positions, gathered for a while; each report trims its lane as well.
 *
 * One that is lost is made again when Redis is back, by then with a later position; after a crash
 * the events in between come again.
 */
#include "counter/redis_feed_internal.h"

#define GATHER_MS 100

static void report(struct feed_lane *lane);

static void on_reported(struct redis_request *request, const struct redis_outcome *outcome) {
    struct feed_lane *lane = CONTAINER_OF(request, struct feed_lane, report);
    struct redis_feed *feed = lane->feed;
    bool more;
    bool heard = redis_tidy_heard(feed->fleet, feed->shard, lane->number, outcome, &more);

    lane->reporting = false;
    feed->reports--;
    if (!heard)
        redis_feed_trouble(feed, redis_feed_slot(lane), outcome);
    /* At the end one try has to do, and what is left is trimmed another time. */
    lane->changed |= (!heard || more) && !feed->leaving;
    if (more)
        report(lane);
    if (lane->changed)
        redis_feed_report_begin(feed);
    redis_feed_rest(feed);
}

static void report(struct feed_lane *lane) {
    struct redis_feed *feed = lane->feed;
    struct redis_report said = {feed->name, lane->done};

    if (lane->reporting || !lane->changed || !feed->up)
        return;
    redis_tidy_command(feed->fleet, lane->number, &said, &feed->command);
    lane->report.done = on_reported;
    if (!redis_feed_ask(lane, &lane->report)) {
        redis_feed_report_begin(feed); /* its node is away, while others aren't: nobody calls */
        return;
    }
    lane->changed = false;
    lane->reporting = true;
    feed->reports++;
}

void redis_feed_report_all(struct redis_feed *feed) {
    for (uint32_t i = 0; i < feed->lanes_count; i++)
        report(&feed->lanes[i]);
}

static void on_due(struct timer *timer) {
    redis_feed_report_all(CONTAINER_OF(timer, struct redis_feed, report));
}

void redis_feed_report_begin(struct redis_feed *feed) {
    feed->report.fire = on_due;
    if (!timer_armed(&feed->report) && !feed->leaving)
        timer_start(feed->loop, &feed->report, GATHER_MS);
}

void redis_feed_report_stop(struct redis_feed *feed) {
    timer_stop(feed->loop, &feed->report);
}

void redis_feed_report(struct feed *base, uint32_t number, struct event_position at) {
    struct redis_feed *feed = CONTAINER_OF(base, struct redis_feed, feed);
    struct feed_lane *lane = &feed->lanes[number];

    if (!event_position_less(lane->done, at))
        return;
    lane->done = at;
    lane->changed = true;
    redis_feed_report_begin(feed);
}
