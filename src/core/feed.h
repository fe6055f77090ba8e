/* feed.h - a store's events, to one consumer: read in order, reported when done with.
 *
 * A consumer (the relay to Kafka, analytics) has a name, under which the store keeps its position
 * in every lane. The store deletes only what every registered consumer has reported; when they
 * fall behind by more than the outbox may hold, it refuses writes.
 *
 *     open ─► opened(positions) ─► read(lane, after) ─► events … ─► report(lane, position)
 *               read came back empty ─► asleep ─► more() ─► read
 *
 * Only what a power cut can't take away is handed out: what a consumer has seen is never undone.
 * A report may be lost by a crash; events then come again.
 *
 * Threads    Everything on the consumer's loop, callbacks too.
 * Callbacks  Never inside the function that causes them. A read's done() runs exactly once, before
 *            closed(); opened() at most once, empty() at most once and before it.
 * Limits     One read at a time for each lane.
 */
#ifndef CORE_FEED_H
#define CORE_FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/event.h"

struct feed_info {
    uint64_t store_id;
    uint32_t lanes;
    const struct event_position *reported; /* by lane: where this consumer goes on; until opened()
                                              returns */
    bool shared;   /* no lane is this consumer's before assigned() says so */
    bool gathered; /* events come as many at a time as there were in a while, not one by one */
};

struct feed_user {
    void *ctx;
    /* ERR_OK, or why this consumer can't be had: nothing else will come. */
    void (*opened)(void *ctx, enum err err, const struct feed_info *info);
    /* There never was an event in what is read, or nothing is read, so that nobody can tell yet
     * whose store it is: opened() comes with the first. NULL: nobody wants to know. */
    void (*empty)(void *ctx);
    /* There may be more in any lane. Comes at least once after a read that came back empty. */
    void (*more)(void *ctx);
    /* NULL: all lanes or none. Else processes that have opened a feed under the same name may share
     * the lanes: this one goes on with the lane behind 'at'; NULL: it is another's from now on, and
     * reads come back empty. What was read before may still be reported. */
    void (*assigned)(void *ctx, uint32_t lane, const struct event_position *at);
};

struct feed_read {
    uint32_t lane;
    struct event_position after;
    size_t max_bytes; /* of records; the events of at least one message come */
    /* ERR_OK           events in order without a gap, valid until this returns; none: no more yet
     * ERR_TRIMMED      the next one is not there any more
     * ERR_INVALID      the position is beyond the lane's end: it isn't this store's
     * ERR_UNAVAILABLE  the store is away: read again after more()
     * ERR_CORRUPT, ERR_NEWER, ERR_IO, ERR_NO_MEMORY */
    void (*done)(struct feed_read *read, enum err err, const struct event *events, size_t count);
    struct feed_read *next; /* the feed's */
};

struct feed {
    const struct feed_ops *ops;
};

struct feed_ops {
    void (*open)(struct feed *feed, const struct feed_user *user);
    void (*read)(struct feed *feed, struct feed_read *read);
    /* Done with everything up to there. Positions of a lane only rise. */
    void (*report)(struct feed *feed, uint32_t lane, struct event_position at);
    /* The lane's last event that may be read, as far as is known. */
    struct event_position (*end)(struct feed *feed, uint32_t lane);
    /* The store can't be reached now: end() is what was known before. NULL: it always can. */
    bool (*away)(struct feed *feed);
    /* The lane isn't read any more. NULL: nothing to be done. */
    void (*drop)(struct feed *feed, uint32_t lane);
    /* What resume() needs to go on behind all that was read and passed, beside the positions;
     * appended. NULL: nothing. */
    void (*mark)(struct feed *feed, struct buf *out);
    /* Before open(): what mark() said when the positions were stored. */
    void (*resume)(struct feed *feed, struct slice mark);
    /* Reports that are under way are stored first. The consumer stays registered. */
    void (*close)(struct feed *feed, void (*closed)(void *ctx), void *ctx);
    const struct feed_partition_ops *partitions; /* NULL: the source has none */
};

/* A source by partitions, as a topic: lane l is in partition l mod count(). Before open() too. */
struct feed_partition_ops {
    uint32_t (*count)(struct feed *feed); /* 0: not known yet */
    bool (*reads)(struct feed *feed, uint32_t number);
    /* It is read from now on behind next(), or isn't: what was read and not passed is thrown away,
     * of all partitions, and comes again where it is read. False: too many are named. */
    bool (*assign)(struct feed *feed, uint32_t number, bool here);
    /* Where the partition goes on, in the source's own terms; mark() has it. */
    int64_t (*next)(struct feed *feed, uint32_t number);
    /* One that isn't read would go on there; the events are this store's. */
    void (*place)(struct feed *feed, uint64_t store_id, uint32_t number, int64_t next);
};

static inline void feed_open(struct feed *feed, const struct feed_user *user) {
    feed->ops->open(feed, user);
}

static inline void feed_read(struct feed *feed, struct feed_read *read) {
    feed->ops->read(feed, read);
}

static inline void feed_report(struct feed *feed, uint32_t lane, struct event_position at) {
    feed->ops->report(feed, lane, at);
}

static inline struct event_position feed_end(struct feed *feed, uint32_t lane) {
    return feed->ops->end(feed, lane);
}

static inline bool feed_away(struct feed *feed) {
    return feed->ops->away && feed->ops->away(feed);
}

static inline void feed_drop(struct feed *feed, uint32_t lane) {
    if (feed->ops->drop)
        feed->ops->drop(feed, lane);
}

static inline void feed_mark(struct feed *feed, struct buf *out) {
    if (feed->ops->mark)
        feed->ops->mark(feed, out);
}

static inline void feed_resume(struct feed *feed, struct slice mark) {
    if (feed->ops->resume && mark.len)
        feed->ops->resume(feed, mark);
}

static inline void feed_close(struct feed *feed, void (*closed)(void *ctx), void *ctx) {
    feed->ops->close(feed, closed, ctx);
}

#endif
