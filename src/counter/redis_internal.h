/* redis_internal.h - what the files of the Redis store share.
 *
 * redis_fleet.c  what the loops of a process know together
 * redis_promise.c  what a server's settings give, and whether that will do
 * redis_probe.c  one attempt before any loop starts
 * redis_hello.c  is the server behind a new connection ours, and what does it promise
 * redis_link.c   a connection's life: connect, hello, usable, housekeeping
 * redis_store.c  messages out, answers in
 * redis_hold.c   answers held until replicas have what they speak of
 * redis_wait.c   connections that take turns because of that
 * redis_tidy.c   a lane's housekeeping
 * redis_feed*.c  events out
 * redis_forget.c  and who wants them no more
 *
 * On a Cluster redis_cluster.h stands in for hello, link and store.
 */
#ifndef COUNTER_REDIS_INTERNAL_H
#define COUNTER_REDIS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "core/ack.h"
#include "core/event.h"
#include "counter/redis_store.h"
#include "edge/redis_apply.h"
#include "edge/redis_conn.h"
#include "edge/redis_sentinel.h"
#include "loop/timer.h"

#define REDIS_DETAIL_BYTES    768
#define REDIS_CONNECTIONS_MAX 8

/* What a server told of itself. */
struct redis_given {
    char version[24]; /* "": it didn't say; then nothing else of INFO is known either */
    bool replica;
    int replicas; /* of it, online; -1: it didn't say */
    int acking;   /* of these, those that have acknowledged something lately; likewise */
    bool cluster;
    bool appendonly;
    enum { FSYNC_UNKNOWN, FSYNC_ALWAYS, FSYNC_EVERYSEC, FSYNC_NO } fsync;
    bool load_truncated; /* aof-load-truncated: it cuts a torn end itself, and at the wrong place */
    bool policy_known;
    char eviction[24]; /* a policy that deletes keys and a limit to apply it at; else "" */
};

struct redis_fleet {
    struct redis_fleet_conf conf;
    char name[REDIS_URL_TEXT_BYTES + 32]; /* of the server, for logs */
    uint64_t new_id;                      /* of a store that this process lays out */
    uint64_t new_seed[2];
    atomic_uint usable;         /* connections */
    atomic_uint loops;          /* with a store, */
    atomic_uint loops_up;       /* and of these, with a usable connection */
    _Atomic int64_t changed_s;  /* wall clock */
    atomic_bool announced_down; /* one line for each time */
    atomic_bool known;          /* 'layout' and 'id' are set and stay */
    struct redis_layout layout;
    uint64_t id;
    _Atomic uint64_t *outbox_bytes; /* by lane, as heard last; there once 'known' */
    atomic_bool *filling;           /* by lane, and it was said */
    _Atomic uint64_t consumers;     /* as heard last */
    _Atomic int64_t complained_ms;  /* the last time */
    pthread_mutex_t lock;           /* guards what follows, and the setting of the above */
    const char *mode;               /* in force; "unknown" */
    char guarantee[REDIS_DETAIL_BYTES];
    char problem[REDIS_DETAIL_BYTES]; /* why the last connection isn't usable, */
    enum err down;                    /* in a word */
    struct {
        metric_series batches;
        metric_series batch_operations;
        metric_series operations;
        metric_series message_replays;
        metric_series key_replays;
        metric_series commit;
        metric_series trimmed;
        metric_series outbox_bytes;
        metric_series consumers;
        metric_series refused_full;
        metric_series filling;
        metric_series connections;
    } series;
};

struct redis_link;
struct redis_cluster;

/* A connection's answers, until replicas have what they speak of. */
struct redis_hold {
    struct ack ack;
    struct redis_store *store;
    struct redis_conn *conn;                          /* set by its owner */
    void (*release)(struct list *node, enum err err); /* what was held: ERR_OK or ERR_UNKNOWN */
};

/* What a store was made with, as it says. */
struct redis_layout_said {
    int64_t lanes;
    uint64_t id;
    uint64_t seed[2];
    uint64_t *epochs;       /* by lane; NULL: not asked, another loop has */
    struct redis_tag *tags; /* on a Cluster */
};

enum { HELLO_INFO, HELLO_CONFIG, HELLO_WAIT, HELLO_OPEN, HELLOS };

struct redis_hello {
    struct redis_request request;
    struct redis_link *link;
};

