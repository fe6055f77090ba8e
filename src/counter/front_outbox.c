/* front_outbox.c - a follower's messages become calls of its feed, the feed's answers messages. */
#include "counter/front_outbox.h"

#include <stdlib.h>

#include "base/attr.h"
#include "core/consumers.h"
#include "counter/feed.h"
#include "edge/outbox_codec.h"
#include "loop/timer.h"

/* What a read asks the store for, and what one answer may hold; both at least one event. */
#define READ_BYTES   ((size_t)64 << 10)
#define ANSWER_BYTES ((size_t)96 << 10)

/* From "there may be more" to saying so: the store has more with every group it writes. */
#define GATHER_MS 20

struct front_outbox {
    struct loop *loop;
    struct counter_service *service;
    void (*settled)(void *ctx);
    void *ctx;
    unsigned followers;
    struct buf message;   /* answers are written here */
    struct buf positions; /* requests are read into this */
};

struct follow_lane {
    struct feed_read read;
    struct follower *follower;
    bool under_way;
};

struct follower {
    struct front_outbox *outbox;
    struct grpc_call *call; /* NULL: it has gone */
    struct counter_feed *feed;
    struct follow_lane *lanes;
    uint32_t lane_count; /* 0: not opened yet */
    struct timer gather;
};

/* ---- the end ---- */

static void on_closed(void *ctx) {
    struct follower *follower = ctx;
    struct front_outbox *outbox = follower->outbox;

    counter_feed_free(follower->feed);
    free(follower->lanes);
    free(follower);
    if (--outbox->followers == 0)
        outbox->settled(outbox->ctx);
}

/* Behind grpc_finish(). What is under way comes back before on_closed(). */
static void leave(struct follower *follower) {
    follower->call = NULL;
    timer_stop(follower->outbox->loop, &follower->gather);
    feed_close(counter_feed_base(follower->feed), on_closed, follower);
}

static void end(struct follower *follower, enum err err, struct slice detail) {
    grpc_fail(follower->call, err, detail);
    leave(follower);
}

static void answer(struct follower *follower) {
    struct buf *message = &follower->outbox->message;

    if (buf_failed(message))
        end(follower, ERR_NO_MEMORY, SLICE(""));
    else
        grpc_send(follower->call, buf_slice(message));
}

/* ---- the feed's side ---- */

static bool make_lanes(struct follower *follower, uint32_t count);

static void on_opened(void *ctx, enum err err, const struct feed_info *info) {
    struct follower *follower = ctx;
    struct buf *message = &follower->outbox->message;

    if (!follower->call)
        return;
    if (err == ERR_OK && !make_lanes(follower, info->lanes))
        err = ERR_NO_MEMORY;
    if (err != ERR_OK) {
        end(follower, err, SLICE(""));
        return;
    }
    buf_clear(message);
    outbox_write_opened(message, info->store_id, info->reported, info->lanes);
    answer(follower);
}

static void say_more(struct timer *timer) {
    struct follower *follower = CONTAINER_OF(timer, struct follower, gather);
    struct buf *message = &follower->outbox->message;

    buf_clear(message);
    outbox_write_more(message);
    answer(follower);
}

static void on_more(void *ctx) {
    struct follower *follower = ctx;

    if (follower->call && !timer_armed(&follower->gather))
        timer_start(follower->outbox->loop, &follower->gather, GATHER_MS);
}

static void on_events(struct feed_read *read, enum err err, const struct event *events,
                      size_t count) {
    struct follow_lane *lane = CONTAINER_OF(read, struct follow_lane, read);
    struct follower *follower = lane->follower;
    struct buf *message = &follower->outbox->message;

    lane->under_way = false;
    if (!follower->call)
        return;
    struct lane_position lane_end = {read->lane,
                                     feed_end(counter_feed_base(follower->feed), read->lane)};
    buf_clear(message);
    outbox_write_events(message, lane_end, err, events, count, ANSWER_BYTES);
    answer(follower);
}

static bool make_lanes(struct follower *follower, uint32_t count) {
    follower->lanes = calloc(count, sizeof(*follower->lanes));
    if (!follower->lanes)
        return false;
    follower->lane_count = count;
    for (uint32_t i = 0; i < count; i++)
        follower->lanes[i] = (struct follow_lane){
            .read = {.lane = i, .max_bytes = READ_BYTES, .done = on_events}, .follower = follower};
    return true;
}

/* ---- the client's side ---- */

/* Whoever else registers would have the outbox kept for good; NULL. */
static const char *consumer_named(struct slice name) {
    static const char *const names[] = {CONSUMER_ANALYTICS, CONSUMER_RECOUNT};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq(name, slice_str(names[i])))
            return names[i];
    return NULL;
}

