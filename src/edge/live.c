/* live.c - a watch's turns, and counters as its topics. */
#include "edge/live.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "loop/timer.h"

#define STALE_MS 1000
/* Of one loop: counters at about 250 bytes and their names. */
#define TOPICS_MAX 65536u
/* Reads in an interval, counters at 1: about 1 % of a core where a read costs a microsecond. What
 * is more is read less often. */
#define BUDGET 1000u

struct live {
    struct loop *loop;
    struct live_conf conf;
    struct watch *watch;
    struct loop_batcher *batcher;
    struct loop_hook hook;
    struct timer timer; /* only while something is followed */
    int64_t next_ms;    /* the watch's next turn */
    uint64_t reads;     /* as the metrics have them */
    size_t open;        /* streams */
    bool stirred;       /* something has happened since its last one */
};

/* ---- what loops share ------------------------------------------------------ */

void live_shared_init(struct live_shared *shared, struct metrics *metrics, const char *transport,
                      size_t streams_max) {
    char label[32];

    (void)snprintf(label, sizeof(label), "transport=\"%s\"", transport);
    shared->metrics = metrics;
    shared->streams_max = streams_max;
    shared->open = metrics_series(metrics, METRIC_STREAMS, label);
    shared->refused = metrics_series(metrics, METRIC_STREAMS_REFUSED, label);
    shared->dropped = metrics_series(metrics, METRIC_STREAMS_DROPPED, label);
    shared->frames = metrics_series(metrics, METRIC_STREAM_FRAMES, label);
    shared->reads = metrics_series(metrics, METRIC_STREAM_READS, label);
}

static void count(struct live *live, metric_series series, uint64_t n) {
    metrics_add(live->conf.shared->metrics, live->conf.shard, series, n);
}

static void set_open(struct live *live, size_t open) {
    live->open = open;
    metrics_set(live->conf.shared->metrics, live->conf.shard, live->conf.shared->open, open);
}

bool live_admit(struct live *live) {
    struct live_shared *shared = live->conf.shared;

    if (atomic_fetch_add_explicit(&shared->streams, 1, memory_order_relaxed) <
        shared->streams_max) {
        set_open(live, live->open + 1);
        return true;
    }
    atomic_fetch_sub_explicit(&shared->streams, 1, memory_order_relaxed);
    count(live, shared->refused, 1);
    return false;
}

void live_dismiss(struct live *live, bool slow) {
    atomic_fetch_sub_explicit(&live->conf.shared->streams, 1, memory_order_relaxed);
    set_open(live, live->open - 1);
    if (slow)
        count(live, live->conf.shared->dropped, 1);
}

void live_told(struct live *live) {
    count(live, live->conf.shared->frames, 1);
}

/* ---- turns ----------------------------------------------------------------- */

static void arm(struct live *live) {
    int64_t now_ms = loop_now_ms(live->loop);

    if (live->next_ms == INT64_MAX)
        timer_stop(live->loop, &live->timer);
    else if (!timer_armed(&live->timer) || live->next_ms < live->timer.at_ms)
        timer_start(live->loop, &live->timer, live->next_ms > now_ms ? live->next_ms - now_ms : 0);
}

/* A tick is enough: its hook does the work. */
static void on_timer(struct timer *timer) {
    (void)timer;
}

static void on_tick(struct loop_hook *hook) {
    struct live *live = CONTAINER_OF(hook, struct live, hook);
    int64_t now_ms = loop_now_ms(live->loop);

    if (live->stirred || now_ms >= live->next_ms) {
        live->stirred = false;
        live->next_ms = watch_poll(live->watch, now_ms);
        count(live, live->conf.shared->reads, watch_reads(live->watch) - live->reads);
        live->reads = watch_reads(live->watch);
    }
    arm(live);
}

struct live *live_new(struct loop *loop, const struct live_conf *conf) {
    struct live *live = calloc(1, sizeof(*live));
    struct watch_conf watch = {
        .interval_ms = LIVE_INTERVAL_MS,
        .heartbeat_ms = conf->heartbeat_ms,
        .first_ms = conf->read_ms,
        .stale_ms = STALE_MS,
        .budget = BUDGET,
        .topics_max = TOPICS_MAX,
        .seed = {random_u64(), random_u64()},
    };

