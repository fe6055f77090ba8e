/* outbox_feed.c - a feed's calls as messages to the counter, its answers as the feed's.
 *
 *     AWAY ─► OPENING ─► FOLLOWING        any end of the stream: AWAY
 *               └─► FOREIGN               for good: it has another store
 */
#include "edge/outbox_feed.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/random.h"
#include "edge/grpc_channel.h"
#include "edge/outbox_codec.h"
#include "loop/timer.h"

#define CONNECT_MS           2000
#define BACKOFF_MIN_MS       100
#define BACKOFF_MAX_MS       2000
#define KEEPALIVE_MS         20000
#define KEEPALIVE_TIMEOUT_MS 5000
#define AGAIN_MS             1000       /* when the counter is there and ends the stream */
#define FAREWELL_MS          2000       /* for the last reports, at the close */
#define RESPONSE_BYTES_MAX   (8u << 20) /* far more than an event has */

/* At once: what their answers hold together is less than a counter queues for a stream. */
#define READS_MAX 8

struct outbox_lane {
    struct event_position end;
    struct event_position reported;
    bool changed;           /* since it was last sent */
    bool asked;             /* the read is at the counter */
    struct feed_read *read; /* NULL: none */
};

struct outbox_feed {
    struct feed feed;
    struct outbox_feed_conf conf;
    struct loop *loop;
    struct feed_user user;
    struct grpc_channel *channel;
    struct grpc_out_stream stream;
    enum { AWAY, OPENING, FOLLOWING, FOREIGN } state;
    bool stream_open; /* its done() is to come */
    bool complained;
    uint64_t store_id; /* 0: not known yet */
    uint32_t lane_count;
    struct outbox_lane *lanes;
    unsigned asked;
    unsigned reads_max;
    struct timer again;  /* opens the stream anew */
    struct timer report; /* sends what has changed */
    struct buf address;
    struct buf out;
    struct buf items;
    struct {
        bool begun;
        bool channel_closing;
        void (*closed)(void *ctx);
        void *ctx;
        struct timer timer;
    } close;
};

static struct outbox_feed *of(struct feed *feed) {
    return CONTAINER_OF(feed, struct outbox_feed, feed);
}

static void send_out(struct outbox_feed *feed) {
    if (!buf_failed(&feed->out))
        grpc_out_stream_send(&feed->stream, buf_slice(&feed->out));
    else
        grpc_out_stream_cancel(&feed->stream);
}

/* ---- reads and reports ---- */

static void ask(struct outbox_feed *feed, uint32_t number) {
    struct outbox_lane *lane = &feed->lanes[number];

    if (!lane->read || lane->asked || feed->state != FOLLOWING || feed->asked >= feed->reads_max)
        return;
    lane->asked = true;
    feed->asked++;
    buf_clear(&feed->out);
    outbox_write_read(&feed->out, (struct lane_position){number, lane->read->after});
    send_out(feed);
}

static void ask_all(struct outbox_feed *feed) {
    for (uint32_t i = 0; i < feed->lane_count && feed->asked < feed->reads_max; i++)
        ask(feed, i);
}

/* The read is over; whoever waits for its turn has it now. */
static struct feed_read *take_read(struct outbox_feed *feed, struct outbox_lane *lane) {
    struct feed_read *read = lane->read;

    if (lane->asked)
        feed->asked--;
    lane->asked = false;
    lane->read = NULL;
    return read;
}

static void end_reads(struct outbox_feed *feed, enum err err) {
    for (uint32_t i = 0; i < feed->lane_count; i++) {
        struct feed_read *read = take_read(feed, &feed->lanes[i]);

        if (read)
            read->done(read, err, NULL, 0);
    }
}

static void send_reports(struct timer *timer) {
    struct outbox_feed *feed = CONTAINER_OF(timer, struct outbox_feed, report);
    bool any = false;

    if (feed->state != FOLLOWING)
        return; /* they are sent when it is back */
    buf_clear(&feed->out);
    for (uint32_t i = 0; i < feed->lane_count; i++) {
        struct outbox_lane *lane = &feed->lanes[i];

        if (!lane->changed)
            continue;
        outbox_write_reported(&feed->out, (struct lane_position){i, lane->reported});
        lane->changed = false;
        any = true;
    }
    if (any)
        send_out(feed);
}

static void send_gone(struct outbox_feed *feed, struct slice consumer) {
    if (feed->state != FOLLOWING || !consumer.len)
        return;
    buf_clear(&feed->out);
    outbox_write_forget(&feed->out, consumer);
    send_out(feed);
}

/* ---- what the counter says ---- */

static bool make_lanes(struct outbox_feed *feed, const struct event_position *reported,
                       size_t count) {
    feed->lanes = calloc(count, sizeof(*feed->lanes));
    if (!feed->lanes)
        return false;
    feed->lane_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        feed->lanes[i].end = feed->lanes[i].reported = reported[i];
    return true;
}

