/* analytics.h - rankings, windows and series, from events, each counted exactly once.
 *
 *     event ─► lane position: old? drop · next? count · later? halt the lane
 *                 └─► counter ─► bucket ─► what is pending
 *                        └─────► rankings of the windows that the bucket is in
 *     commit ─► positions, counters, minute, hour and day buckets, in one batch
 *
 * The store has the truth: positions and all they cover move in one batch, so a crash at any
 * moment loses what isn't committed and gets it again from the lanes. Memory has the counters'
 * names, and for each of the five ranges a ranking that is always current; a window moves by taking
 * in and giving back whole buckets, as they are stored, so that it is exact for any movement of the
 * clock, back too.
 *
 * Counters are held up to a limit. Events of further ones are counted together, for each type (and
 * types beyond it in one rest): their increases bound what any of them can have, so an answer says
 * either that it is exact or how much can be missing.
 *
 * What is pending is written beside the owner, while it goes on counting; what is asked meanwhile
 * is answered as if nothing were being written. Writing costs most of what counting does, and a
 * counter's events between two commits are written as one: the rarer, the cheaper.
 *
 * Threads    One owner. A commit is under way on a thread of the store's.
 * Limits     'counters_max' counters, at about 200 bytes and their names. 'pending_max' counters
 *            and buckets that changed since the last commit, twice, at 80 bytes.
 */
#ifndef CORE_ANALYTICS_H
#define CORE_ANALYTICS_H

#include "base/attr.h"
#include "base/err.h"
#include "core/analytics_answer.h"
#include "core/event.h"
#include "core/tally_store.h"

struct analytics;

/* About a quarter of a millisecond. */
#define ANALYTICS_SLICE_ROWS 256

struct analytics_conf {
    uint32_t counters_max;
    uint32_t pending_max; /* at least 1 */
    uint32_t slice_rows;  /* that leave windows in a step; 0: ANALYTICS_SLICE_ROWS */
    uint64_t hash_seed[2];
    bool others_write; /* in the store's counters: a change that no event tells of is external */
    /* A commit has ended: analytics_commit_end() won't wait. On the store's thread; may be NULL. */
    void (*ended)(void *ctx);
    void *ctx;
};

/* Reads what is stored; the windows end at 'now_ms'. ERR_CORRUPT, ERR_NEWER, ERR_NO_MEMORY, the
 * store's. */
MUST_CHECK enum err analytics_open(struct tally_store *store, const struct analytics_conf *conf,
                                   int64_t now_ms, struct analytics **out);

/* Forgets what isn't committed. NULL is fine. */
void analytics_close(struct analytics *analytics);

/* The store that is counted: its id and number of lanes. A lane of which nothing has been counted
 * begins behind 'from' (by lane). ERR_LAYOUT: what is here is another store's; ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_source(struct analytics *analytics, uint64_t store_id, uint32_t lanes,
                                     const struct event_position *from);

/* 0: not known yet; '*out_lanes' too. */
uint64_t analytics_store_id(const struct analytics *analytics, uint32_t *out_lanes);

/* What the source needs to go on (core/feed.h), stored in the next batch beside the positions; and
 * what was there when it was opened, or given since. */
void analytics_mark(struct analytics *analytics, struct slice mark);
struct slice analytics_marked(const struct analytics *analytics);

/* Where the lane goes on. */
struct event_position analytics_position(const struct analytics *analytics, uint32_t lane);

/* Up to where a crash takes nothing away. */
struct event_position analytics_stored_position(const struct analytics *analytics, uint32_t lane);

/* Events of one lane in order. ERR_TRIMMED: one is missing, the lane has halted before it, and
 * further calls for it change nothing; ERR_BUSY: as much is pending as may be; once a commit has
 * begun give the same events again (those that were counted are dropped). ERR_NO_MEMORY: commit
 * nothing any more, close. */
MUST_CHECK enum err analytics_apply(struct analytics *analytics, const struct event *events,
                                    size_t count);

