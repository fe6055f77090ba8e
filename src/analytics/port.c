/* port.c - a loop's questions, answered on the service's thread. */
#include <stdlib.h>

#include "analytics/internal.h"
#include "base/clock.h"

/* Of one loop. A question is answered in microseconds to milliseconds: more than this under way
 * means that they come faster than that. */
#define QUESTIONS_MAX 256

struct question {
    struct mail mail;
    struct analytics_port *port;
    struct analytics_ask *ask;
};

struct analytics_port {
    struct analytics_upstream upstream;
    struct analytics_service *service;
    struct mailbox *home;
    unsigned under_way;
};

/* ---- on the service's thread ---- */

static enum err answer(struct analytics_service *service, struct analytics_ask *ask) {
    struct analytics *analytics = service->own.analytics;

    if (service->own.broken || !service->own.reads)
        return ERR_UNAVAILABLE;
    if (clock_mono_ms() >= ask->deadline_ms)
        return ERR_DEADLINE;
    enum err err = analytics_move(analytics, clock_wall_ms());
    if (err == ERR_OK)
        err = ask->kind == ASK_TOP ? analytics_top(analytics, &ask->top, &ask->top_answer)
                                   : analytics_series(analytics, &ask->stats, &ask->stats_answer);
    ask->as_of_ms = analytics_end_ms(analytics);
    ask->lag = analytics_lag(service);
    if (err == ERR_OK || err == ERR_NO_MEMORY)
        return err;
    analytics_break(service, "its store could not be read", err);
    return ERR_UNAVAILABLE;
}

static void answered(struct mail *mail) {
    struct question *question = CONTAINER_OF(mail, struct question, mail);
    struct analytics_ask *ask = question->ask;

    question->port->under_way--;
    free(question);
    ask->done(ask);
}

static void drop(struct mail *mail) {
    free(CONTAINER_OF(mail, struct question, mail));
}

static void run_question(struct mail *mail) {
    struct question *question = CONTAINER_OF(mail, struct question, mail);
    struct analytics_service *service = question->port->service;

    question->ask->err = answer(service, question->ask);
    metrics_add(service->conf.metrics, service->conf.shard, service->series.questions, 1);
    mail->run = answered;
    if (mailbox_send(question->port->home, mail) != ERR_OK)
        abort(); /* a loop's mailbox has room for all that a port can have under way */
}

/* ---- on the loop ---- */

static enum err port_ask(struct analytics_upstream *upstream, struct analytics_ask *ask) {
    struct analytics_port *port = CONTAINER_OF(upstream, struct analytics_port, upstream);

    if (port->under_way >= QUESTIONS_MAX)
        return ERR_BUSY;
    struct question *question = malloc(sizeof(*question));
    if (!question)
        return ERR_NO_MEMORY;
    *question =
        (struct question){.mail = {.run = run_question, .drop = drop}, .port = port, .ask = ask};
    enum err err = mailbox_send(loop_mailbox(port->service->loop), &question->mail);
    if (err == ERR_OK)
        port->under_way++;
    else
        free(question);
    return err;
}

struct analytics_port *analytics_port_new(struct analytics_service *service, struct mailbox *home) {
    struct analytics_port *port = calloc(1, sizeof(*port));

    if (port)
        *port = (struct analytics_port){
            .upstream = {.ask = port_ask}, .service = service, .home = home};
    return port;
}

struct analytics_upstream *analytics_port_upstream(struct analytics_port *port) {
    return &port->upstream;
}

void analytics_port_free(struct analytics_port *port) {
    free(port);
}