static void first_opened(struct outbox_feed *feed, const struct outbox_response *response) {
    const struct event_position *reported =
        (const struct event_position *)(const void *)feed->items.ptr;
    struct feed_info info = {
        .store_id = response->store_id, .lanes = (uint32_t)response->count, .reported = reported};
    enum err err = make_lanes(feed, reported, response->count) ? ERR_OK : ERR_NO_MEMORY;

    feed->store_id = response->store_id;
    feed->user.opened(feed->user.ctx, err, &info);
}

/* Reports may have been lost with the stream. */
static void opened_again(struct outbox_feed *feed) {
    for (uint32_t i = 0; i < feed->lane_count; i++)
        feed->lanes[i].changed = feed->lanes[i].reported.epoch != 0;
    send_reports(&feed->report);
    ask_all(feed);
    feed->user.more(feed->user.ctx);
}

static void on_opened(struct outbox_feed *feed, const struct outbox_response *response) {
    if (feed->store_id &&
        (feed->store_id != response->store_id || feed->lane_count != response->count)) {
        log_line(LOG_ERROR, "the counter has another store than before: its events aren't read",
                 LOG_SLICE("address", feed->conf.address));
        feed->state = FOREIGN;
        end_reads(feed, ERR_INVALID);
        return;
    }
    log_line(LOG_INFO, "reading a counter's events", LOG_SLICE("address", feed->conf.address));
    feed->state = FOLLOWING;
    feed->complained = false;
    atomic_store(feed->conf.up, true);
    send_gone(feed, feed->conf.gone);
    if (feed->store_id)
        opened_again(feed);
    else
        first_opened(feed, response);
}

static void on_events(struct outbox_feed *feed, const struct outbox_response *response) {
    struct outbox_lane *lane =
        response->end.lane < feed->lane_count ? &feed->lanes[response->end.lane] : NULL;

    if (!lane || !lane->asked)
        return; /* nobody asked */
    lane->end = response->end.at;
    struct feed_read *read = take_read(feed, lane);
    read->done(read, response->err, (const struct event *)(const void *)feed->items.ptr,
               response->err == ERR_OK ? response->count : 0);
    ask_all(feed);
}

static void on_message(struct grpc_out_stream *stream, struct slice bytes) {
    struct outbox_feed *feed = CONTAINER_OF(stream, struct outbox_feed, stream);
    struct outbox_response response;

    if (feed->close.begun || feed->state == FOREIGN)
        return;
    if (outbox_read_response(bytes, &feed->items, &response) != ERR_OK)
        grpc_out_stream_cancel(stream); /* and begun anew */
    else if (response.kind == OUTBOX_OPENED && feed->state == OPENING)
        on_opened(feed, &response);
    else if (response.kind == OUTBOX_EVENTS)
        on_events(feed, &response);
    else if (response.kind == OUTBOX_MORE && feed->state == FOLLOWING)
        feed->user.more(feed->user.ctx);
}

/* ---- the stream ---- */

static void close_channel(struct outbox_feed *feed);

static void complain(struct outbox_feed *feed, struct slice why) {
    if (feed->complained)
        return;
    feed->complained = true;
    log_line(LOG_WARN, "a counter's events can't be read; trying again",
             LOG_SLICE("address", feed->conf.address), LOG_SLICE("problem", why));
}

static void on_end(struct grpc_out_call *call, const struct grpc_result *result) {
    struct grpc_out_stream *stream = CONTAINER_OF(call, struct grpc_out_stream, call);
    struct outbox_feed *feed = CONTAINER_OF(stream, struct outbox_feed, stream);

    feed->stream_open = false;
    if (feed->close.begun) {
        close_channel(feed);
        return;
    }
    if (feed->state == FOREIGN)
        return;
    feed->state = AWAY;
    atomic_store(feed->conf.up, false);
    /* Their answers together were too much for its queue: one always has room. */
    if (result->status == GRPC_RESOURCE_EXHAUSTED)
        feed->reads_max = 1;
    for (uint32_t i = 0; i < feed->lane_count; i++)
        feed->lanes[i].asked = false;
    feed->asked = 0;
    complain(feed, result->message);
    timer_start(feed->loop, &feed->again, AGAIN_MS);
}

static void open_stream(struct outbox_feed *feed) {
    if (feed->stream_open || feed->close.begun || feed->state == FOREIGN)
        return;
    feed->stream = (struct grpc_out_stream){.call.done = on_end, .message = on_message};
    enum err err = grpc_channel_stream(feed->channel, &feed->stream, SLICE(OUTBOX_FOLLOW_PATH));
    if (err == ERR_UNREACHABLE)
        return; /* on_state() comes back here */
    if (err != ERR_OK) {
        timer_start(feed->loop, &feed->again, AGAIN_MS);
        return;
    }
    feed->stream_open = true;
    feed->state = OPENING;
    buf_clear(&feed->out);
    outbox_write_open(&feed->out, feed->conf.consumer);
    send_out(feed);
}

static void on_again(struct timer *timer) {
    struct outbox_feed *feed = CONTAINER_OF(timer, struct outbox_feed, again);

    if (feed->channel)
        open_stream(feed);
    else
        feed->user.opened(feed->user.ctx, ERR_NO_MEMORY, NULL);
}

