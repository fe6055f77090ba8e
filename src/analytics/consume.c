/* consume.c - every lane is read on its own; what was counted is stored together. */
#include <stdlib.h>

#include "analytics/internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "edge/tracer.h"

/* Short, as questions wait for it to be read; */
#define READ_BYTES ((size_t)64 << 10)
/* and for so many events of it to be counted, about an eighth of a millisecond: a source may give
 * thousands at once. */
#define PIECE_EVENTS 128

/* Of rows that leave windows, in one turn: events that come meanwhile must not keep the last ones
 * until the next minute. */
#define CATCH_UP_STEPS 8

/* From "there may be more" to reading it, where the source doesn't gather itself: under load the
 * store has more with every group it writes, and reading each lane for each group took a third of
 * the thread's time. */
#define GATHER_MS 50

void analytics_break(struct analytics_service *service, const char *what, enum err err) {
    if (service->own.broken)
        return;
    service->own.broken = true;
    analytics_set_answers(service, false);
    analytics_waiting_end(service, ERR_UNAVAILABLE);
    analytics_visits_go_on(service);
    log_line(LOG_ERROR, "analytics has stopped; counting goes on", LOG_STR("what", what),
             LOG_STR("error", err_name(err)));
}

static void halt(struct analytics_service *service, struct lane_read *lane, enum err err) {
    struct event_position at = analytics_position(service->own.analytics, lane->read.lane);

    lane->halted = true;
    analytics_halt(service->own.analytics, lane->read.lane);
    feed_drop(service->own.feed, lane->read.lane);
    analytics_observe(service);
    log_line(LOG_ERROR,
             "analytics: a lane's next event can't be had; its counters stand still and answers "
             "aren't exact any more",
             LOG_INT("lane", lane->read.lane), LOG_INT("epoch", at.epoch), LOG_INT("seq", at.seq),
             LOG_STR("error", err_name(err)));
}

/* ---- storing ---- */

static void begin(struct analytics_service *service) {
    buf_clear(&service->own.mark);
    feed_mark(service->own.feed, &service->own.mark);
    if (service->own.mark.len && !buf_failed(&service->own.mark))
        analytics_mark(service->own.analytics, buf_slice(&service->own.mark));
    if (!analytics_commit_begin(service->own.analytics))
        return;
    service->own.committing_ns = clock_mono_ns();
    if (!tracer_begin(&service->own.random, &service->own.trace))
        service->own.trace = (struct trace_context){0};
}

/* Of the commit that began then. */
static void observe_commit(struct analytics_service *service, enum err err) {
    const struct trace_context *trace = &service->own.trace;
    int64_t duration_ns = clock_mono_ns() - service->own.committing_ns;
    uint64_t duration_us = (uint64_t)duration_ns / 1000;
    struct metrics *m = service->conf.metrics;

    metrics_observe(m, service->conf.shard, service->series.commit, duration_us);
    if (!tracer_wants(trace))
        return;
    struct span span = tracer_span(trace, SPAN_INTERNAL);
    span.name[0] = SLICE("analytics commit");
    span.failed = err != ERR_OK;
    tracer_end(&span, duration_ns);
    metrics_exemplar(m, service->series.commit, duration_us, trace, clock_wall_ms());
}

/* As analytics_commit_end(). */
static enum err end(struct analytics_service *service, bool wait) {
    enum err err = analytics_commit_end(service->own.analytics, wait);

    if (err == ERR_BUSY)
        return err;
    if (service->own.committing_ns)
        observe_commit(service, err);
    service->own.committing_ns = 0;
    if (err != ERR_OK) {
        analytics_break(service, "its store could not write", err);
        return err;
    }
    for (uint32_t i = 0; i < service->own.lanes; i++)
        feed_report(service->own.feed, i, analytics_stored_position(service->own.analytics, i));
    analytics_observe(service);
    return err;
}

void analytics_commit_soon(struct analytics_service *service) {
    begin(service);
}

bool analytics_commits(const struct analytics_service *service) {
    return service->own.committing_ns != 0;
}

void analytics_settle(struct analytics_service *service) {
    if (service->own.broken || end(service, true) != ERR_OK)
        return;
    begin(service);
    (void)end(service, true); /* has said so */
}

