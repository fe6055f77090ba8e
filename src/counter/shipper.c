/* shipper.c - the thread: a loop, and at the end of each of its turns the producer's events and
 * what is due.
 *
 *     AWAY ── the topic is there ──► SHIPPING ── stop ──► FLUSHING ── in flight is 0 ──► CLOSING
 *      ▲ └──────── stop ─────────────────┼───────────────────┼─── or out of time ───────► ▲
 *      └──── the producer is finished ───┘                   └─ or the producer ──────────┘
 */
#include "counter/shipper.h"

#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "core/relay.h"
#include "edge/event_json.h"
#include "edge/event_proto.h"
#include "edge/kafka_producer.h"
#include "edge/tracer.h"
#include "loop/mailbox.h"
#include "loop/timer.h"

#define GATHER_MS    10   /* from the first new event to reading what has come with it; */
#define BEHIND_MS    2    /* when there is plenty already */
#define RETRY_MIN_MS 250  /* between attempts to reach Kafka, doubling up to */
#define RETRY_MAX_MS 2000 /* this */
#define FIGURES_MS   1000 /* while events wait: how old a figure may get */
#define LOG_AGAIN_MS 10000

enum state { AWAY, SHIPPING, FLUSHING, CLOSING, CLOSED };

struct shipper {
    struct shipper_conf conf;
    pthread_t thread;
    sem_t started; /* or not: 'start_err', 'start_detail' */
    enum err start_err;
    const char *start_detail;
    struct loop *loop; /* set before 'started' */

    struct { /* the thread's */
        struct loop_hook turn;
        struct timer due;
        struct feed *feed;
        enum state state;
        bool opened; /* the feed is */
        uint32_t lanes;
        bool stopping;
        struct relay *relay;
        struct kafka_producer *kafka;
        uint64_t store_id;
        struct buf key;
        struct buf value;
        bool broken;         /* an event couldn't be produced: the producer is finished */
        int64_t pump_at_ms;  /* INT64_MAX: nothing to read */
        int64_t retry_at_ms; /* in AWAY */
        int64_t retry_ms;
        int64_t stop_by_ms;
        int64_t oldest_ms; /* since when events wait, as far as is known; INT64_MAX: none do */
        int64_t logged_ms;
        char logged[256];
        struct { /* one event at a time, from being produced to Kafka's word on it */
            const struct relay_slot *slot; /* NULL: none */
            struct trace_context trace;
            uint32_t partition;
            int64_t since_ns;
            uint64_t random;
        } traced;
    } own;

    struct mail wake; /* from librdkafka's threads */
    atomic_bool waking;
    struct mail stop;
    int64_t flush_ms; /* the stop's */

    pthread_mutex_t lock; /* of 'status' */
    struct shipper_status status;

    struct {
        metric_series shipped;
        metric_series errors;
        metric_series restarts;
        metric_series in_flight;
        metric_series lag_events;
        metric_series lag;
        metric_series stopped;
        metric_series connected;
    } series;
};

static void drop(struct mail *mail) {
    (void)mail; /* part of the shipper */
}

/* ---- figures ---- */

static void make_series(struct shipper *s) {
    struct metrics *m = s->conf.metrics;

    s->series.shipped = metrics_series(m, METRIC_RELAY_EVENTS, "");
    s->series.errors = metrics_series(m, METRIC_RELAY_ERRORS, "");
    s->series.restarts = metrics_series(m, METRIC_RELAY_RESTARTS, "");
    s->series.in_flight = metrics_series(m, METRIC_RELAY_IN_FLIGHT, "");
    s->series.lag_events = metrics_series(m, METRIC_RELAY_LAG_EVENTS, "");
    s->series.lag = metrics_series(m, METRIC_RELAY_LAG, "");
    s->series.stopped = metrics_series(m, METRIC_RELAY_STOPPED, "");
    s->series.connected = metrics_series(m, METRIC_RELAY_CONNECTED, "");
}

/* With nothing in flight nobody has looked at the oldest: it waits at least since it was seen. */
static int64_t lag_ms(struct shipper *s, const struct relay_stats *stats, int64_t now_ms) {
    if (stats->lag_events == 0)
        s->own.oldest_ms = INT64_MAX;
    else if (stats->oldest_ms != INT64_MAX)
        s->own.oldest_ms = stats->oldest_ms;
    else if (s->own.oldest_ms == INT64_MAX)
        s->own.oldest_ms = now_ms;
    return s->own.oldest_ms < now_ms ? now_ms - s->own.oldest_ms : 0;
}