static void on_state(void *ctx, enum grpc_channel_state state) {
    struct outbox_feed *feed = ctx;

    if (state == GRPC_CHANNEL_READY)
        open_stream(feed);
    else if (state == GRPC_CHANNEL_WAITING && grpc_channel_problem(feed->channel))
        complain(feed, slice_str(grpc_channel_problem(feed->channel)));
}

/* ---- what the consumer calls ---- */

static void outbox_open(struct feed *base, const struct feed_user *user) {
    struct outbox_feed *feed = of(base);
    struct grpc_channel_conf conf = {
        .resolver = feed->conf.resolver,
        .address = feed->conf.address,
        .connect_ms = CONNECT_MS,
        .backoff_min_ms = BACKOFF_MIN_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
        .keepalive_ms = KEEPALIVE_MS,
        .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS,
        .message_bytes_max = RESPONSE_BYTES_MAX,
        .tls = feed->conf.tls,
        .on_state = on_state,
        .ctx = feed,
        .seed = random_u64(),
    };

    feed->user = *user;
    feed->channel = grpc_channel_new(feed->loop, &conf);
    if (!feed->channel)
        timer_start(feed->loop, &feed->again, 0); /* never inside this function */
}

static void outbox_read(struct feed *base, struct feed_read *read) {
    struct outbox_feed *feed = of(base);

    feed->lanes[read->lane].read = read;
    ask(feed, read->lane);
}

static void outbox_report(struct feed *base, uint32_t lane, struct event_position at) {
    struct outbox_feed *feed = of(base);

    if (!event_position_less(feed->lanes[lane].reported, at))
        return;
    feed->lanes[lane].reported = at;
    feed->lanes[lane].changed = true;
    if (!timer_armed(&feed->report))
        timer_start(feed->loop, &feed->report, 0);
}

static struct event_position outbox_end(struct feed *base, uint32_t lane) {
    return of(base)->lanes[lane].end;
}

static bool outbox_away(struct feed *base) {
    return of(base)->state != FOLLOWING;
}

/* ---- close: the last reports, the end of the stream, the end of the channel ---- */

static void on_channel_closed(void *ctx) {
    struct outbox_feed *feed = ctx;

    feed->channel = NULL;
    timer_stop(feed->loop, &feed->close.timer);
    end_reads(feed, ERR_UNAVAILABLE);
    feed->close.closed(feed->close.ctx);
}

static void close_channel(struct outbox_feed *feed) {
    if (feed->close.channel_closing)
        return;
    feed->close.channel_closing = true;
    timer_stop(feed->loop, &feed->close.timer);
    if (feed->channel)
        grpc_channel_close(feed->channel, on_channel_closed, feed);
    else
        on_channel_closed(feed);
}

static void on_close_timer(struct timer *timer) {
    close_channel(CONTAINER_OF(timer, struct outbox_feed, close.timer));
}

static void outbox_close(struct feed *base, void (*closed)(void *ctx), void *ctx) {
    struct outbox_feed *feed = of(base);
    bool follows = feed->state == FOLLOWING;

    timer_stop(feed->loop, &feed->again);
    timer_stop(feed->loop, &feed->report);
    send_reports(&feed->report);
    if (feed->conf.passing)
        send_gone(feed, feed->conf.consumer);
    feed->close.begun = true;
    feed->close.closed = closed;
    feed->close.ctx = ctx;
    feed->close.timer.fire = on_close_timer;
    atomic_store(feed->conf.up, false);
    if (follows)
        grpc_out_stream_end(&feed->stream);
    timer_start(feed->loop, &feed->close.timer, follows ? FAREWELL_MS : 0);
}

/* ---- life ---- */

static const struct feed_ops ops = {
    .open = outbox_open,
    .read = outbox_read,
    .report = outbox_report,
    .end = outbox_end,
    .away = outbox_away,
    .close = outbox_close,
};

struct outbox_feed *outbox_feed_new(struct loop *loop, const struct outbox_feed_conf *conf) {
    struct outbox_feed *feed = calloc(1, sizeof(*feed));

    if (!feed)
        return NULL;
    feed->feed.ops = &ops;
    feed->conf = *conf;
    feed->loop = loop;
    feed->reads_max = READS_MAX;
    feed->again.fire = on_again;
    feed->report.fire = send_reports;
    buf_add_slice(&feed->address, conf->address);
    feed->conf.address = buf_slice(&feed->address);
    if (!buf_failed(&feed->address))
        return feed;
    outbox_feed_free(feed);
    return NULL;
}

void outbox_feed_gone(struct outbox_feed *feed, struct slice consumer) {
    feed->conf.gone = consumer;
    send_gone(feed, consumer);
}

struct feed *outbox_feed_base(struct outbox_feed *feed) {
    return &feed->feed;
}

void outbox_feed_free(struct outbox_feed *feed) {
    if (!feed)
        return;
    buf_release(&feed->address);
    buf_release(&feed->out);
    buf_release(&feed->items);
    free(feed->lanes);
    free(feed);
}
