/* redis_feed.c - open, read, close. */
#include "counter/redis_feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "counter/redis_feed_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_slot.h"

#define ENTRIES_MAX 512 /* of one XRANGE */
#define ENTRY_BYTES 512 /* until it is known better */

static struct redis_feed *of(struct feed *feed) {
    return CONTAINER_OF(feed, struct redis_feed, feed);
}

/* ---- asking ---- */

bool redis_feed_ask_slot(struct redis_feed *feed, uint16_t slot, struct redis_request *request) {
    return !buf_failed(&feed->command) &&
           redis_store_ask(feed->store, slot, request, buf_slice(&feed->command)) == ERR_OK;
}

uint16_t redis_feed_slot(const struct feed_lane *lane) {
    return redis_lane_slot(lane->number, lane->feed->lanes_count);
}

bool redis_feed_ask(struct feed_lane *lane, struct redis_request *request) {
    return redis_feed_ask_slot(lane->feed, redis_feed_slot(lane), request);
}

void redis_feed_trouble(struct redis_feed *feed, uint16_t slot,
                        const struct redis_outcome *outcome) {
    if (outcome->reply && !feed->leaving)
        redis_store_trouble(feed->store, slot, outcome);
}

/* ---- reading ---- */

/* {0, 0} is before the first. */
static struct event_position after_of(const struct feed_lane *lane) {
    struct event_position after = lane->read->after;

    return after.epoch ? after : (struct event_position){1, 0};
}

static void answer(struct feed_lane *lane, enum err err) {
    struct feed_read *read = lane->read;

    lane->waiting = err == ERR_OK || err == ERR_UNAVAILABLE;
    lane->away = err == ERR_UNAVAILABLE;
    lane->waiting_at = after_of(lane);
    lane->read = NULL;
    read->done(read, err, NULL, 0);
}

/* A lane that isn't ours: nothing comes of it for one who takes any. */
static enum err not_mine(const struct redis_feed *feed) {
    return feed->user.assigned ? ERR_OK : ERR_UNAVAILABLE;
}

/* What isn't there any more may have been read, reported and trimmed by another instance, while
 * this one slept over its lease: the consumer's position says so. Not twice at the same place. */
static bool carried_on(struct feed_lane *lane) {
    struct event_position after = after_of(lane);

    if (!lane->feed->user.assigned || !event_position_less(lane->missed, after))
        return false;
    lane->missed = after;
    lane->state = LANE_JOINING;
    redis_feed_look_soon(lane->feed);
    return true;
}

static void hand_over(struct feed_lane *lane, enum err err) {
    struct redis_events *events = &lane->feed->events;
    struct feed_read *read = lane->read;

    if (err == ERR_OK && events->count == 0)
        err = ERR_TRIMMED;
    if (err == ERR_TRIMMED && carried_on(lane))
        err = ERR_OK;
    if (err != ERR_OK || events->count == 0) {
        answer(lane, err);
        return;
    }
    lane->entry_bytes = (lane->entry_bytes + events->bytes / events->entries) / 2 + 1;
    if (event_position_less(lane->given, events->events[events->count - 1].at))
        lane->given = events->events[events->count - 1].at;
    lane->read = NULL;
    read->done(read, ERR_OK, events->events, events->count);
}

static void on_fetched(struct redis_request *request, const struct redis_outcome *outcome) {
    struct feed_lane *lane = CONTAINER_OF(request, struct feed_lane, fetch);
    struct redis_feed *feed = lane->feed;

    if (outcome->err != ERR_OK) {
        redis_feed_trouble(feed, redis_feed_slot(lane), outcome);
        answer(lane, ERR_UNAVAILABLE);
    } else if (lane->state != LANE_MINE) {
        answer(lane, not_mine(feed));
    } else {
        hand_over(lane,
                  redis_events_read(&feed->events, lane->number, after_of(lane), outcome->reply));
    }
}

static void add_id(struct buf *out, struct event_position at) {
    char text[48];
    int len = snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64, at.epoch, at.seq);

    redis_command_arg(out, slice_of(text, (size_t)len));
}