static void publish(struct shipper *s) {
    struct metrics *m = s->conf.metrics;
    unsigned shard = s->conf.shard;
    struct shipper_status *status = &s->status;
    struct relay_stats stats;
    int64_t now_ms = clock_wall_ms();

    relay_stats(s->own.relay, &stats);
    metrics_add(m, shard, s->series.shipped, stats.shipped_total - status->shipped_total);
    metrics_set(m, shard, s->series.in_flight, stats.in_flight);
    metrics_set(m, shard, s->series.lag_events, stats.lag_events);
    metrics_set(m, shard, s->series.stopped, stats.lanes_stopped);
    pthread_mutex_lock(&s->lock);
    if (stats.shipped_total > status->shipped_total) {
        status->last_shipped_ms = now_ms;
        status->connected = true;
    }
    status->shipped_total = stats.shipped_total;
    status->lag_events = stats.lag_events;
    status->in_flight = stats.in_flight;
    status->lanes_stopped = stats.lanes_stopped;
    status->lag_ms = lag_ms(s, &stats, now_ms);
    status->oldest_ms = s->own.oldest_ms;
    metrics_set(m, shard, s->series.lag, (uint64_t)status->lag_ms * 1000);
    metrics_set(m, shard, s->series.connected, status->connected ? 1 : 0);
    pthread_mutex_unlock(&s->lock);
}

void shipper_status(struct shipper *shipper, struct shipper_status *out) {
    pthread_mutex_lock(&shipper->lock);
    *out = shipper->status;
    pthread_mutex_unlock(&shipper->lock);
    /* The thread sleeps while nothing comes; what waits gets older all the same. */
    if (out->lag_events > 0 && clock_wall_ms() > out->oldest_ms)
        out->lag_ms = clock_wall_ms() - out->oldest_ms;
}

static void set_problem(struct shipper *s, const char *text) {
    pthread_mutex_lock(&s->lock);
    s->status.connected = false;
    s->status.errors_total++;
    (void)snprintf(s->status.problem, sizeof(s->status.problem), "%s", text);
    pthread_mutex_unlock(&s->lock);
    metrics_add(s->conf.metrics, s->conf.shard, s->series.errors, 1);
}

/* ---- the relay's sink ---- */

static void on_opened(void *ctx, enum err err, const struct feed_info *info) {
    struct shipper *s = ctx;

    s->own.opened = err == ERR_OK;
    if (err == ERR_OK) {
        s->own.store_id = info->store_id;
        s->own.lanes = info->lanes;
        if (info->lanes < s->conf.partitions)
            log_line(
                LOG_INFO, "the store has fewer lanes than the topic partitions: others stay empty",
                LOG_INT("lanes", info->lanes), LOG_INT("events_partitions", s->conf.partitions));
        return;
    }
    set_problem(s, err_text(err));
    log_line(LOG_ERROR, "events can't be read for Kafka", LOG_STR("error", err_name(err)));
}

/* ---- events as spans ---- */

static void begin_span(struct shipper *s, const struct relay_slot *slot, uint32_t partition) {
    if (s->own.traced.slot || !tracer_begin(&s->own.traced.random, &s->own.traced.trace))
        return;
    s->own.traced.slot = slot;
    s->own.traced.partition = partition;
    s->own.traced.since_ns = clock_mono_ns();
}

static void end_span(struct shipper *s, bool failed) {
    struct span span = tracer_span(&s->own.traced.trace, SPAN_PRODUCER);

    span.name[0] = SLICE("send");
    span.failed = failed;
    span_text(&span, SLICE("messaging.system"), SLICE("kafka"));
    span_text(&span, SLICE("messaging.operation.type"), SLICE("send"));
    span_number(&span, SLICE("messaging.destination.partition.id"), s->own.traced.partition);
    tracer_end(&span, clock_mono_ns() - s->own.traced.since_ns);
    s->own.traced.slot = NULL;
}

/* ---- what the relay wants ---- */

