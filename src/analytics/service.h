/* service.h - analytics at work: one thread that reads a store's events and answers questions.
 *
 *     feed ─► events ─► core/analytics ─► commit, at most commit_ms later ─► report to the feed
 *     loop ─ port ─► mailbox ─► question, answered between two pieces ─► mailbox ─► loop
 *
 * When its own store fails, or the feed is another store's, counting goes on: questions are refused
 * and the log says why. Without events and questions the thread sleeps.
 *
 * Threads    analytics_start/stop by the process, while nobody asks; a port by its loop.
 */
#ifndef ANALYTICS_SERVICE_H
#define ANALYTICS_SERVICE_H

#include "base/attr.h"
#include "base/err.h"
#include "base/metrics.h"
#include "core/analytics.h"
#include "core/analytics_ask.h"
#include "edge/feed_maker.h"

struct analytics_service;

struct analytics_service_conf {
    struct tally_store *store; /* the service thread's from start to stop */
    struct analytics_conf analytics;
    struct feed_maker feed; /* the service's thread's */
    /* What isn't stored comes again after a crash, and is kept by its source until then. Storing
     * costs most of what counting does, for each counter that has changed, however often. */
    int64_t commit_ms;
    const char *name; /* what the store has been called since it was made; outlives the service */
    bool patient;     /* the feed may take long to open, which nobody waits for */
    enum loop_backend loop;
    struct metrics *metrics;
    unsigned shard; /* the service thread's */
};

/* Reads what is stored, starts the thread, and waits until the feed is open or refused, unless it
 * is patient. ERR_CORRUPT, ERR_NEWER, ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK enum err analytics_start(const struct analytics_service_conf *conf,
                                    struct analytics_service **out);

/* Stores what was counted, then runs 'action' on the service's thread, which counts and reports
 * nothing meanwhile: what is on disk now is all that it has told its source. Blocks until that is
 * done. From a thread that is nobody's loop. False: it has stopped by itself, nothing ran. */
bool analytics_pause(struct analytics_service *service, void (*action)(void *ctx), void *ctx);

/* The values of all counters, from the store itself (core/analytics.h): begin, any number of values
 * of one moment behind the beginning, end. Each blocks until the service's thread has done it; from
 * one thread that is nobody's loop. ERR_UNAVAILABLE: it has stopped by itself. */
struct counter_value {
    struct slice resource_id;
    struct slice counter_type;
    int64_t value;
};
bool analytics_lacks_values(struct analytics_service *service);
MUST_CHECK enum err analytics_begin_values(struct analytics_service *service);
MUST_CHECK enum err analytics_put_values(struct analytics_service *service,
                                         const struct counter_value *values, size_t count);
MUST_CHECK enum err analytics_end_values(struct analytics_service *service);

/* ---- a state that another service has counted meanwhile ----
 *
 *     look, look … ─► stand ─► look … ─► take_over ─► it is read on
 */

/* How far it is. False: it has stopped by itself. */
struct analytics_reached {
    uint64_t store_id;         /* 0: no event has ever come */
    uint32_t lanes;            /* 0: nor since it was started, and its source hasn't answered yet */
    struct event_position *at; /* by lane */
    uint64_t events;           /* counted since it was started */
    uint32_t halted;           /* lanes */
    bool moved;                /* a partition was (core/analytics_partition.h) */
    uint32_t partitions;       /* that the source has; 0: none, or it isn't known yet */
    int64_t *next;             /* by partition: behind what was read and counted (core/feed.h);
                                  INT64_MAX: it isn't read here */
};
bool analytics_reach(struct analytics_service *service, struct analytics_reached *out);
void analytics_reached_release(struct analytics_reached *reached);

/* A lane without an event goes on behind 'at': nothing before can be had any more. */
bool analytics_pass(struct analytics_service *service, uint32_t lane, struct event_position at);

/* Stores and reports what was counted, and reads nothing more, until it may again; answers go on.
 */
bool analytics_stand(struct analytics_service *service, bool still);

/* 'from', which isn't behind in any lane, has no halted one and whom nobody asks, ends, and what it
 * has counted is this one's from now on. Of both stores 'move', on this service's thread, makes the
 * one that is this service's afterwards: 'from's, if it 'may' be (no partition was moved
 * meanwhile), or its own as it was, and '*out_taken' says which; NULL: neither, and it has stopped.
 * ERR_UNAVAILABLE: it has, or 'from' had, stopped by itself; ERR_IO: 'move' did not take it. 'from'
 * is gone in any case. */
MUST_CHECK enum err
analytics_take_over(struct analytics_service *service, struct analytics_service *from,
                    struct tally_store *(*move)(void *ctx, bool may, bool *out_taken), void *ctx);

/* Stores and reports what was counted. */
void analytics_stop(struct analytics_service *service);

/* It has answers: it has heard of its store, and nothing has failed. Any thread. */
bool analytics_answers(const struct analytics_service *service);

/* A loop's way to ask; 'home' is where the answers come, and where changed() tells, at first and
 * whenever it changes, what analytics_answers() says; may be NULL. NULL when memory runs out. */
struct analytics_port;
struct analytics_port *analytics_port_new(struct analytics_service *service, struct mailbox *home,
                                          void (*changed)(void *ctx, bool answers), void *ctx);
struct analytics_upstream *analytics_port_upstream(struct analytics_port *port);

/* Nothing may be under way, and nothing runs on 'home' any more. NULL is fine. */
void analytics_port_free(struct analytics_port *port);

#endif
