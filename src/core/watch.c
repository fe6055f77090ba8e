/* watch.c */
#include "core/watch.h"

#include <assert.h>
#include <stdlib.h>

#include "base/siphash.h"

#define BUCKETS_FIRST 16u

struct watch {
    struct watch_conf conf;
    struct list *buckets;
    size_t bucket_count; /* a power of two */
    size_t topic_count;
    struct list turns; /* struct watch_topic.turn */
    struct list soon;
    struct list due; /* struct watcher.due */
    struct list told;
    struct list waiting; /* likewise, before the first time */
    int64_t tick_ms;     /* the next interval begins */
    uint64_t reads;
    bool ended;
};

/* ---- topics --------------------------------------------------------------- */

static struct list *bucket(const struct watch *watch, struct slice name) {
    return &watch->buckets[siphash(watch->conf.seed, name) & (watch->bucket_count - 1)];
}

static bool grow(struct watch *watch) {
    size_t count = watch->bucket_count ? watch->bucket_count * 2 : BUCKETS_FIRST;
    struct list *buckets = malloc(count * sizeof(*buckets));

    if (!buckets)
        return false;
    for (size_t i = 0; i < count; i++)
        list_init(&buckets[i]);
    free(watch->buckets);
    watch->buckets = buckets;
    watch->bucket_count = count;
    for (struct list *node = watch->turns.next; node != &watch->turns; node = node->next) {
        struct watch_topic *topic = CONTAINER_OF(node, struct watch_topic, turn);

        list_init(&topic->hash);
        list_push_back(bucket(watch, topic->name), &topic->hash);
    }
    return true;
}

struct watch *watch_new(const struct watch_conf *conf) {
    struct watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return NULL;
    watch->conf = *conf;
    list_init(&watch->turns);
    list_init(&watch->soon);
    list_init(&watch->due);
    list_init(&watch->told);
    list_init(&watch->waiting);
    if (grow(watch))
        return watch;
    free(watch);
    return NULL;
}

void watch_free(struct watch *watch) {
    if (!watch)
        return;
    assert(watch_idle(watch));
    free(watch->buckets);
    free(watch);
}

struct watch_topic *watch_find(const struct watch *watch, struct slice name) {
    const struct list *head = bucket(watch, name);

    for (struct list *node = head->next; node != head; node = node->next) {
        struct watch_topic *topic = CONTAINER_OF(node, struct watch_topic, hash);

        if (slice_eq(topic->name, name))
            return topic;
    }
    return NULL;
}

enum err watch_insert(struct watch *watch, struct watch_topic *topic) {
    if (watch->topic_count >= watch->conf.topics_max)
        return ERR_BUSY;
    if (watch->topic_count >= watch->bucket_count && !grow(watch))
        return ERR_NO_MEMORY;
    topic->watch = watch;
    topic->version = 1;
    list_init(&topic->hash);
    list_init(&topic->turn);
    list_init(&topic->soon);
    list_init(&topic->items);
    list_push_back(bucket(watch, topic->name), &topic->hash);
    list_push_back(&watch->turns, &topic->turn);
    watch->topic_count++;
    return ERR_OK;
}

static bool reading(const struct watch_topic *topic) {
    return topic->begun != topic->done;
}

static void drop_unwatched(struct watch_topic *topic) {
    if (!list_empty(&topic->items) || reading(topic))
        return;
    list_remove(&topic->hash);
    list_remove(&topic->turn);
    list_remove(&topic->soon);
    topic->watch->topic_count--;
    topic->kind->free(topic);
}

static bool watched(const struct watch *watch) {
    return !list_empty(&watch->told) || !list_empty(&watch->waiting);
}

/* ---- watchers ------------------------------------------------------------- */

void watcher_init(struct watcher *watcher, const struct watcher_events *events,
                  struct watch_item *items, size_t room) {
    *watcher = (struct watcher){.events = events, .items = items, .room = room, .first = true};
    list_init(&watcher->due);
    list_init(&watcher->told);
}

void watch_follow(struct watcher *watcher, struct watch_topic *topic) {
    for (size_t i = 0; i < watcher->count; i++)
        if (watcher->items[i].topic == topic)
            return;
    assert(watcher->count < watcher->room);
    struct watch_item *item = &watcher->items[watcher->count++];

    *item = (struct watch_item){.topic = topic, .watcher = watcher};
    list_init(&item->link);
    list_push_back(&topic->items, &item->link);
}

