/* worker.h - a thread with a loop and what this role serves on it.
 *
 *     HTTP ─► gateway ─┬─► way ─► the store
 *     gRPC ─► front ───┘
 *
 * Threads    worker_start() and worker_stop_and_join() by the main thread; the calls in between
 *            send mail to the worker's loop.
 * Order      A drain ends the gateway and the front first, then the way: what they have sent still
 *            needs it.
 */
#ifndef CLI_WORKER_H
#define CLI_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "analytics/front.h"
#include "analytics/handover.h"
#include "analytics/service.h"
#include "base/attr.h"
#include "cli/listen.h"
#include "cli/way.h"
#include "counter/front.h"
#include "gateway/gateway.h"
#include "loop/mailbox.h"
#include "loop/timer.h"

struct worker;

struct worker_mail {
    struct mail mail;
    struct worker *worker;
};

struct worker {
    struct gateway_fleet *fleet;
    struct front_fleet *front_fleet;
    struct grpc_host_fleet *host_fleet;
    const struct ways *ways;
    struct analytics_service *analytics; /* NULL: none */
    unsigned index;
    const struct listeners *listeners;
    enum config_loop back_end;
    uint32_t busy_poll_us;
    bool must_be_up;     /* it begins only when what it counts with can be used, or not at all */
    int64_t patience_ms; /* for that, or for knowing whether; -1: as long as that takes */
    void (*drained)(void *ctx); /* on the worker's thread */
    void (*failed)(void *ctx);  /* likewise: its loop broke */
    void *ctx;

    pthread_t thread;
    sem_t started;
    const char *problem; /* NULL: it runs */
    struct loop *loop;
    struct way way;
    struct gateway *gateway;          /* HTTP, for clients or for operators; NULL: neither */
    struct analytics_port *questions; /* of the gateway and the answers; NULL: none */
    struct grpc_host *host;           /* gRPC; NULL: none */
    struct front *front;              /* on the host: the counter's services, */
    bool answering;                   /* what analytics said last */
    struct analytics_front *answers;  /* and analytics'; NULL: it has no such */
    struct handover_front *handover;  /* likewise */
    bool announced;                   /* that it has started */
    struct timer patience;
    unsigned draining;                     /* of the two, those that still drain, and one more */
    struct worker_mail drain, abort, stop; /* each is sent at most once */
    struct worker_mail pulse;              /* sent when the one before has run */
    atomic_bool pulse_under_way;
};

/* Starts the thread and waits until it serves: as soon as it is known whether its store, or a
 * counter, can be used, so that nobody is refused who could have been served. NULL, or a sentence
 * why it doesn't. */
MUST_CHECK const char *worker_start(struct worker *worker);

void worker_drain(struct worker *worker);
void worker_abort(struct worker *worker);
/* Has the loop turned since the call before? The first one is told so. Asks it to turn again. */
bool worker_turned(struct worker *worker);

/* It has drained. */
void worker_stop_and_join(struct worker *worker);

#endif