static void commit_due(struct timer *timer) {
    struct analytics_service *service = CONTAINER_OF(timer, struct analytics_service, own.commit);

    if (!service->own.broken) /* what is pending may be half of an event */
        begin(service);
}

static void settle_soon(struct analytics_service *service) {
    service->own.commit.fire = commit_due;
    if (!timer_armed(&service->own.commit))
        timer_start(service->loop, &service->own.commit, service->conf.commit_ms);
}

static void read_on(struct lane_read *lane);

/* Lanes that found no room go on. */
static void run_stored(struct mail *mail) {
    struct analytics_service *service = CONTAINER_OF(mail, struct analytics_service, stored);

    atomic_store(&service->stored_sent, false);
    if (service->own.broken || end(service, false) != ERR_OK)
        return;
    if (analytics_dirty(service->own.analytics) && !service->own.stopping)
        settle_soon(service);
    analytics_visits_go_on(service);
    for (uint32_t i = 0; i < service->own.lanes; i++)
        if (service->own.reads[i].no_room) {
            service->own.reads[i].no_room = false;
            read_on(&service->own.reads[i]);
        }
}

static void drop_stored(struct mail *mail) {
    (void)mail; /* part of the service */
}

void analytics_commit_ended(void *ctx) {
    struct analytics_service *service = ctx;

    if (atomic_exchange(&service->stored_sent, true))
        return;
    service->stored = (struct mail){.run = run_stored, .drop = drop_stored};
    if (mailbox_send(loop_mailbox(service->loop), &service->stored) != ERR_OK)
        abort(); /* one at a time: the mailbox has room */
}

/* ---- reading ---- */

/* Nothing is counted now. */
static bool pauses(const struct analytics_service *service) {
    return service->own.held || service->own.stands || service->own.reopening ||
           service->own.broken || service->own.stopping;
}

static void read_on(struct lane_read *lane) {
    struct analytics_service *service = lane->service;

    if (lane->under_way || lane->halted || lane->no_room || pauses(service))
        return;
    lane->read.after = analytics_position(service->own.analytics, lane->read.lane);
    lane->under_way = true;
    service->own.reading++;
    feed_read(service->own.feed, &lane->read);
}

static void catch_up(struct timer *timer) {
    struct analytics_service *service = CONTAINER_OF(timer, struct analytics_service, own.catch_up);

    if (service->own.broken || service->own.stopping)
        return;
    enum err err = ERR_OK;
    for (unsigned i = 0; i < CATCH_UP_STEPS && err == ERR_OK && !service->own.broken &&
                         analytics_is_behind(service->own.analytics);
         i++) {
        analytics_answer_between(service);
        err = analytics_catch_up(service->own.analytics);
    }
    if (err != ERR_OK)
        analytics_break(service, "its store could not be read", err);
    else if (analytics_is_behind(service->own.analytics))
        timer_start(service->loop, timer, 0);
}

enum err analytics_move_windows(struct analytics_service *service, int64_t now_ms) {
    enum err err = analytics_move(service->own.analytics, now_ms);

    service->own.catch_up.fire = catch_up;
    if (err == ERR_OK && analytics_is_behind(service->own.analytics) &&
        !timer_armed(&service->own.catch_up))
        timer_start(service->loop, &service->own.catch_up, 0);
    return err;
}

/* ERR_OK, ERR_BUSY: no room before the commit that is under way has ended; or why the lane or
 * everything ends. */
static enum err count_some(struct analytics_service *service, const struct event *events,
                           size_t n) {
    struct analytics *analytics = service->own.analytics;
    /* As late as what was answered in this turn: windows don't go back for it. */
    enum err err = analytics_move_windows(service, clock_wall_ms());

    if (err == ERR_OK)
        err = analytics_apply(analytics, events, n);
    if (err == ERR_BUSY) {
        begin(service);
        err = analytics_apply(analytics, events, n);
    }
    return err;
}

/* Those who ask are answered between its pieces. */
static enum err count(struct analytics_service *service, const struct event *events, size_t n) {
    enum err err = ERR_OK;

