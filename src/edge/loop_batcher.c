/* loop_batcher.c - the batcher's turn of each tick. */
#include "edge/loop_batcher.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "edge/tracer.h"
#include "loop/timer.h"

/* RELIABILITY 3.9. In process a message can't get lost between the loop and the store, and what the
 * store refuses it refuses for good: there a few attempts bridge a full mailbox. */
#define ATTEMPTS_MAX   3
#define BACKOFF_MIN_MS 25
#define BACKOFF_MAX_MS 1000

struct loop_batcher {
    struct upstream timed; /* the batcher's: 'upstream', with the time of sending */
    struct upstream *upstream;
    struct loop *loop;
    struct loop_batcher_user user;
    int64_t clock_ahead_ms;
    enum err clock_unknown;
    struct batcher *batcher;
    struct loop_hook flush;
    struct timer poll; /* armed only while the batcher waits for something */
};

/* ---- a delivery as a span ---- */

static enum err on_send(struct upstream *timed, struct delivery *delivery) {
    struct upstream *upstream = CONTAINER_OF(timed, struct loop_batcher, timed)->upstream;

    if (tracer_wants(delivery->trace))
        delivery->sent_ns = clock_mono_ns();
    return upstream->send(upstream, delivery);
}

static int64_t on_wait(struct upstream *timed) {
    struct upstream *upstream = CONTAINER_OF(timed, struct loop_batcher, timed)->upstream;

    return upstream->wait_until_ms(upstream);
}

static int64_t on_lost(struct upstream *timed, const struct delivery *delivery, int64_t now_ms) {
    struct upstream *upstream = CONTAINER_OF(timed, struct loop_batcher, timed)->upstream;

    return upstream->lost_ms(upstream, delivery, now_ms);
}

static void end_span(const struct delivery *delivery) {
    struct span span = tracer_span(delivery->trace, SPAN_CLIENT);

    span.name[0] = SLICE("batch");
    span.failed = delivery->err != ERR_OK;
    span_number(&span, SLICE("hgp.batch.operations"), (int64_t)delivery->message->count);
    span_number(&span, SLICE("hgp.batch.attempt"), delivery->attempt);
    span_text(&span, SLICE("hgp.error"), slice_str(err_name(delivery->err)));
    tracer_end(&span, clock_mono_ns() - delivery->sent_ns);
}

/* ---- its turn ---- */

static void publish(struct loop_batcher *lb) {
    struct batcher_stats now;

    batcher_stats(lb->batcher, &now);
    lb->user.published(lb->user.ctx, &now);
}

/* Deadlines and retries need a timer only while something is under way. One that comes early just
 * polls and is armed again, so that a busy loop doesn't move it at every tick. */
static void arm_poll(struct loop_batcher *lb) {
    int64_t now_ms = loop_now_ms(lb->loop);
    int64_t next_ms = batcher_poll(lb->batcher, now_ms);

    if (next_ms != INT64_MAX && (!timer_armed(&lb->poll) || next_ms < lb->poll.at_ms))
        timer_start(lb->loop, &lb->poll, next_ms > now_ms ? next_ms - now_ms : 0);
}

static void on_poll(struct timer *timer) {
    arm_poll(CONTAINER_OF(timer, struct loop_batcher, poll));
}

static void on_tick(struct loop_hook *hook) {
    struct loop_batcher *lb = CONTAINER_OF(hook, struct loop_batcher, flush);

    if (batcher_idle(lb->batcher))
        return;
    int64_t now_ms = loop_now_ms(lb->loop);

    /* By the store's clock, not the wall clock: a step of that must not make a message too old. */
    batcher_flush(lb->batcher, now_ms, now_ms + lb->clock_ahead_ms);
    publish(lb);
    arm_poll(lb);
    /* What was answered just now (a deadline that had passed) came too late for this tick. */
    if (lb->user.owes(lb->user.ctx))
        timer_start(lb->loop, &lb->poll, 0);
}

struct loop_batcher *loop_batcher_new(struct loop *loop, const struct loop_batcher_conf *conf,
                                      struct upstream *upstream,
                                      const struct loop_batcher_user *user) {
    struct loop_batcher *lb = calloc(1, sizeof(*lb));
    struct batcher_conf own = {
        .ops_max = conf->ops_max,
        .queue_max = conf->queue_max,
        .in_flight_max = conf->in_flight_max,
        .attempts_max = ATTEMPTS_MAX,
        .attempt_ms = conf->attempt_ms,
        .backoff_min_ms = BACKOFF_MIN_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
        .producer = {random_u64(), random_u64()},
        .seed = random_u64(),
        .spans = tracer_on(),
    };

    if (!lb)
        return NULL;
    lb->upstream = upstream;
    lb->timed.send = on_send;
    lb->timed.wait_until_ms = upstream->wait_until_ms ? on_wait : NULL;
    lb->timed.lost_ms = upstream->lost_ms ? on_lost : NULL;
    lb->batcher = batcher_new(&own, &lb->timed);
    if (!lb->batcher) {
        free(lb);
        return NULL;
    }
    lb->loop = loop;
    lb->user = *user;
    lb->clock_ahead_ms = conf->clock_ahead_ms;
    lb->clock_unknown = conf->clock_unknown;
    lb->flush.run = on_tick;
    lb->poll.fire = on_poll;
    loop_hook_add(loop, &lb->flush);
    return lb;
}

void loop_batcher_free(struct loop_batcher *lb) {
    if (!lb)
        return;
    loop_hook_remove(&lb->flush);
    timer_stop(lb->loop, &lb->poll);
    batcher_free(lb->batcher);
    free(lb);
}

void loop_batcher_set_clock(struct loop_batcher *lb, int64_t clock_ahead_ms) {
    lb->clock_ahead_ms = clock_ahead_ms;
    lb->clock_unknown = ERR_OK;
}

enum err loop_batcher_admit(struct loop_batcher *lb) {
    return batcher_admit(lb->batcher);
}

void loop_batcher_limit(struct loop_batcher *lb, int64_t least_ms, int64_t most_ms) {
    batcher_limit(lb->batcher, least_ms, most_ms);
}

enum err loop_batcher_add(struct loop_batcher *lb, const struct op *op, struct waiter *waiter) {
    /* A message stamped with a guess would look too old, or from the future, when it arrives. */
    if (UNLIKELY(lb->clock_unknown != ERR_OK))
        return lb->clock_unknown;
    return batcher_add(lb->batcher, op, waiter);
}

void loop_batcher_delivered(struct loop_batcher *lb, struct delivery *delivery) {
    if (tracer_wants(delivery->trace))
        end_span(delivery);
    batcher_delivered(lb->batcher, delivery, loop_now_ms(lb->loop));
    publish(lb);
}

bool loop_batcher_idle(const struct loop_batcher *lb) {
    return batcher_idle(lb->batcher);
}
