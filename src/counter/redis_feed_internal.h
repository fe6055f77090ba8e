/* redis_feed_internal.h - what the files of a Redis store's feed share.
 *
 * redis_feed.c         its life; reads
 * redis_feed_look.c    how far each lane has come; joining
 * redis_feed_lease.c   which lanes are ours
 * redis_feed_report.c  positions to the store
 */
#ifndef COUNTER_REDIS_FEED_INTERNAL_H
#define COUNTER_REDIS_FEED_INTERNAL_H

#include "counter/redis_feed.h"
#include "counter/redis_internal.h"
#include "edge/redis_events.h"
#include "edge/redis_map.h"

/* Of lanes, so that leases are few: lane mod groups is its group. */
#define FEED_GROUPS_MAX 16
#define FEED_NAME_BYTES 32

/* Of an instance that can't be heard any more. */
#define REDIS_LEASE_MS 5000

/*     OTHERS ── the lease is ours ──► JOINING ── registered ──► MINE
 *        ▲└──────────────── the lease is lost ────┴───────────────┘ */
enum feed_lane_state { LANE_OTHERS, LANE_JOINING, LANE_MINE };

struct feed_lane {
    struct redis_feed *feed;
    uint32_t number;
    enum feed_lane_state state;
    enum err broken; /* it can't be read, and won't be */

    struct redis_request look;
    struct event_position heard;  /* its end, by the look that is under way, */
    struct event_position joined; /* and the consumer's position there */
    bool answered;                /* that look was, */
    struct feed_wait *wait;       /* and what it says is durable after this; NULL: it is */
    struct event_position end;    /* the last event that may be read */

    struct feed_read *read; /* asked for */
    struct redis_request fetch;
    struct event_position missed;     /* the next event behind that wasn't there */
    bool waiting;                     /* the last read came back empty: more() is owed, */
    bool away;                        /* as soon as the lane is there again; */
    struct event_position waiting_at; /* else when its end is beyond that */
    size_t entry_bytes;               /* about so many has one */

    struct event_position given;    /* the last event that was read, or where the lane began; */
    struct event_position expected; /* as it was when the look was asked: no end is before that */
    struct event_position done;     /* the consumer is done up to there */
    struct redis_request report;
    bool reporting;
    bool changed; /* 'done', since the last report */
};

/* A server's replicas are waited for: with one of its lanes for all that a look asked there. */
struct feed_wait {
    struct redis_feed *feed;
    struct redis_conn *conn;
    struct redis_request touch;
    struct redis_request wait;
    bool touched;
    bool durable;
};

#define FEED_WAITS_MAX REDIS_NODES_MAX

struct redis_feed {
    struct feed feed;
    struct redis_fleet *fleet;
    struct loop *loop;
    unsigned shard;
    char name[FEED_NAME_BYTES + 1];
    char instance[REDIS_FEED_OWNER_BYTES];
    struct redis_store *store;
    struct feed_user user;
    bool opened;  /* the user was told */
    bool up;      /* the store can be asked */
    bool leaving; /* close() was called, */
    bool left;    /* the leases were given back, */
    bool closing; /* the store is being closed */
    void (*closed)(void *ctx);
    void *closed_ctx;

    struct feed_lane *lanes; /* NULL: the store isn't known yet */
    uint32_t lanes_count;
    struct event_position *reported; /* for opened() */

    struct feed_read *first; /* reads not looked at, by 'next' */
    struct feed_read **last;
    struct timer later; /* for these, and for the end */
    struct redis_events events;
    struct buf command;

    struct {
        struct timer timer;
        uint32_t open;           /* answers that are missing */
        bool under_way;          /* until the ends are durable */
        int64_t pause_ms;        /* to the next */
        struct feed_wait *waits; /* FEED_WAITS_MAX */
        uint32_t waits_count;    /* of this look */
    } look;

    struct {
        struct timer timer;
        struct redis_request request;
        bool under_way;
        bool kept;     /* by this instance, when it ends, too */
        bool told;     /* that another one has it */
        uint16_t slot; /* of the key */
        uint32_t groups;
        bool mine[FEED_GROUPS_MAX];
    } lease;

    struct timer report;
    uint32_t reports; /* under way */
};

/* redis_feed.c */

/* 'feed->command', to the slot's server. False: it can't be asked now. */
bool redis_feed_ask_slot(struct redis_feed *feed, uint16_t slot, struct redis_request *request);
bool redis_feed_ask(struct feed_lane *lane, struct redis_request *request);
uint16_t redis_feed_slot(const struct feed_lane *lane);
/* An error: the connection, or the map of slots, may be wrong. */
void redis_feed_trouble(struct redis_feed *feed, uint16_t slot,
                        const struct redis_outcome *outcome);
/* More may have come, or the store is back: tells those that wait. */
void redis_feed_wake(struct redis_feed *feed);
/* Everything that close() waits for is done: goes on. */
void redis_feed_rest(struct redis_feed *feed);

/* redis_feed_look.c */
void redis_feed_look_soon(struct redis_feed *feed);
void redis_feed_look_stop(struct redis_feed *feed);

/* redis_feed_lease.c */

/* A call of lua/lease.lua; gives the slot of its key. */
uint16_t redis_lease_command(const char *consumer, const char *instance, uint32_t groups,
                             struct slice mode, struct buf *out);
void redis_feed_lease_begin(struct redis_feed *feed);
void redis_feed_lease_stop(struct redis_feed *feed);
/* Gives back what is ours; redis_feed_rest() follows. */
void redis_feed_lease_leave(struct redis_feed *feed);

/* redis_feed_report.c */
void redis_feed_report(struct feed *base, uint32_t lane, struct event_position at);
void redis_feed_report_all(struct redis_feed *feed); /* what is due, now */
void redis_feed_report_begin(struct redis_feed *feed);
void redis_feed_report_stop(struct redis_feed *feed);

#endif
