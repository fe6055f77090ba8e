/* resolver.c - one thread that may block in getaddrinfo(3).
 *
 *     ASKED ──► LOOKED_UP ──► ANSWERED ──► done()      the thread: ASKED to ANSWERED
 *       └──────────┴────────────┴──► cancelled         the loop: the rest
 *
 * A query is freed by who has it when it is over: the loop, or the thread when it was cancelled
 * under its hands. 'lock' decides which of the two came first, so that no mail is sent to a loop
 * that has cancelled and may be gone.
 */
#include "loop/resolver.h"

#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/list.h"
#include "loop/address.h"
#include "loop/loop.h"
#include "loop/mailbox.h"
#include "loop/timer.h"

#define MAIL_RETRY_NS 1000000

enum query_state {
    QUERY_LOCAL,     /* no thread needed: answered by the timer */
    QUERY_ASKED,     /* on resolver->asked */
    QUERY_LOOKED_UP, /* the thread's */
    QUERY_ANSWERED   /* mail for the loop */
};

struct resolver_query {
    struct list node;
    struct mail mail;
    struct timer timer;
    struct resolver *resolver;
    struct loop *loop;
    resolved_fn done;
    void *ctx;
    const char *problem;
    struct resolved resolved;
    enum query_state state;
    bool cancelled;
    char port[6];
    char host[NI_MAXHOST];
};

struct resolver {
    pthread_t thread;
    pthread_cond_t more;
    pthread_mutex_t lock; /* guards all below, and 'state' and 'cancelled' of every query */
    struct list asked;
    bool busy; /* the thread is in getaddrinfo(3) */
    bool stop;
    bool abandoned; /* nobody waits for the thread: it releases all this */
};

/* ---- the thread ---------------------------------------------------------- */

static void keep(struct resolved *to, const struct addrinfo *from) {
    for (; from && to->count < RESOLVER_ADDRESSES_MAX; from = from->ai_next) {
        if (from->ai_addrlen > sizeof(to->addresses[0]))
            continue;
        memcpy(&to->addresses[to->count], from->ai_addr, from->ai_addrlen);
        to->lens[to->count++] = from->ai_addrlen;
    }
}

/* Without AI_ADDRCONFIG: where there is only the loopback it hides even that. An address that can't
 * be reached is refused at once by connect(2). */
static void look_up(struct resolver_query *q) {
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(q->host, q->port, &hints, &found);

    if (error != 0) {
        q->problem = gai_strerror(error);
        return;
    }
    keep(&q->resolved, found);
    freeaddrinfo(found);
    if (q->resolved.count == 0)
        q->problem = "the name has no address";
}

/* Under the lock, which a cancellation waits for. */
static bool answered(struct resolver_query *q) {
    if (q->cancelled) {
        free(q);
        return true;
    }
    if (mailbox_send(loop_mailbox(q->loop), &q->mail) != ERR_OK)
        return false;
    q->state = QUERY_ANSWERED;
    return true;
}

/* A full mailbox is a loop that is far behind: later. */
static void answer(struct resolver *r, struct resolver_query *q) {
    const struct timespec pause = {.tv_nsec = MAIL_RETRY_NS};

    while (!answered(q)) {
        pthread_mutex_unlock(&r->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&r->lock);
    }
}