/* From the entry that has the next event in it: an entry's id is the number of its last one. */
static bool fetch(struct feed_lane *lane) {
    struct redis_feed *feed = lane->feed;
    struct event_position after = after_of(lane);
    size_t count = lane->read->max_bytes / lane->entry_bytes + 1;
    struct buf *out = &feed->command;
    struct buf key = {0};

    redis_lane_key(&key, &feed->fleet->layout, lane->number, "o");
    buf_clear(out);
    redis_command_begin(out, 6);
    redis_command_arg(out, SLICE("XRANGE"));
    redis_command_arg(out, buf_slice(&key));
    add_id(out, (struct event_position){after.epoch, after.seq + 1});
    add_id(out, lane->end);
    redis_command_arg(out, SLICE("COUNT"));
    redis_add_number(out, count < ENTRIES_MAX ? (int64_t)count : ENTRIES_MAX);
    out->failed |= buf_failed(&key);
    buf_release(&key);
    lane->fetch.done = on_fetched;
    return redis_feed_ask(lane, &lane->fetch);
}

/* Another feed of this consumer's may have seen more than our last look. The next one tells whether
 * there is such a place. */
static void read_ahead(struct feed_lane *lane, struct event_position after) {
    if (event_position_less(lane->given, after))
        lane->given = after;
    answer(lane, ERR_OK);
}

static void begin_read(struct feed_lane *lane) {
    struct redis_feed *feed = lane->feed;
    struct event_position after = after_of(lane);

    if (feed->leaving || !feed->up)
        answer(lane, ERR_UNAVAILABLE);
    else if (lane->state != LANE_MINE)
        answer(lane, not_mine(feed));
    else if (lane->broken != ERR_OK)
        answer(lane, lane->broken);
    else if (event_position_less(lane->end, after))
        read_ahead(lane, after);
    else if (!event_position_less(after, lane->end))
        answer(lane, ERR_OK);
    else if (!fetch(lane))
        answer(lane, ERR_UNAVAILABLE);
}

static void begin_reads(struct redis_feed *feed) {
    struct feed_read *read = feed->first;

    feed->first = NULL;
    feed->last = &feed->first;
    while (read) {
        struct feed_read *next = read->next;

        begin_read(&feed->lanes[read->lane]);
        read = next;
    }
}

static void read_later(struct feed *base, struct feed_read *read) {
    struct redis_feed *feed = of(base);

    feed->lanes[read->lane].read = read;
    read->next = NULL;
    *feed->last = read;
    feed->last = &read->next;
    timer_start(feed->loop, &feed->later, 0);
}

void redis_feed_wake(struct redis_feed *feed) {
    bool owed = false;

    for (uint32_t i = 0; i < feed->lanes_count; i++) {
        struct feed_lane *lane = &feed->lanes[i];

        if (!lane->waiting || lane->state != LANE_MINE ||
            !(lane->away || lane->broken != ERR_OK ||
              event_position_less(lane->waiting_at, lane->end)))
            continue;
        lane->waiting = false;
        owed = true;
    }
    if (owed && feed->opened)
        feed->user.more(feed->user.ctx);
}

static struct event_position lane_end(struct feed *base, uint32_t lane) {
    return of(base)->lanes[lane].end;
}

static bool is_away(struct feed *base) {
    const struct redis_feed *feed = of(base);
    bool all = feed->up;

    for (uint32_t i = 0; i < feed->lanes_count && !feed->user.assigned; i++)
        all &= feed->lanes[i].state == LANE_MINE;
    return !all;
}

/* ---- up and down ---- */

static bool make_lanes(struct redis_feed *feed) {
    uint32_t count = feed->fleet->layout.lanes;

    feed->lanes = calloc(count, sizeof(*feed->lanes));
    feed->reported = calloc(count, sizeof(*feed->reported));
    feed->look.waits = calloc(FEED_WAITS_MAX, sizeof(*feed->look.waits));
    if (!feed->lanes || !feed->reported || !feed->look.waits)
        return false;
    feed->lanes_count = count;
    for (uint32_t i = 0; i < count; i++)
        feed->lanes[i] = (struct feed_lane){.feed = feed, .number = i, .entry_bytes = ENTRY_BYTES};
    return true;
}