    if (!live)
        return NULL;
    live->watch = watch_new(&watch);
    if (!live->watch) {
        free(live);
        return NULL;
    }
    live->loop = loop;
    live->conf = *conf;
    live->next_ms = INT64_MAX;
    live->timer.fire = on_timer;
    live->hook.run = on_tick;
    loop_hook_add(loop, &live->hook);
    return live;
}

void live_free(struct live *live) {
    if (!live)
        return;
    loop_hook_remove(&live->hook);
    timer_stop(live->loop, &live->timer);
    watch_free(live->watch);
    free(live);
}

void live_use(struct live *live, struct loop_batcher *batcher) {
    live->batcher = batcher;
}

enum err live_start(struct live *live, struct watcher *watcher) {
    live->stirred = true;
    return watch_start(live->watch, watcher, loop_now_ms(live->loop));
}

void live_answered(struct live *live, struct watch_topic *topic, enum err err, bool changed) {
    live->stirred = true;
    watch_answered(topic, err, changed, loop_now_ms(live->loop));
}

void live_end(struct live *live) {
    live->stirred = true;
    watch_end(live->watch);
}

bool live_idle(const struct live *live) {
    return watch_idle(live->watch);
}

int64_t live_as_of_s(const struct live *live, const struct watch_topic *topic) {
    return (loop_wall_ms(live->loop) - (loop_now_ms(live->loop) - topic->ok_ms)) / 1000;
}

enum err live_adopt(struct live *live, struct watcher *watcher, struct watch_topic *made) {
    struct watch_topic *topic = watch_find(live->watch, made->name);
    enum err err = topic ? ERR_OK : watch_insert(live->watch, made);

    if (topic || err != ERR_OK)
        made->kind->free(made);
    if (err == ERR_OK)
        watch_follow(watcher, topic ? topic : made);
    return err;
}

/* ---- counters -------------------------------------------------------------- */

static void on_value(struct waiter *waiter, const struct answer *answer) {
    struct live_counter *counter = CONTAINER_OF(waiter, struct live_counter, waiter);
    bool changed = answer->err == ERR_OK &&
                   (answer->value != counter->value || answer->time_ms != counter->time_ms);

    if (changed) {
        counter->value = answer->value;
        counter->time_ms = answer->time_ms;
    }
    live_answered(counter->live, &counter->topic, answer->err, changed);
}

static enum err read_counter(struct watch_topic *topic, int64_t now_ms) {
    struct live_counter *counter = CONTAINER_OF(topic, struct live_counter, topic);
    struct live *live = counter->live;

    counter->waiter = (struct waiter){.done = on_value, .deadline_ms = now_ms + live->conf.read_ms};
    return loop_batcher_add(live->batcher,
                            &(struct op){.kind = OP_GET,
                                         .resource_id = counter->resource_id,
                                         .counter_type = counter->counter_type},
                            &counter->waiter);
}

static void free_counter(struct watch_topic *topic) {
    free(CONTAINER_OF(topic, struct live_counter, topic));
}

const struct watch_kind live_counter_kind = {
    .read = read_counter,
    .free = free_counter,
    .cost = 1,
};

/* Names hold no NUL: id, NUL, type is unique, and so is a first byte that no other kind has. */
static struct live_counter *make_counter(struct live *live, struct slice resource_id,
                                         struct slice counter_type) {
    size_t len = 2 + resource_id.len + counter_type.len;
    struct live_counter *counter = calloc(1, sizeof(*counter) + len);

    if (!counter)
        return NULL;
    counter->live = live;
    counter->name[0] = 'c';
    memcpy(counter->name + 1, resource_id.ptr, resource_id.len);
    memcpy(counter->name + 2 + resource_id.len, counter_type.ptr, counter_type.len);
    counter->resource_id = slice_of(counter->name + 1, resource_id.len);
    counter->counter_type = slice_of(counter->name + 2 + resource_id.len, counter_type.len);
    counter->topic.kind = &live_counter_kind;
    counter->topic.name = slice_of(counter->name, len);
    return counter;
}

enum err live_follow(struct live *live, struct watcher *watcher, struct slice resource_id,
                     struct slice counter_type) {
    struct live_counter *counter = make_counter(live, resource_id, counter_type);

    return counter ? live_adopt(live, watcher, &counter->topic) : ERR_NO_MEMORY;
}