    while (err == ERR_OK && n) {
        size_t piece = n < PIECE_EVENTS ? n : PIECE_EVENTS;
        size_t some = analytics_until_stop(service, events, piece);

        analytics_answer_between(service);
        if (service->own.broken)
            return ERR_OK; /* has said so */
        err = count_some(service, events, some);
        analytics_stopped(service);
        events += some;
        n -= some;
    }
    return err;
}

static void on_events(struct feed_read *read, enum err err, const struct event *events,
                      size_t count_of) {
    struct lane_read *lane = CONTAINER_OF(read, struct lane_read, read);
    struct analytics_service *service = lane->service;

    lane->under_way = false;
    service->own.reading--;
    if (err == ERR_UNAVAILABLE || (err == ERR_OK && count_of == 0) || pauses(service))
        return; /* more() tells, or the end of the pause */
    bool unreadable = err != ERR_OK && err != ERR_NO_MEMORY;

    if (err == ERR_OK)
        err = count(service, events, count_of);
    lane->no_room = err == ERR_BUSY;
    if (unreadable || err == ERR_TRIMMED)
        halt(service, lane, err);
    else if (err != ERR_OK && err != ERR_BUSY)
        analytics_break(service, "events could not be counted", err);
    settle_soon(service);
    read_on(lane);
}

void analytics_read_on(struct analytics_service *service) {
    for (uint32_t i = 0; i < service->own.lanes; i++)
        read_on(&service->own.reads[i]);
}

static void read_all(struct timer *timer) {
    analytics_read_on(CONTAINER_OF(timer, struct analytics_service, own.gather));
}

static void on_more(void *ctx) {
    struct analytics_service *service = ctx;

    service->own.gather.fire = read_all;
    if (!timer_armed(&service->own.gather) && !service->own.stopping)
        timer_start(service->loop, &service->own.gather, service->own.gathered ? 0 : GATHER_MS);
}

uint64_t analytics_lag(const struct analytics_service *service) {
    uint64_t lag = 0;

    for (uint32_t i = 0; i < service->own.lanes; i++) {
        struct event_position at = analytics_position(service->own.analytics, i);
        struct event_position end = feed_end(service->own.feed, i);

        if (analytics_elsewhere(service->own.analytics, i))
            continue;
        if (end.epoch == at.epoch && end.seq > at.seq)
            lag += end.seq - at.seq;
        else if (end.epoch > at.epoch)
            lag += end.seq;
    }
    return lag;
}

/* ---- open ---- */

static bool make_reads(struct analytics_service *service, uint32_t lanes) {
    service->own.reads = calloc(lanes, sizeof(*service->own.reads));
    if (!service->own.reads)
        return false;
    service->own.lanes = lanes;
    for (uint32_t i = 0; i < lanes; i++)
        service->own.reads[i] = (struct lane_read){
            .read = {.lane = i, .max_bytes = READ_BYTES, .done = on_events}, .service = service};
    return true;
}

static void on_opened(void *ctx, enum err err, const struct feed_info *info) {
    struct analytics_service *service = ctx;

    if (err == ERR_OK)
        err = analytics_source(service->own.analytics, info->store_id, info->lanes, info->reported);
    if (err == ERR_OK && !service->own.reads && !make_reads(service, info->lanes))
        err = ERR_NO_MEMORY;
    service->own.gathered = err == ERR_OK && info->gathered;
    if (err == ERR_LAYOUT)
        analytics_break(service,
                        "the folder analytics in --data was made for another store; removed, it "
                        "is made anew from the events that the outbox still has",
                        err);
    else if (err != ERR_OK)
        analytics_break(service, "the events can't be had", err);
    else
        analytics_set_answers(service, true);
    if (err == ERR_OK)
        analytics_read_on(service);
    analytics_announce(service);
}

/* Nothing is what has been counted, and that can be said: answers are empty, and whole. */
static void on_empty(void *ctx) {
    analytics_set_answers(ctx, true);
}

struct feed_user analytics_consumer(struct analytics_service *service) {
    return (struct feed_user){
        .ctx = service, .opened = on_opened, .empty = on_empty, .more = on_more};
}