enum err watch_start(struct watch *watch, struct watcher *watcher, int64_t now_ms) {
    if (watch->ended)
        return ERR_UNAVAILABLE;
    if (!watched(watch))
        watch->tick_ms = now_ms + watch->conf.interval_ms;
    for (size_t i = 0; i < watcher->count; i++) {
        struct watch_topic *topic = watcher->items[i].topic;

        watcher->items[i].need = topic->begun + 1;
        if (list_empty(&topic->soon))
            list_push_back(&watch->soon, &topic->soon);
    }
    watcher->awaited = watcher->count;
    watcher->told_ms = watcher->next_ms = now_ms;
    list_push_back(&watch->waiting, &watcher->told);
    return ERR_OK;
}

void watch_leave(struct watcher *watcher) {
    list_remove(&watcher->due);
    list_remove(&watcher->told);
    for (size_t i = 0; i < watcher->count; i++) {
        list_remove(&watcher->items[i].link);
        drop_unwatched(watcher->items[i].topic);
    }
    watcher->count = 0;
}

const struct watch_topic *watcher_next(struct watcher *watcher) {
    while (watcher->next < watcher->count) {
        struct watch_item *item = &watcher->items[watcher->next++];

        if (item->seen == item->topic->version)
            continue;
        item->seen = item->topic->version;
        return item->topic;
    }
    return NULL;
}

/* ---- reading -------------------------------------------------------------- */

static void note(struct watch_item *item, enum err err) {
    struct watcher *watcher = item->watcher;
    struct watch_topic *topic = item->topic;

    if (item->need && item->need <= topic->done) {
        item->need = 0;
        watcher->awaited--;
        if (err != ERR_OK)
            watcher->err = err;
    }
    if (watcher->awaited == 0 && item->seen != topic->version && list_empty(&watcher->due))
        list_push_back(&topic->watch->due, &watcher->due);
}

static void note_all(struct watch_topic *topic, enum err err) {
    for (struct list *node = topic->items.next; node != &topic->items; node = node->next)
        note(CONTAINER_OF(node, struct watch_item, link), err);
}

/* A read that takes this long tells nothing, either. */
static void look_at_late(struct watch_topic *topic, int64_t now_ms) {
    if (topic->stale || !topic->ok_ms || now_ms - topic->begun_ms < topic->watch->conf.stale_ms)
        return;
    topic->stale = true;
    topic->version++;
    note_all(topic, ERR_OK);
}

static void judge(struct watch_topic *topic, enum err err, bool changed, int64_t now_ms) {
    bool stale = topic->stale;

    if (err == ERR_OK) {
        topic->ok_ms = now_ms;
        topic->stale = false;
    } else if (topic->ok_ms && now_ms - topic->ok_ms >= topic->watch->conf.stale_ms) {
        topic->stale = true;
    }
    if ((err == ERR_OK && changed) || stale != topic->stale)
        topic->version++;
}

void watch_answered(struct watch_topic *topic, enum err err, bool changed, int64_t now_ms) {
    assert(reading(topic));
    topic->done = topic->begun;
    judge(topic, err, changed, now_ms);
    note_all(topic, err);
    drop_unwatched(topic);
}

static void begin(struct watch_topic *topic, int64_t now_ms) {
    topic->begun++;
    topic->begun_ms = now_ms;
    topic->watch->reads++;
    enum err err = topic->kind->read(topic, now_ms);

    if (err != ERR_OK)
        watch_answered(topic, err, false, now_ms);
}

/* Reads that somebody waits for, but for topics that are being read: those get another one. */
static void read_soon(struct watch *watch, int64_t now_ms) {
    struct list *node = watch->soon.next;

    while (node != &watch->soon) {
        struct watch_topic *topic = CONTAINER_OF(node, struct watch_topic, soon);

        node = node->next;
        if (reading(topic))
            continue;
        list_remove(&topic->soon);
        begin(topic, now_ms);
    }
}