static bool on_produce(void *ctx, const struct event *event, struct relay_slot *slot) {
    struct shipper *s = ctx;

    event_key(event, &s->own.key);
    if (s->conf.protobuf)
        event_proto(event, s->own.store_id, &s->own.value);
    else
        event_json(event, s->own.store_id, &s->own.value);
    if (buf_failed(&s->own.key) || buf_failed(&s->own.value))
        return false;
    uint32_t partition = event->lane % s->conf.partitions;
    enum err err = kafka_produce(s->own.kafka, partition, buf_slice(&s->own.key),
                                 buf_slice(&s->own.value), event->et_ms, slot);
    s->own.broken |= err == ERR_UNKNOWN;
    if (err == ERR_OK && tracer_on())
        begin_span(s, slot, partition);
    return err == ERR_OK;
}

static void on_stopped(void *ctx, uint32_t lane, struct event_position at, enum err err) {
    struct shipper *s = ctx;
    char text[sizeof(s->status.problem)];

    (void)snprintf(text, sizeof(text),
                   "lane %" PRIu32 " has stopped behind event %" PRIu64 "-%" PRIu64 ": %s", lane,
                   at.epoch, at.seq, err_text(err));
    set_problem(s, text);
    log_line(LOG_ERROR, "no more events of a lane go to Kafka: the next one can't be had",
             LOG_INT("lane", lane), LOG_INT("epoch", (int64_t)at.epoch),
             LOG_INT("seq", (int64_t)at.seq), LOG_STR("error", err_name(err)));
}

static void on_work(void *ctx) {
    struct shipper *s = ctx;

    if (s->own.pump_at_ms == INT64_MAX)
        s->own.pump_at_ms = clock_mono_ms() + (relay_behind(s->own.relay) ? BEHIND_MS : GATHER_MS);
}

/* ---- the producer ---- */

static void run_wake(struct mail *mail) {
    atomic_store(&CONTAINER_OF(mail, struct shipper, wake)->waking, false);
}

static void on_wake(void *ctx) {
    struct shipper *s = ctx;

    /* At most one under way, so there is room. */
    if (!atomic_exchange(&s->waking, true) &&
        mailbox_send(loop_mailbox(s->loop), &s->wake) != ERR_OK)
        abort();
}

static void on_acked(void *ctx, void *opaque) {
    struct shipper *s = ctx;

    if (opaque == s->own.traced.slot)
        end_span(s, false);
    if (!s->own.broken && !relay_acked(s->own.relay, opaque)) {
        set_problem(s, "Kafka confirmed events out of order");
        s->own.broken = true;
    }
}

/* The same trouble again and again is one line in a while. */
static void on_problem(void *ctx, const char *text) {
    struct shipper *s = ctx;
    int64_t now_ms = clock_mono_ms();

    set_problem(s, text);
    if (strcmp(text, s->own.logged) == 0 && now_ms - s->own.logged_ms < LOG_AGAIN_MS)
        return;
    s->own.logged_ms = now_ms;
    (void)snprintf(s->own.logged, sizeof(s->own.logged), "%s", text);
    log_line(LOG_WARN, "Kafka", LOG_STR("problem", text));
}

static enum err new_producer(struct shipper *s, const char **out_detail) {
    struct kafka_conf conf = {
        .url = &s->conf.url,
        .partitions = s->conf.partitions,
        .queue_max = 2 * s->conf.in_flight, /* never full before the relay's limit */
        .ctx = s,
        .wake = on_wake,
        .acked = on_acked,
        .problem = on_problem,
    };

    return kafka_new(&conf, &s->own.kafka, out_detail);
}

static void go_away(struct shipper *s, int64_t now_ms) {
    s->own.state = AWAY;
    s->own.retry_at_ms = now_ms + s->own.retry_ms;
    s->own.retry_ms = s->own.retry_ms * 2 < RETRY_MAX_MS ? s->own.retry_ms * 2 : RETRY_MAX_MS;
}

static void lose_producer(struct shipper *s, int64_t now_ms) {
    relay_pause(s->own.relay);
    kafka_free(s->own.kafka);
    s->own.kafka = NULL;
    s->own.broken = false;
    if (s->own.traced.slot)
        end_span(s, true); /* nobody knows */
    metrics_add(s->conf.metrics, s->conf.shard, s->series.restarts, 1);
    if (s->own.stopping)
        s->own.state = CLOSING;
    else
        go_away(s, now_ms);
}