static void refuse(struct redis_feed *feed) {
    struct feed_info none = {0};

    if (!feed->opened)
        feed->user.opened(feed->user.ctx, ERR_NO_MEMORY, &none);
    feed->opened = true;
}

static void on_changed(void *ctx, bool up) {
    struct redis_feed *feed = ctx;

    feed->up = up;
    if (!up || feed->leaving)
        return;
    if (!feed->lanes) {
        if (!make_lanes(feed)) {
            refuse(feed);
            return;
        }
        redis_feed_lease_begin(feed);
    }
    redis_feed_look_soon(feed);
    redis_feed_report_begin(feed);
}

static void on_clock(void *ctx, int64_t ahead_ms) {
    (void)ctx;
    (void)ahead_ms;
}

/* ---- the end ---- */

static void on_store_closed(void *ctx) {
    struct redis_feed *feed = ctx;

    feed->store = NULL;
    begin_reads(feed); /* each is refused */
    timer_stop(feed->loop, &feed->later);
    feed->closed(feed->closed_ctx);
}

void redis_feed_rest(struct redis_feed *feed) {
    if (!feed->leaving || feed->closing || feed->reports > 0)
        return;
    if (!feed->left) {
        feed->left = true;
        redis_feed_lease_leave(feed);
    } else if (!feed->lease.under_way) {
        feed->closing = true;
        redis_store_close(feed->store, on_store_closed, feed);
    }
}

static void on_later(struct timer *timer) {
    struct redis_feed *feed = CONTAINER_OF(timer, struct redis_feed, later);

    begin_reads(feed);
    if (feed->leaving && !feed->store)
        on_store_closed(feed);
    else if (feed->leaving)
        redis_feed_rest(feed);
    else if (!feed->store)
        refuse(feed);
}

static void close_feed(struct feed *base, void (*closed)(void *ctx), void *ctx) {
    struct redis_feed *feed = of(base);

    redis_feed_look_stop(feed);
    redis_feed_lease_stop(feed);
    redis_feed_report_all(feed);
    redis_feed_report_stop(feed); /* one try has to do */
    feed->closed = closed;
    feed->closed_ctx = ctx;
    feed->leaving = true;
    timer_start(feed->loop, &feed->later, 0);
}

/* ---- life ---- */

static void open_feed(struct feed *base, const struct feed_user *user) {
    struct redis_feed *feed = of(base);
    struct redis_store_user own = {.ctx = feed, .clock_learned = on_clock, .changed = on_changed};

    feed->user = *user;
    feed->store = redis_store_new_aside(feed->fleet, feed->loop, feed->shard, &own);
    if (!feed->store || !redis_store_connect(feed->store))
        timer_start(feed->loop, &feed->later, 0); /* refused there */
}

static const struct feed_ops ops = {
    .open = open_feed,
    .read = read_later,
    .report = redis_feed_report,
    .end = lane_end,
    .away = is_away,
    .close = close_feed,
};

struct redis_feed *redis_feed_new(struct redis_fleet *fleet, const char *consumer,
                                  const char *owner, struct loop *loop, unsigned shard) {
    struct redis_feed *feed = calloc(1, sizeof(*feed));

    if (!feed)
        return NULL;
    feed->feed.ops = &ops;
    feed->fleet = fleet;
    feed->loop = loop;
    feed->shard = shard;
    feed->later.fire = on_later;
    feed->last = &feed->first;
    (void)snprintf(feed->name, sizeof(feed->name), "%s", consumer);
    feed->lease.kept = owner != NULL;
    if (owner)
        (void)snprintf(feed->instance, sizeof(feed->instance), "%s", owner);
    else
        (void)snprintf(feed->instance, sizeof(feed->instance), "%016" PRIx64, random_u64());
    return feed;
}

struct feed *redis_feed_base(struct redis_feed *feed) {
    return &feed->feed;
}

void redis_feed_free(struct redis_feed *feed) {
    if (!feed)
        return;
    redis_events_release(&feed->events);
    buf_release(&feed->command);
    free(feed->lanes);
    free(feed->reported);
    free(feed->look.waits);
    free(feed);
}