static void release(struct resolver *r) {
    pthread_cond_destroy(&r->more);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void work(struct resolver *r) {
    struct list *node = list_pop_front(&r->asked);
    struct resolver_query *q;

    if (!node) {
        pthread_cond_wait(&r->more, &r->lock);
        return;
    }
    q = CONTAINER_OF(node, struct resolver_query, node);
    q->state = QUERY_LOOKED_UP;
    r->busy = true;
    pthread_mutex_unlock(&r->lock);
    look_up(q);
    pthread_mutex_lock(&r->lock);
    answer(r, q);
    r->busy = false;
}

static void *run(void *arg) {
    struct resolver *r = arg;
    bool abandoned;

    pthread_mutex_lock(&r->lock);
    while (!r->stop)
        work(r);
    abandoned = r->abandoned;
    pthread_mutex_unlock(&r->lock);
    if (abandoned)
        release(r);
    return NULL;
}

/* The process's signals are for its other threads. */
static bool start_thread(struct resolver *r) {
    sigset_t all;
    sigset_t before;
    bool ok;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ok = pthread_create(&r->thread, NULL, run, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

struct resolver *resolver_new(void) {
    struct resolver *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    list_init(&r->asked);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    if (!start_thread(r)) {
        release(r);
        return NULL;
    }
    return r;
}

void resolver_free(struct resolver *r) {
    pthread_t thread;
    bool busy;

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    assert(list_empty(&r->asked));
    thread = r->thread;
    busy = r->busy;
    r->stop = true;
    r->abandoned = busy;
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->lock);
    if (busy) {
        /* For a cancelled query, at a name server that doesn't answer: an end mustn't wait. */
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    release(r);
}

/* ---- the loop ------------------------------------------------------------ */

static void finish(struct resolver_query *q) {
    q->done(q->ctx, q->problem ? NULL : &q->resolved, q->problem);
    free(q);
}

static void on_mail(struct mail *mail) {
    struct resolver_query *q = CONTAINER_OF(mail, struct resolver_query, mail);

    if (q->cancelled)
        free(q);
    else
        finish(q);
}

static void on_dropped(struct mail *mail) {
    free(CONTAINER_OF(mail, struct resolver_query, mail));
}

static void on_timer(struct timer *timer) {
    finish(CONTAINER_OF(timer, struct resolver_query, timer));
}

static void add(struct resolved *to, const struct address *address) {
    to->addresses[to->count] = address->sa;
    to->lens[to->count++] = address->len;
}

/* What needs no thread. */
static bool answer_here(struct resolver_query *q, struct slice host, in_port_t port) {
    struct address address;

    if (slice_eq_nocase(host, SLICE("localhost"))) { /* RFC 6761 6.3 */
        address_v4(&address, (struct in_addr){htonl(INADDR_LOOPBACK)}, port);
        add(&q->resolved, &address);
        address_v6(&address, in6addr_loopback, port);
        add(&q->resolved, &address);
        return true;
    }
    if (!address_numeric(host, port, &address))
        return false;
    add(&q->resolved, &address);
    return true;
}

static bool is_name(struct slice host) {
    return host.len > 0 && host.len < NI_MAXHOST && !memchr(host.ptr, ':', host.len) &&
           !memchr(host.ptr, '[', host.len) && !memchr(host.ptr, '\0', host.len);
}

/* true: it is a question for the thread. */
static bool prepare(struct resolver_query *q, struct slice text) {
    struct slice host;
    in_port_t port;

    if (!address_split(text, &host, &port)) {
        q->problem = "the address is not HOST:PORT";
        return false;
    }
    if (answer_here(q, host, port))
        return false;
    if (!is_name(host)) {
        q->problem = "the host is neither a name nor an address";
        return false;
    }
    memcpy(q->host, host.ptr, host.len);
    (void)snprintf(q->port, sizeof(q->port), "%u", ntohs(port));
    return true;
}

static void ask_thread(struct resolver *r, struct resolver_query *q) {
    pthread_mutex_lock(&r->lock);
    q->state = QUERY_ASKED;
    list_push_back(&r->asked, &q->node);
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->lock);
}

struct resolver_query *resolver_ask(struct resolver *r, struct loop *loop, struct slice address,
                                    resolved_fn done, void *ctx) {
    struct resolver_query *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->mail = (struct mail){.run = on_mail, .drop = on_dropped};
    q->timer.fire = on_timer;
    q->resolver = r;
    q->loop = loop;
    q->done = done;
    q->ctx = ctx;
    if (prepare(q, address))
        ask_thread(r, q);
    else
        timer_start(loop, &q->timer, 0);
    return q;
}

void resolver_cancel(struct resolver_query *q) {
    struct resolver *r = q ? q->resolver : NULL;
    bool ours;

    if (!q)
        return;
    pthread_mutex_lock(&r->lock);
    ours = q->state == QUERY_LOCAL || q->state == QUERY_ASKED;
    if (q->state == QUERY_ASKED)
        list_remove(&q->node);
    q->cancelled = true;
    pthread_mutex_unlock(&r->lock);
    if (!ours)
        return; /* on_mail() frees it, or the thread, which may have done so */
    timer_stop(q->loop, &q->timer);
    free(q);
}