static void open_feed(struct front_outbox *outbox, struct grpc_call *call, struct slice consumer) {
    struct follower *follower;

    const char *name = consumer_named(consumer);

    if (!name) {
        grpc_fail(call, ERR_INVALID,
                  SLICE("open: must be \"" CONSUMER_ANALYTICS "\" or \"" CONSUMER_RECOUNT "\""));
        return;
    }
    follower = calloc(1, sizeof(*follower));
    if (follower)
        follower->feed = counter_feed_new(outbox->service, name, loop_mailbox(outbox->loop));
    if (!follower || !follower->feed) {
        free(follower);
        grpc_fail(call, ERR_NO_MEMORY, SLICE(""));
        return;
    }
    follower->outbox = outbox;
    follower->call = call;
    follower->gather.fire = say_more;
    outbox->followers++;
    grpc_set_data(call, follower);
    struct feed_user user = {.ctx = follower, .opened = on_opened, .more = on_more};
    feed_open(counter_feed_base(follower->feed), &user);
}

static void start_read(struct follower *follower, struct lane_position after) {
    struct follow_lane *lane =
        after.lane < follower->lane_count ? &follower->lanes[after.lane] : NULL;

    if (!lane || lane->under_way) {
        end(follower, ERR_INVALID, SLICE("read: no such lane, or it is being read"));
        return;
    }
    lane->under_way = true;
    lane->read.after = after.at;
    feed_read(counter_feed_base(follower->feed), &lane->read);
}

static void take_reports(struct follower *follower, size_t count) {
    const struct lane_position *at =
        (const struct lane_position *)(const void *)follower->outbox->positions.ptr;

    for (size_t i = 0; i < count; i++)
        if (at[i].lane < follower->lane_count)
            feed_report(counter_feed_base(follower->feed), at[i].lane, at[i].at);
}

/* The stream's own goes on being followed until it ends, and reports into nothing. */
static void forget(struct follower *follower, struct slice consumer) {
    enum err err = slice_eq(consumer, SLICE(CONSUMER_RECOUNT))
                       ? counter_forget_consumer(follower->outbox->service, CONSUMER_RECOUNT)
                       : ERR_INVALID;

    if (err == ERR_INVALID)
        end(follower, err, SLICE("forget: must be \"" CONSUMER_RECOUNT "\""));
    else if (err != ERR_OK)
        end(follower, err, SLICE("")); /* it comes again with the next stream */
}

static void on_request(void *ctx, struct grpc_call *call, struct slice bytes) {
    struct front_outbox *outbox = ctx;
    struct follower *follower = grpc_data(call);
    struct outbox_request request;

    if (!outbox->service) {
        grpc_fail(call, ERR_NOT_IMPL, SLICE(FRONT_NOTHING_TO_FOLLOW));
        return;
    }
    enum err err = outbox_read_request(bytes, &outbox->positions, &request);
    bool opens = err == ERR_OK && request.kind == OUTBOX_OPEN;
    if (err == ERR_OK && opens != !follower)
        err = ERR_INVALID;
    if (err != ERR_OK && follower)
        end(follower, err, SLICE(""));
    else if (err != ERR_OK)
        grpc_fail(call, err, SLICE("not a FollowRequest, or none opened the stream"));
    else if (opens)
        open_feed(outbox, call, request.consumer);
    else if (request.kind == OUTBOX_READ)
        start_read(follower, request.read);
    else if (request.kind == OUTBOX_FORGET)
        forget(follower, request.consumer);
    else
        take_reports(follower, request.count);
}

/* Half-closed by its client, cancelled, or its connection is gone. */
static void on_end(void *ctx, struct grpc_call *call) {
    struct follower *follower = grpc_data(call);

    (void)ctx;
    grpc_finish(call, GRPC_OK, SLICE(""));
    if (follower)
        leave(follower);
}

/* ---- composition ---- */

struct front_outbox *front_outbox_new(struct loop *loop, struct counter_service *service,
                                      void (*settled)(void *ctx), void *ctx) {
    struct front_outbox *outbox = calloc(1, sizeof(*outbox));

    if (outbox)
        *outbox =
            (struct front_outbox){.loop = loop, .service = service, .settled = settled, .ctx = ctx};
    return outbox;
}

void front_outbox_free(struct front_outbox *outbox) {
    if (!outbox)
        return;
    buf_release(&outbox->message);
    buf_release(&outbox->positions);
    free(outbox);
}

void front_outbox_method(struct front_outbox *outbox, struct grpc_method *out) {
    *out = (struct grpc_method){.path = SLICE(OUTBOX_FOLLOW_PATH),
                                .handle = on_request,
                                .half_closed = on_end,
                                .gone = on_end,
                                .ctx = outbox,
                                .client_streams = true};
}

bool front_outbox_idle(const struct front_outbox *outbox) {
    return outbox->followers == 0;
}
