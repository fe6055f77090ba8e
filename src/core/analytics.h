/* analytics.h - rankings, windows and series, from events, each counted exactly once.
 *
 *     event ─► lane position: old? drop · next? count · later? halt the lane
 *                 └─► counter ─► minute, hour and day bucket ─► what isn't stored yet
 *                        └─────► rankings of the windows that its buckets are in
 *     commit ─► positions, counters and buckets, in one batch
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
 * Threads    One owner.
 * Limits     'counters_max' counters, at about 200 bytes and their names; 'delta_rows' buckets that
 *            aren't stored yet.
 */
#ifndef CORE_ANALYTICS_H
#define CORE_ANALYTICS_H

#include "base/attr.h"
#include "base/err.h"
#include "core/analytics_answer.h"
#include "core/event.h"
#include "core/tally_store.h"

struct analytics;

struct analytics_conf {
    uint32_t counters_max;
    uint32_t delta_rows; /* at least ANALYTICS_EVENT_ROWS */
    uint64_t hash_seed[2];
};

/* What one event can add to the rows that aren't stored yet. */
#define ANALYTICS_EVENT_ROWS BUCKET_WIDTHS

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

/* Where the lane goes on. */
struct event_position analytics_position(const struct analytics *analytics, uint32_t lane);

/* Events of one lane in order. ERR_TRIMMED: one is missing, the lane has halted before it, and
 * further calls for it change nothing; ERR_BUSY: commit, then give the same events again (those
 * that were counted are dropped). ERR_NO_MEMORY: commit nothing any more, close. */
MUST_CHECK enum err analytics_apply(struct analytics *analytics, const struct event *events,
                                    size_t count);

/* From outside: the lane's next event can't be had. */
void analytics_halt(struct analytics *analytics, uint32_t lane);

/* Moves the windows' end to 'now_ms'; commits when a bucket begins or ends. Before every query.
 * ERR_CORRUPT, ERR_IO: the store, which is finished. */
MUST_CHECK enum err analytics_move(struct analytics *analytics, int64_t now_ms);

/* Where the windows end. */
int64_t analytics_end_ms(const struct analytics *analytics);

/* Something isn't stored yet. */
bool analytics_dirty(const struct analytics *analytics);

/* Stores everything, durably. ERR_IO: the store is finished. */
MUST_CHECK enum err analytics_commit(struct analytics *analytics);

struct analytics_stats {
    uint64_t events;     /* counted since open */
    uint64_t duplicates; /* dropped since open */
    uint64_t late;       /* older than a kept bucket, since open */
    uint32_t counters;   /* held */
    uint64_t refused;    /* events of counters beyond the limit, since open */
    uint32_t halted;     /* lanes */
};
void analytics_stats(const struct analytics *analytics, struct analytics_stats *out);

/* ---- queries: at the last analytics_move() ---- */

/* ERR_NO_MEMORY; ERR_CORRUPT, ERR_IO: the store. */
MUST_CHECK enum err analytics_top(struct analytics *analytics, const struct top_query *query,
                                  struct top_answer *out);
MUST_CHECK enum err analytics_series(struct analytics *analytics, const struct stats_query *query,
                                     struct stats_answer *out);

#endif
