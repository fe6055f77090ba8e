/* watch.h - who follows what: topics that are read again and again, watchers that are told of
 * changes. Pure: whoever owns it gives it turns and the time.
 *
 *     follow, start ─► fresh reads of its topics ─► told the first time ─► a change ─► told …
 *     every interval: topics are read in turn, as many as the budget allows
 *
 * Reading is the one way to see what others wrote (other threads, gateways, counters, Phase 1 on
 * the same Redis) that is right in every deployment (ADR 13). A topic that many watch is read
 * once for all of them; without watchers nothing is read and no turn is asked for.
 *
 * A watcher is told at most once an interval and only while it is ready. What changes meanwhile
 * doesn't queue up: it is told the latest.
 *
 * Threads    One owner (a loop).
 * Ownership  A watcher and its items are the caller's, from watcher_init() until watch_leave() or
 *            the event that says it is over. A topic frees itself when nobody watches it and no
 *            read is under way.
 * Callbacks  Only from watch_poll() and watch_end(); each may end any watcher.
 * Order      A topic has one read under way at a time, so that its values come in their order; the
 *            first that a watcher is told was read behind its start.
 */
#ifndef CORE_WATCH_H
#define CORE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

struct watch;
struct watch_topic;
struct watcher;

/* How a kind of topic is read: the owner embeds struct watch_topic in its own. */
struct watch_kind {
    /* Begins a read: watch_answered() follows exactly once, never inside. Any other result than
     * ERR_OK: it wasn't begun. */
    enum err (*read)(struct watch_topic *topic, int64_t now_ms);
    void (*free)(struct watch_topic *topic);
    uint32_t cost; /* of a read, against watch_conf.budget; not 0 */
};

struct watch_topic {
    struct watch *watch;
    const struct watch_kind *kind;
    struct slice name; /* unique among all kinds; the owner's */
    struct list hash;  /* its bucket */
    struct list turn;  /* of all topics: the front is to be read next */
    struct list soon;  /* of those that somebody waits for */
    struct list items; /* who watches it */
    uint64_t begun;    /* reads */
    uint64_t done;
    uint64_t version; /* counts changes, from 1 */
    int64_t begun_ms; /* the last read */
    int64_t ok_ms;    /* of the last good one */
    bool stale;       /* there has been none for stale_ms */
};

struct watch_item {
    struct list link; /* topic->items */
    struct watch_topic *topic;
    struct watcher *watcher;
    uint64_t seen; /* the topic's version as told; 0: none yet */
    uint64_t need; /* the read that must be done before it is told the first time; 0: it is */
};

struct watcher_events {
    /* What was sent to it is on its way. */
    bool (*ready)(const struct watcher *watcher);
    /* Something has changed: watcher_next() has what. The first time it has all. */
    void (*tell)(struct watcher *watcher, bool first);
    /* Nothing was told for heartbeat_ms. NULL with a heartbeat_ms of 0. */
    void (*quiet)(struct watcher *watcher);
    /* It was never told anything and has been taken off: the read has failed. */
    void (*failed)(struct watcher *watcher, enum err err);
    /* watch_end(); it has been taken off. NULL where that isn't called. */
    void (*ended)(struct watcher *watcher);
};

struct watcher {
    const struct watcher_events *events;
    struct list due;  /* something has changed, or on none */
    struct list told; /* of all that were told something, the one longest ago first; before that
                         of those that wait for it */
    struct watch_item *items;
    size_t room;
    size_t count;
    size_t next;     /* watcher_next()'s place */
    size_t awaited;  /* items that still need a read */
    int64_t told_ms; /* when it heard of us last; at first: when it started */
    int64_t next_ms; /* not told before */
    bool first;
    enum err err; /* of the reads it needed */
};

struct watch_conf {
    int64_t interval_ms;
    int64_t heartbeat_ms; /* 0: never */
    int64_t first_ms;     /* who hasn't been told anything by then has failed: ERR_DEADLINE */
    int64_t stale_ms;     /* without a good read, or with one that takes so long, a topic's
                             watchers are told that it is stale */
    uint32_t budget;      /* of reads begun in an interval, beside those that somebody waits for */
    size_t topics_max;
    uint64_t seed[2]; /* random: clients choose the names */
};

/* NULL when memory runs out. */
struct watch *watch_new(const struct watch_conf *conf);

/* Without watchers and topics (watch_idle()). NULL is fine. */
void watch_free(struct watch *watch);

/* The topic of that name, NULL: nobody watches it. */
struct watch_topic *watch_find(const struct watch *watch, struct slice name);

/* A new topic with 'kind' and 'name' set, zeroed else. ERR_BUSY: topics_max. It must be followed
 * before the next turn. */
MUST_CHECK enum err watch_insert(struct watch *watch, struct watch_topic *topic);

/* 'items' has room for what it will follow. */
void watcher_init(struct watcher *watcher, const struct watcher_events *events,
                  struct watch_item *items, size_t room);

/* Following the same topic twice is following it once. */
void watch_follow(struct watcher *watcher, struct watch_topic *topic);

/* All is followed: from the next turn on it is served. ERR_UNAVAILABLE behind watch_end(): leave.
 */
MUST_CHECK enum err watch_start(struct watch *watch, struct watcher *watcher, int64_t now_ms);

/* Takes it off, started or not. */
void watch_leave(struct watcher *watcher);

/* In tell(): the next topic that has changed since it was told; NULL: that is all. */
const struct watch_topic *watcher_next(struct watcher *watcher);

/* A read that was begun is over; 'changed': it has brought something new. May free the topic. */
void watch_answered(struct watch_topic *topic, enum err err, bool changed, int64_t now_ms);

/* A turn: begins reads, tells watchers. Returns when it wants the next one, INT64_MAX: when
 * something happens. */
int64_t watch_poll(struct watch *watch, int64_t now_ms);

/* Ends every watcher, for good. */
void watch_end(struct watch *watch);

/* No watcher, and no read under way. */
bool watch_idle(const struct watch *watch);

uint64_t watch_reads(const struct watch *watch); /* begun so far */

#endif
