/* port.c - a loop's questions, answered on the service's thread. */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "analytics/internal.h"
#include "base/clock.h"

/* Of one loop. A question is answered in microseconds to milliseconds: more than this under way
 * means that they come faster than that. */
#define QUESTIONS_MAX 256

struct analytics_port {
    struct analytics_upstream upstream;
    struct analytics_service *service;
    struct mailbox *home;
    unsigned under_way;
    void (*changed)(void *ctx, bool answers);
    void *ctx;
    struct mail join;  /* to the service's thread; it may still be on its way */
    struct mail leave; /* when this one follows */
    struct mail news;  /* to the loop */
    atomic_bool news_sent;
    bool ended; /* while news was on its way, which frees it */
    sem_t left;
    struct analytics_port *next; /* the service's */
};

/* ---- on the service's thread ---- */

/* Its source can't be reached: nobody knows what has happened there since. */
static void doubt(struct analytics_ask *ask) {
    struct certainty *certainty =
        ask->kind == ASK_TOP ? &ask->top_answer.certainty : &ask->stats_answer.certainty;

    certainty->exact = false;
    certainty->max_error = -1;
}

static enum err answer(struct analytics_service *service, struct analytics_ask *ask) {
    struct analytics *analytics = service->own.analytics;

    if (!analytics_answers(service))
        return ERR_UNAVAILABLE;
    if (clock_mono_ms() >= ask->deadline_ms)
        return ERR_DEADLINE;
    if (ask->kind == ASK_HOLD)
        analytics_hold(service, &ask->hold);
    if (ask->kind == ASK_HOLD || ask->kind == ASK_TOTALS)
        return ERR_OK;
    enum err moved = analytics_move_windows(service, clock_wall_ms());
    enum err err = moved;
    if (err == ERR_OK)
        err = ask->kind == ASK_TOP ? analytics_top(analytics, &ask->top, &ask->top_answer)
                                   : analytics_series(analytics, &ask->stats, &ask->stats_answer);
    if (feed_away(service->own.feed))
        doubt(ask);
    ask->as_of_ms = analytics_end_ms(analytics);
    ask->lag = analytics_lag(service);
    if (err == ERR_OK && ask->kind == ASK_TOP) {
        ask->as_of_ms = ask->top_answer.as_of_ms;
        ask->lag += ask->top_answer.since;
    }
    ask->coverage = *analytics_coverage(service);
    if (err == ERR_OK || (moved == ERR_OK && err == ERR_NO_MEMORY))
        return err;
    analytics_break(service, "its store could not be read", err);
    return ERR_UNAVAILABLE;
}

static void answered(struct mail *mail) {
    struct analytics_question *question = CONTAINER_OF(mail, struct analytics_question, mail);
    struct analytics_ask *ask = question->ask;

    question->port->under_way--;
    free(question);
    ask->done(ask);
}

static void drop(struct mail *mail) {
    free(CONTAINER_OF(mail, struct analytics_question, mail));
}

void analytics_answered(struct analytics_question *question, enum err err) {
    const struct analytics_service *service = question->service;

    question->ask->err = err;
    metrics_add(service->conf.metrics, service->conf.shard, service->series.questions, 1);
    question->mail.run = answered;
    if (mailbox_send(question->port->home, &question->mail) != ERR_OK)
        abort(); /* a loop's mailbox has room for all that a port can have under way */
}

void analytics_answer(struct analytics_question *question) {
    struct analytics_service *service = question->service;
    enum err err = answer(service, question->ask);

    if (err != ERR_OK || question->ask->kind != ASK_TOTALS || !analytics_wait(service, question))
        analytics_answered(question, err);
}

static void run_question(struct mail *mail) {
    analytics_answer(CONTAINER_OF(mail, struct analytics_question, mail));
}

static void ignore(struct mail *mail) {
    (void)mail; /* part of the port */
}

/* ---- who is told that it answers ---- */

static void drop_news(struct mail *mail) {
    struct analytics_port *port = CONTAINER_OF(mail, struct analytics_port, news);

    atomic_store(&port->news_sent, false);
    if (port->ended)
        free(port);
}