/* Nothing up to 'at' can be had any more of a lane of which nothing has been counted. */
void analytics_skip(struct analytics *analytics, uint32_t lane, struct event_position at);

/* What it holds is in this store from now on, which says so to 'ended' (struct analytics_conf). No
 * commit is under way. */
void analytics_rehome(struct analytics *analytics, struct tally_store *store,
                      void (*ended)(void *ctx), void *ctx);

/* From outside: the lane's next event can't be had. */
void analytics_halt(struct analytics *analytics, uint32_t lane);

/* Moves the windows' end to 'now_ms'. Before every query. Of the buckets that leave a window it
 * takes off the first rows only: while others are left, the head of the window's ranking is as of
 * before, and says so; further down, and where time has jumped by more than a minute, it isn't
 * exact. Series are. ERR_CORRUPT, ERR_IO: the store, which is finished. */
MUST_CHECK enum err analytics_move(struct analytics *analytics, int64_t now_ms);

/* There are such rows. */
bool analytics_is_behind(const struct analytics *analytics);

/* Takes some more off. As analytics_move(). */
MUST_CHECK enum err analytics_catch_up(struct analytics *analytics);

/* Takes all off: nothing of the store is held open then. As analytics_move(). */
MUST_CHECK enum err analytics_catch_up_all(struct analytics *analytics);

/* Where the windows end. */
int64_t analytics_end_ms(const struct analytics *analytics);

/* Something is pending, and isn't on its way to the store. */
bool analytics_dirty(const struct analytics *analytics);

/* Begins to store what is pending. False: one is under way, or nothing is pending. */
bool analytics_commit_begin(struct analytics *analytics);

/* ERR_OK: none is under way (any more), analytics_stored_position() tells; ERR_BUSY: one is, and
 * 'wait' is false. ERR_IO, ERR_NO_MEMORY: the store is finished. */
MUST_CHECK enum err analytics_commit_end(struct analytics *analytics, bool wait);

/* Stores everything, and waits until it is. As analytics_commit_end(). */
MUST_CHECK enum err analytics_commit(struct analytics *analytics);

/* The values of all counters, from the store itself: for what has changed without an event that was
 * counted, as before analytics began. Between begin and end 'all' isn't exact. */

/* They were taken, now or before the last start, or there were none when events began. */
bool analytics_values_known(const struct analytics *analytics);

/* Forgets one that was begun. ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_values_begin(struct analytics *analytics);

/* Of each counter, at one moment of the store behind the beginning. ERR_BUSY as analytics_apply();
 * ERR_NO_MEMORY: commit nothing any more, close. */
MUST_CHECK enum err analytics_value(struct analytics *analytics, struct slice resource_id,
                                    struct slice counter_type, int64_t value);
void analytics_values_end(struct analytics *analytics);

struct analytics_stats {
    uint64_t events;     /* counted since open */
    uint64_t duplicates; /* dropped since open */
    uint64_t late;       /* older than a kept bucket, since open */
    uint32_t counters;   /* held */
    uint64_t refused;    /* events of counters beyond the limit, since open */
    uint32_t halted;     /* lanes */
    uint32_t missed;     /* lanes that have ever: what is missing doesn't come back */
    uint64_t checked;    /* events whose old value was compared with the total here, since open */
    uint64_t drifting;   /* of these, ones that had another; counted as 'external' instead */
    uint64_t external;   /* where others write */
};
void analytics_stats(const struct analytics *analytics, struct analytics_stats *out);

/* ---- queries: at the last analytics_move() ---- */

/* ERR_NO_MEMORY; ERR_CORRUPT, ERR_IO: the store. */
MUST_CHECK enum err analytics_top(struct analytics *analytics, const struct top_query *query,
                                  struct top_answer *out);
MUST_CHECK enum err analytics_series(struct analytics *analytics, const struct stats_query *query,
                                     struct stats_answer *out);

#endif