static void try_kafka(struct shipper *s, int64_t now_ms) {
    const char *detail = "";

    if (!s->own.kafka && new_producer(s, &detail) != ERR_OK) {
        on_problem(s, detail);
        go_away(s, now_ms);
        return;
    }
    if (kafka_prepare(s->own.kafka, s->own.lanes) != ERR_OK) {
        go_away(s, clock_mono_ms());
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->status.connected = true;
    pthread_mutex_unlock(&s->lock);
    log_line(LOG_INFO, "events go to Kafka", LOG_STR("brokers", s->conf.url.brokers),
             LOG_STR("topic", s->conf.url.topic));
    s->own.state = SHIPPING;
    s->own.retry_ms = RETRY_MIN_MS;
    relay_resume(s->own.relay);
}

/* ---- the end ---- */

static void run_stop(struct mail *mail) {
    struct shipper *s = CONTAINER_OF(mail, struct shipper, stop);

    s->own.stopping = true;
    s->own.stop_by_ms = clock_mono_ms() + s->flush_ms;
}

static void on_closed(void *ctx) {
    loop_stop(((struct shipper *)ctx)->loop);
}

static void begin_end(struct shipper *s) {
    if (s->own.state == SHIPPING) {
        relay_drain(s->own.relay);
        s->own.state = FLUSHING;
    } else if (s->own.state == AWAY) {
        s->own.state = CLOSING;
    }
}

static void flush(struct shipper *s, int64_t now_ms) {
    struct relay_stats stats;

    relay_stats(s->own.relay, &stats);
    if (stats.in_flight > 0 && now_ms < s->own.stop_by_ms)
        return;
    if (stats.in_flight > 0)
        log_line(LOG_WARN,
                 "Kafka has not confirmed everything: the rest is sent again after the "
                 "next start",
                 LOG_INT("events", (int64_t)stats.in_flight));
    s->own.state = CLOSING;
}

static void close_down(struct shipper *s) {
    relay_pause(s->own.relay);
    kafka_free(s->own.kafka);
    s->own.kafka = NULL;
    timer_stop(s->loop, &s->own.due);
    s->own.state = CLOSED;
    feed_close(s->own.feed, on_closed, s);
}

/* ---- the thread ---- */

static void act(struct shipper *s) {
    int64_t now_ms = clock_mono_ms();

    if (s->own.kafka && (kafka_serve(s->own.kafka) != ERR_OK || s->own.broken))
        lose_producer(s, now_ms);
    if (s->own.stopping)
        begin_end(s);
    if (s->own.state == AWAY && s->own.opened && now_ms >= s->own.retry_at_ms)
        try_kafka(s, now_ms);
    if (s->own.state == SHIPPING && now_ms >= s->own.pump_at_ms) {
        s->own.pump_at_ms = INT64_MAX;
        relay_pump(s->own.relay);
    }
    if (s->own.state == FLUSHING)
        flush(s, now_ms);
}

/* INT64_MAX: nothing is due by itself. */
static int64_t due_ms(const struct shipper *s) {
    int64_t until_ms = INT64_MAX;
    int64_t now_ms = clock_mono_ms();

    if (s->own.state == AWAY && s->own.opened)
        until_ms = s->own.retry_at_ms;
    if (s->own.state == SHIPPING && s->own.pump_at_ms < until_ms)
        until_ms = s->own.pump_at_ms;
    if (s->own.state == FLUSHING)
        until_ms = s->own.stop_by_ms;
    if (s->status.lag_events > 0 && now_ms + FIGURES_MS < until_ms)
        until_ms = now_ms + FIGURES_MS;
    return until_ms;
}

static void on_due(struct timer *timer) {
    (void)timer; /* the turn's end does what is due */
}

static void sleep_until_due(struct shipper *s) {
    int64_t until_ms = due_ms(s);
    int64_t now_ms = loop_now_ms(s->loop);

    if (until_ms == INT64_MAX)
        timer_stop(s->loop, &s->own.due);
    else
        timer_start(s->loop, &s->own.due, until_ms > now_ms ? until_ms - now_ms : 0);
}

static void on_turn(struct loop_hook *hook) {
    struct shipper *s = CONTAINER_OF(hook, struct shipper, own.turn);

    if (s->own.state == CLOSED)
        return;
    act(s);
    publish(s);
    if (s->own.state == CLOSING)
        close_down(s);
    else
        sleep_until_due(s);
}

static enum err make_parts(struct shipper *s) {
    struct loop_conf loop_conf = {.backend = LOOP_EPOLL}; /* a few sockets at most */
    struct relay_sink sink = {.ctx = s,
                              .opened = on_opened,
                              .produce = on_produce,
                              .stopped = on_stopped,
                              .work = on_work};

    s->start_detail = err_text(ERR_NO_MEMORY);
    if (loop_new(&loop_conf, &s->loop) != ERR_OK)
        return ERR_NO_MEMORY;
    s->own.feed = s->conf.feed.make(s->conf.feed.ctx, s->loop);
    if (!s->own.feed)
        return ERR_NO_MEMORY;
    s->own.relay = relay_new(s->own.feed, &sink, s->conf.in_flight);
    if (!s->own.relay)
        return ERR_NO_MEMORY;
    /* Here, so that a configuration that librdkafka refuses is a start that fails. */
    return new_producer(s, &s->start_detail);
}

static void release_parts(struct shipper *s) {
    kafka_free(s->own.kafka);
    relay_free(s->own.relay);
    if (s->own.feed)
        s->conf.feed.release(s->conf.feed.ctx);
    loop_free(s->loop);
}

/* False: what the loop holds can't be taken apart in order any more. */
static bool serve(struct shipper *s) {
    s->own.due.fire = on_due;
    s->own.turn.run = on_turn;
    loop_hook_add(s->loop, &s->own.turn);
    relay_open(s->own.relay);
    if (loop_run(s->loop) == ERR_OK)
        return true;
    set_problem(s, "the relay's event loop broke");
    log_line(LOG_ERROR, "no more events go to Kafka: the relay's event loop broke");
    return false;
}

static void *run(void *arg) {
    struct shipper *s = arg;

    s->start_err = make_parts(s);
    bool serves = s->start_err == ERR_OK;
    sem_post(&s->started);
    if (!serves || serve(s))
        release_parts(s);
    else
        kafka_free(s->own.kafka); /* its threads end here in any case */
    return NULL;
}

/* ---- life ---- */

static void release(struct shipper *s) {
    buf_release(&s->own.key);
    buf_release(&s->own.value);
    (void)sem_destroy(&s->started);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

static enum err run_thread(struct shipper *s, const char **out_detail) {
    if (pthread_create(&s->thread, NULL, run, s) != 0)
        return ERR_NO_MEMORY;
    (void)pthread_setname_np(s->thread, "hgp-relay");
    while (sem_wait(&s->started) != 0)
        ;
    if (s->start_err == ERR_OK)
        return ERR_OK;
    (void)pthread_join(s->thread, NULL);
    *out_detail = s->start_detail;
    return s->start_err;
}

enum err shipper_start(const struct shipper_conf *conf, struct shipper **out,
                       const char **out_detail) {
    struct shipper *s = calloc(1, sizeof(*s));

    *out_detail = err_text(ERR_NO_MEMORY);
    if (!s)
        return ERR_NO_MEMORY;
    s->conf = *conf;
    s->own.pump_at_ms = INT64_MAX;
    s->own.oldest_ms = INT64_MAX;
    s->own.retry_ms = RETRY_MIN_MS;
    s->own.traced.random = random_u64();
    s->wake = (struct mail){.run = run_wake, .drop = drop};
    s->stop = (struct mail){.run = run_stop, .drop = drop};
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)sem_init(&s->started, 0, 0);
    (void)snprintf(s->status.problem, sizeof(s->status.problem), "no broker was reached yet");
    make_series(s);
    enum err err = run_thread(s, out_detail);
    if (err != ERR_OK) {
        release(s);
        return err;
    }
    *out = s;
    return ERR_OK;
}

void shipper_stop(struct shipper *shipper, int64_t flush_ms) {
    if (!shipper)
        return;
    shipper->flush_ms = flush_ms;
    if (mailbox_send(loop_mailbox(shipper->loop), &shipper->stop) != ERR_OK)
        abort();
    (void)pthread_join(shipper->thread, NULL);
    release(shipper);
}