static void run_news(struct mail *mail) {
    struct analytics_port *port = CONTAINER_OF(mail, struct analytics_port, news);

    bool ended = port->ended;

    drop_news(mail); /* first: what changes now is news again */
    if (!ended)
        port->changed(port->ctx, analytics_answers(port->service));
}

static void send_news(struct analytics_port *port) {
    if (!port->changed || atomic_exchange(&port->news_sent, true))
        return;
    port->news = (struct mail){.run = run_news, .drop = drop_news};
    if (mailbox_send(port->home, &port->news) != ERR_OK)
        abort(); /* one at a time: the mailbox has room */
}

void analytics_set_answers(struct analytics_service *service, bool answers) {
    atomic_store(&service->answers, answers && !service->own.broken);
    for (struct analytics_port *port = service->ports; port; port = port->next)
        send_news(port);
}

bool analytics_answers(const struct analytics_service *service) {
    return atomic_load(&service->answers);
}

static void run_join(struct mail *mail) {
    struct analytics_port *port = CONTAINER_OF(mail, struct analytics_port, join);

    port->next = port->service->ports;
    port->service->ports = port;
    send_news(port);
}

static void run_leave(struct mail *mail) {
    struct analytics_port *port = CONTAINER_OF(mail, struct analytics_port, leave);
    struct analytics_port **at = &port->service->ports;

    analytics_asked_leave(port->service, port);
    while (*at != port)
        at = &(*at)->next;
    *at = port->next;
    sem_post(&port->left);
}

/* The mailbox has room for every port's visits beside its questions. */
static void visit(struct analytics_port *port, struct mail *mail, void (*run)(struct mail *mail)) {
    *mail = (struct mail){.run = run, .drop = ignore};
    if (mailbox_send(loop_mailbox(port->service->loop), mail) != ERR_OK)
        abort();
}

/* ---- on the loop ---- */

/* Tops and series go ahead of events that wait to be counted, also of those of a read that has
 * begun. Holds and totals are about where lanes are, and come in turn. */
static enum err send_question(struct analytics_service *service,
                              struct analytics_question *question) {
    if (question->ask->kind == ASK_HOLD || question->ask->kind == ASK_TOTALS)
        return mailbox_send(loop_mailbox(service->loop), &question->mail);
    return analytics_ask_in_turn(service, question);
}

static enum err port_ask(struct analytics_upstream *upstream, struct analytics_ask *ask) {
    struct analytics_port *port = CONTAINER_OF(upstream, struct analytics_port, upstream);

    if (port->under_way >= QUESTIONS_MAX)
        return ERR_BUSY;
    struct analytics_question *question = malloc(sizeof(*question));
    if (!question)
        return ERR_NO_MEMORY;
    *question = (struct analytics_question){.mail = {.run = run_question, .drop = drop},
                                            .service = port->service,
                                            .port = port,
                                            .ask = ask};
    enum err err = send_question(port->service, question);
    if (err == ERR_OK)
        port->under_way++;
    else
        free(question);
    return err;
}

struct analytics_port *analytics_port_new(struct analytics_service *service, struct mailbox *home,
                                          void (*changed)(void *ctx, bool answers), void *ctx) {
    struct analytics_port *port = calloc(1, sizeof(*port));

    if (!port)
        return NULL;
    port->upstream = (struct analytics_upstream){.reach = TOP_REACH_MAX, .ask = port_ask};
    port->service = service;
    port->home = home;
    port->changed = changed;
    port->ctx = ctx;
    (void)sem_init(&port->left, 0, 0);
    visit(port, &port->join, run_join);
    return port;
}

struct analytics_upstream *analytics_port_upstream(struct analytics_port *port) {
    return &port->upstream;
}

void analytics_port_free(struct analytics_port *port) {
    if (!port)
        return;
    visit(port, &port->leave, run_leave);
    while (sem_wait(&port->left) != 0)
        ;
    (void)sem_destroy(&port->left);
    port->ended = true;
    if (!atomic_load(&port->news_sent))
        free(port);
}
