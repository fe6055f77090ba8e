/* internal.h - what the service's files share.
 *
 * service.c  the thread, from start to stop
 * consume.c  events in, commits, reports
 * port.c     questions and answers
 * asked.c    whose turn it is: questions, or what is counted
 * handover.c partitions that come and go
 * totals.c   totals at a position; counting pauses for those who ask
 * visit.c    work of other threads, on the service's
 * replace.c  another's state taken over
 * observe.c  figures
 */
#ifndef ANALYTICS_INTERNAL_H
#define ANALYTICS_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "analytics/service.h"
#include "base/attr.h"
#include "base/list.h"
#include "base/trace_context.h"
#include "core/analytics_partition.h"
#include "core/time_share.h"
#include "edge/handover_codec.h"
#include "loop/mailbox.h"
#include "loop/timer.h"

struct lane_read {
    struct feed_read read;
    struct analytics_service *service;
    bool under_way;
    bool halted;
    bool no_room; /* until a commit has ended */
};

/* On its way from a port to the service's thread and back. */
struct analytics_question {
    struct mail mail;
    struct analytics_service *service;
    struct analytics_port *port;
    struct analytics_ask *ask;
    struct list node; /* of those that wait: for their turn, or for their lanes */
    int64_t until_ms;
};

struct analytics_service {
    struct analytics_service_conf conf;
    pthread_t thread;
    sem_t started;
    enum err start_err;
    struct loop *loop; /* set before 'started' */
    atomic_bool loop_broken;

    struct { /* the service's thread; before it runs, the starter's */
        struct analytics *analytics;
        struct feed *feed;
        uint32_t lanes;
        struct lane_read *reads;
        struct buf mark; /* the feed's, for the next commit */
        struct timer commit;
        int64_t committing_ns;      /* since when */
        struct trace_context trace; /* of that commit, where it is sampled */
        uint64_t random;            /* for the next one */
        struct timer gather;        /* armed between more() and reading */
        bool gathered;              /* the source does, more() can be read at once */
        bool held;                  /* nothing is counted */
        uint64_t holds;             /* the latest one's number */
        struct timer hold_end;
        uint32_t reading;        /* lanes of which a read is under way */
        struct list asked;       /* struct analytics_question, in order; their turn comes */
        struct time_share share; /* of the thread: theirs */
        int64_t late_ms;         /* when those past their deadline were last looked for */
        struct timer turn;       /* while there are any */
        struct list waiting;     /* struct analytics_question: for their lanes */
        struct timer waiting_look;
        struct list visits; /* that wait for the end of a commit */
        bool broken;        /* answers nothing any more */
        bool stands;        /* nothing is counted before another state has come, or hasn't */
        bool reopening;     /* the feed is closing, another one comes */
        struct mail reopen;
        bool stopping;
        bool announced; /* that it has started */
        struct timer veil;
        struct timer catch_up; /* while windows are behind */
        uint64_t attempt; /* to move a partition: another one whenever one arrives or is kept */
        struct analytics_import import;
        struct coverage coverage; /* of what is asked now */
        bool covered;             /* it is still so */
        struct analytics_stats reported;
    } own;

    struct mailbox *questions;    /* about what is counted: taken between pieces of any work */
    struct mail told;             /* to the loop: there is one */
    atomic_bool told_sent;        /* and hasn't run yet */
    struct analytics_port *ports; /* the service's thread */
    atomic_bool answers;
    struct mail stop;
    struct mail stored;      /* from the store's thread: a commit has ended */
    atomic_bool stored_sent; /* and hasn't run yet */
    struct {
        metric_series events, duplicates, late, refused, checked, drifting, external, counters,
            halted, lag, commit, questions;
    } series;
};

/* ---- service.c ---- */

/* The starter may go on. */
void analytics_announce(struct analytics_service *service);

/* Stores and reports what was counted, and ends the thread. */
void analytics_end_thread(struct analytics_service *service);
void analytics_free(struct analytics_service *service);

/* Its feed has closed for good. */
void analytics_feed_closed(void *ctx);

/* ---- visit.c ---- */

/* 'action' on the service's thread; false: it has stopped by itself, nothing ran. */
bool analytics_visit(struct analytics_service *service, void (*action)(void *ctx), void *ctx);

/* 'step', until it says true: now, and after each commit that ends. */
bool analytics_visit_until(struct analytics_service *service, bool (*step)(void *ctx), void *ctx);

/* A commit has ended, or it has stopped. */
void analytics_visits_go_on(struct analytics_service *service);

/* ---- consume.c ---- */

struct feed_user analytics_consumer(struct analytics_service *service);

/* Commits and reports; waits until it is done. */
void analytics_settle(struct analytics_service *service);

/* Begins to store, unless it is under way. */
void analytics_commit_soon(struct analytics_service *service);

/* It is under way. */
bool analytics_commits(const struct analytics_service *service);

/* What core/analytics calls from the store's thread; 'ctx' is the service. */
void analytics_commit_ended(void *ctx);

/* Events that are in the store and not counted yet, as far as is known. */
uint64_t analytics_lag(const struct analytics_service *service);

/* Its state can't be trusted or kept any more. */
void analytics_break(struct analytics_service *service, const char *what, enum err err);

/* Reads every lane. */
void analytics_read_on(struct analytics_service *service);

/* analytics_move() to the wall clock; what is left of it follows, bit by bit. */
MUST_CHECK enum err analytics_move_windows(struct analytics_service *service, int64_t now_ms);

/* ---- totals.c ---- */

void analytics_hold(struct analytics_service *service, struct hold_ask *out);

/* A question for totals. False: its answer is complete; else analytics_answered() comes later. */
bool analytics_wait(struct analytics_service *service, struct analytics_question *question);

/* How many of a lane's next events may be counted before analytics_stopped() must look. */
size_t analytics_until_stop(const struct analytics_service *service, const struct event *events,
                            size_t count);
void analytics_stopped(struct analytics_service *service);

/* Answers all that wait. */
void analytics_waiting_end(struct analytics_service *service, enum err err);

/* ---- port.c ---- */

/* Has it answered, now or by analytics_wait(). */
void analytics_answer(struct analytics_question *question);

/* The question goes back. */
void analytics_answered(struct analytics_question *question, enum err err);

/* analytics_answers() from now on; tells the ports. */
void analytics_set_answers(struct analytics_service *service, bool answers);

/* ---- asked.c ---- */

/* On the loop of its port. Answered in turn, or refused as late. ERR_BUSY. */
MUST_CHECK enum err analytics_ask_in_turn(struct analytics_service *service,
                                          struct analytics_question *question);

/* Answers some of what is asked about what is counted, if its turn has come: between pieces of
 * long work, where its state is whole. */
void analytics_answer_between(struct analytics_service *service);

/* No question of the port's is left, or comes. */
void analytics_asked_leave(struct analytics_service *service, const struct analytics_port *port);
void analytics_asked_release(struct analytics_service *service);

/* ---- handover.c ---- */

/* Does it, and writes the answer; or a sentence why not, which may be empty. */
MUST_CHECK enum err analytics_handover_step(struct analytics_service *service,
                                            const struct handover_request *request, struct buf *out,
                                            const char **out_detail);

/* Before the feed is open: what was moved is read where it is, whatever is configured. */
void analytics_follow_partitions(struct analytics_service *service);

/* Which of them are in an answer now. */
const struct coverage *analytics_coverage(struct analytics_service *service);

/* ---- observe.c ---- */

void analytics_series_make(struct analytics_service *service);
void analytics_observe(struct analytics_service *service);

#endif