static void read_in_turn(struct watch *watch, int64_t now_ms) {
    uint32_t left = watch->conf.budget;

    for (size_t i = watch->topic_count; i && left; i--) {
        struct watch_topic *topic = CONTAINER_OF(watch->turns.next, struct watch_topic, turn);

        list_remove(&topic->turn);
        list_push_back(&watch->turns, &topic->turn);
        if (reading(topic)) {
            look_at_late(topic, now_ms);
            continue;
        }
        left -= topic->kind->cost < left ? topic->kind->cost : left;
        begin(topic, now_ms);
    }
}

/* ---- telling -------------------------------------------------------------- */

static void touch(struct watch *watch, struct watcher *watcher, int64_t now_ms) {
    watcher->told_ms = now_ms;
    list_remove(&watcher->told);
    list_push_back(&watch->told, &watcher->told);
}

static void fail(struct watcher *watcher, enum err err) {
    watch_leave(watcher);
    watcher->events->failed(watcher, err);
}

/* Nothing of the watcher is looked at behind its event: that may have ended it. */
static void tell(struct watch *watch, struct watcher *watcher, int64_t now_ms) {
    bool first = watcher->first;

    if (first && watcher->err != ERR_OK) {
        fail(watcher, watcher->err);
        return;
    }
    watcher->first = false;
    watcher->next = 0;
    watcher->next_ms = now_ms + watch->conf.interval_ms;
    touch(watch, watcher, now_ms);
    watcher->events->tell(watcher, first);
}

/* Returns when the next one may be told that mustn't be yet. One that isn't ready is looked at
 * again in the next interval. */
static int64_t tell_due(struct watch *watch, int64_t now_ms) {
    int64_t next_ms = INT64_MAX;
    struct list waiting;
    struct list *node;

    list_init(&waiting);
    while ((node = list_pop_front(&watch->due)))
        list_push_back(&waiting, node);
    while ((node = list_pop_front(&waiting))) {
        struct watcher *watcher = CONTAINER_OF(node, struct watcher, due);
        bool early = now_ms < watcher->next_ms;

        if (!early && (watcher->first || watcher->events->ready(watcher))) {
            tell(watch, watcher, now_ms);
            continue;
        }
        list_push_back(&watch->due, node);
        if (early && watcher->next_ms < next_ms)
            next_ms = watcher->next_ms;
    }
    return next_ms;
}

static void beat(struct watch *watch, int64_t now_ms) {
    while (watch->conf.heartbeat_ms && !list_empty(&watch->told)) {
        struct watcher *watcher = CONTAINER_OF(watch->told.next, struct watcher, told);

        if (now_ms - watcher->told_ms < watch->conf.heartbeat_ms)
            return;
        touch(watch, watcher, now_ms);
        if (watcher->events->ready(watcher))
            watcher->events->quiet(watcher);
    }
}

static void fail_late(struct watch *watch, int64_t now_ms) {
    while (!list_empty(&watch->waiting)) {
        struct watcher *watcher = CONTAINER_OF(watch->waiting.next, struct watcher, told);

        if (now_ms - watcher->told_ms < watch->conf.first_ms)
            return;
        fail(watcher, ERR_DEADLINE);
    }
}

int64_t watch_poll(struct watch *watch, int64_t now_ms) {
    read_soon(watch, now_ms);
    if (watched(watch) && now_ms >= watch->tick_ms) {
        watch->tick_ms = now_ms + watch->conf.interval_ms;
        read_in_turn(watch, now_ms);
        beat(watch, now_ms);
        fail_late(watch, now_ms);
    }
    int64_t next_ms = tell_due(watch, now_ms);

    if (!watched(watch))
        return INT64_MAX;
    return next_ms < watch->tick_ms ? next_ms : watch->tick_ms;
}

static void end_all(struct list *watchers) {
    while (!list_empty(watchers)) {
        struct watcher *watcher = CONTAINER_OF(watchers->next, struct watcher, told);

        watch_leave(watcher);
        watcher->events->ended(watcher);
    }
}

void watch_end(struct watch *watch) {
    watch->ended = true;
    end_all(&watch->told);
    end_all(&watch->waiting);
}

bool watch_idle(const struct watch *watch) {
    return watch->topic_count == 0 && !watched(watch);
}

uint64_t watch_reads(const struct watch *watch) {
    return watch->reads;
}