/* A connection of a store. */
struct redis_link {
    struct redis_store *store;
    struct redis_conn *conn;
    bool usable;
    struct redis_hello hello[HELLOS];
    struct redis_given given;
    bool looking;    /* hello's questions are asked again, and nothing else */
    int64_t look_ms; /* when they are due */
    enum err opened; /* the verdict */
    char refusal[REDIS_DETAIL_BYTES];
    int64_t clock_ms;
    struct redis_request reload; /* after NOSCRIPT */
    bool reloading;
    struct redis_hold hold;
};

/* A message under way. */
struct redis_call {
    struct list node; /* in 'free' or 'local' */
    struct redis_request request;
    struct redis_store *store;
    struct redis_port *port;
    struct redis_link *link;
    struct delivery *delivery;
    struct redis_plan plan;
    bool replayed;
    int64_t sent_ns;
};

struct redis_store {
    struct redis_fleet *fleet;
    struct redis_cluster
        *cluster; /* NULL: a standalone Redis; else what follows 'free_waits' is unused */
    struct loop *loop;
    unsigned shard;
    bool aside; /* it doesn't count, in either sense */
    struct buf command;
    struct loop_hook wait; /* asks WAIT behind a tick's calls */
    struct list free_waits;
    struct redis_store_user user;
    struct redis_url url;            /* of the server; with Sentinels the primary they told last */
    struct redis_sentinel *sentinel; /* NULL: none are asked */
    bool sentinel_silent;            /* they don't know, or don't answer: it is in the problem */
    struct redis_link links[REDIS_CONNECTIONS_MAX];
    unsigned links_count;
    unsigned links_open; /* not closed yet; Sentinels are one more */
    unsigned usable;     /* of the links */
    bool told;           /* the user knows */
    bool told_up;        /* that */
    struct redis_link *current;
    unsigned turn;
    size_t applying;    /* script calls without a reply, in mode replicated */
    struct list behind; /* calls that would overtake them */
    int64_t ahead_ms;   /* what the user was told */
    bool clock_known;
    struct list free;      /* calls */
    struct list local;     /* calls that no server needs to see */
    struct timer later;    /* for those; and for closed() */
    struct slice *strings; /* of a reply */
    size_t strings_cap;
    struct { /* one lane at a time, behind other traffic only */
        struct redis_request request;
        struct redis_link *link; /* it goes by */
        bool under_way;
        uint32_t lane;
        int64_t next_ms;
    } tidy;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* redis_hello.c: asks; redis_link_opened() follows when all is answered. */
void redis_hello_ask(struct redis_link *link);
/* Once more what the server gives: an operator may have changed it, a replica may have joined. Up
 * to now it would do; the connection is given up if it no longer does. */
void redis_hello_look(struct redis_link *link);

/* To WAIT: mode replicated can't be had. */
void redis_wait_denied(const struct redis_outcome *outcome, char *out_detail, size_t size);

void redis_given_info(struct redis_given *given, struct slice info);
/* The reply to CONFIG GET REDIS_SETTINGS, which has appendfsync and aof-load-truncated in it;
 * before Redis 7.0 it takes one pattern only. */
#define REDIS_SETTINGS "a*"
void redis_given_config(struct redis_given *given, const struct redis_reply *reply);

/* redis_link.c */
bool redis_link_watch(struct redis_store *store); /* asks Sentinels, if that is the URL */
bool redis_link_start(struct redis_link *link, struct redis_store *store, uint64_t seed);
void redis_link_opened(struct redis_link *link); /* hello's verdict is in 'opened' */
void redis_link_usable(struct redis_link *link, bool usable);
/* NOSCRIPT: loads it again, unless another one is being loaded. */
void redis_link_reload(struct redis_link *link, const struct redis_script *script);
void redis_link_tidy(struct redis_link *link);

/* redis_fleet.c: what a server says of itself is what we know, or becomes it.
 * ERR_LAYOUT, ERR_NEWER, ERR_CORRUPT with a sentence. */
enum err redis_fleet_adopt(struct redis_fleet *fleet, const struct redis_reply *reply,
                           char *out_detail, size_t size);
/* The same, read already; takes 'epochs' and 'tags' if it is the first. */
enum err redis_fleet_know(struct redis_fleet *fleet, struct redis_layout_said *said,
                          char *out_detail, size_t size);
/* 16 hex digits each; false: it isn't that. */
bool redis_read_hex(const struct redis_reply *reply, uint64_t *out, size_t count);
/* Once the store is known, for the log. */
void redis_fleet_tell_up(const struct redis_fleet *fleet, const struct redis_given *given,
                         const char *guarantee);
void redis_fleet_link_up(struct redis_fleet *fleet, const struct redis_given *given);
/* What a server gives by now: shown, and logged when it has changed. */
void redis_fleet_given(struct redis_fleet *fleet, const struct redis_given *given);
/* Something is refused that must not be: a line in the log, one in a while. */
void redis_fleet_complain(struct redis_fleet *fleet, const char *detail);
/* ERR_UNREACHABLE, or why the server behind it isn't used. */
void redis_fleet_link_down(struct redis_fleet *fleet, enum err err, const char *why);

/* redis_promise.c */

/* Will a server do that says this of itself? ERR_UNAVAILABLE: not as long as it is a replica;
 * ERR_INVALID. */
enum err redis_fleet_judge(const struct redis_fleet *fleet, const struct redis_given *given,
                           char *out_detail, size_t size);
/* Of a server alone: a sentence without its end. */
const char *redis_guarantee_alone(const struct redis_given *given);
void redis_guarantee(const struct redis_fleet *fleet, const struct redis_given *given, char *out,
                     size_t size);
/* The one in force. */
enum durability redis_mode(const struct redis_fleet *fleet, const struct redis_given *given);

/* redis_tidy.c */

void redis_add_number(struct buf *out, int64_t number);

/* Begins a call of one of the lanes' scripts: 'keys' ("mwo") are declared where that matters; then
 * the lane's tag and epoch; 'args' arguments must follow. */
void redis_lane_script(const struct redis_layout *layout, uint32_t lane,
                       const struct redis_script *script, const char *keys, size_t args,
                       struct buf *out);

struct redis_report {
    const char *consumer;
    struct event_position at;
};

/* A lane's housekeeping, with a consumer's report or without one (NULL). */
void redis_tidy_command(const struct redis_fleet *fleet, uint32_t lane,
                        const struct redis_report *report, struct buf *out);
/* False: nothing has been tidied. '*out_more': there is more to be trimmed. */
bool redis_tidy_heard(struct redis_fleet *fleet, unsigned shard, uint32_t lane,
                      const struct redis_outcome *outcome, bool *out_more);

/* redis_hold.c: in other modes nothing is held. */
void redis_hold_init(struct redis_hold *hold, struct redis_store *store,
                     void (*release)(struct list *node, enum err err));
/* A tick's end. */
void redis_hold_tick(struct redis_hold *hold);
/* What a connection is asked there. */
void redis_wait_command(const struct redis_fleet *fleet, struct buf *out);
void redis_holds_release(struct redis_store *store); /* no WAIT is under way any more */

/* redis_wait.c */
static inline bool redis_waits(const struct redis_store *store) {
    return store->fleet->conf.durability == DURABILITY_REPLICATED;
}
void redis_wait_init(struct redis_store *store);
void redis_wait_release(struct redis_store *store);
struct redis_link *redis_wait_pick(struct redis_store *store);
/* Instead of sending: it would be applied before what was sent before it, and goes later. */
MUST_CHECK bool redis_wait_behind(struct redis_call *call);
void redis_wait_sent(struct redis_call *call);
/* A script call has its reply: what stood behind it may go. */
void redis_wait_applied(struct redis_store *store);

/* redis_store.c */
/* A call's 'node', its delivery's answers are there and good: hands them over, or an error. */
void redis_call_release(struct list *node, enum err err);
MUST_CHECK enum err redis_call_send(struct redis_call *call);
/* Hands over that it was never sent. */
void redis_call_refuse(struct redis_call *call, enum err err);
void redis_store_observe(const struct redis_store *store, const struct delivery *delivery,
                         int64_t sent_ns, bool replayed);
void redis_store_learn_clock(struct redis_store *store, int64_t clock_ms);
/* Asks the server of the slot, which is any where there are none. ERR_UNAVAILABLE: not now. */
MUST_CHECK enum err redis_store_ask(struct redis_store *store, uint16_t slot,
                                    struct redis_request *request, struct slice command);
/* The connection that it would take; NULL: none now. Good for this turn. */
struct redis_conn *redis_store_conn(struct redis_store *store, uint16_t slot);
/* It has answered so with an error: what that means for the connection, or the slots' map. */
void redis_store_trouble(struct redis_store *store, uint16_t slot,
                         const struct redis_outcome *outcome);

#endif
