/* service.c - the thread, from start to stop. */
#include "analytics/service.h"

#include <stdlib.h>

#include "analytics/internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"

/* Each port has its own limit, which is what a question runs into first. */
#define QUESTION_SLOTS 65536

static enum err make_feed(struct analytics_service *service) {
    struct loop_conf conf = {.backend = service->conf.loop};
    enum err err = loop_new(&conf, &service->loop);

    if (err != ERR_OK)
        return err;
    service->own.feed = service->conf.feed.make(service->conf.feed.ctx, service->loop);
    return service->own.feed ? ERR_OK : ERR_NO_MEMORY;
}

void analytics_announce(struct analytics_service *service) {
    if (!service->own.announced)
        sem_post(&service->started);
    service->own.announced = true;
}

/* Announced when the feed is open: the first question finds an answer. */
static void *run(void *arg) {
    struct analytics_service *service = arg;

    service->start_err = make_feed(service);
    bool serves = service->start_err == ERR_OK;
    if (serves) {
        struct feed_user user = analytics_consumer(service);

        feed_resume(service->own.feed, analytics_marked(service->own.analytics));
        analytics_follow_partitions(service);
        feed_open(service->own.feed, &user);
        if (service->conf.patient)
            analytics_announce(service);
    }
    if (serves && loop_run(service->loop) != ERR_OK) {
        log_line(LOG_ERROR, "analytics: its event loop broke");
        atomic_store(&service->loop_broken, true);
        service->own.broken = true;
        analytics_visits_go_on(service);
        analytics_announce(service);
        return NULL; /* what it held can't be taken apart in order any more */
    }
    if (service->own.feed)
        service->conf.feed.release(service->conf.feed.ctx);
    loop_free(service->loop);
    analytics_announce(service); /* it didn't serve at all */
    return NULL;
}

void analytics_free(struct analytics_service *service) {
    analytics_close(service->own.analytics);
    free(service->own.reads);
    buf_release(&service->own.mark);
    analytics_import_release(&service->own.import);
    mailbox_free(service->questions);
    analytics_asked_release(service);
    sem_destroy(&service->started);
    free(service);
}

static enum err run_thread(struct analytics_service *service) {
    if (pthread_create(&service->thread, NULL, run, service) != 0)
        return ERR_NO_MEMORY;
    (void)pthread_setname_np(service->thread, "hgp-analytics");
    while (sem_wait(&service->started) != 0)
        ;
    if (service->start_err != ERR_OK)
        (void)pthread_join(service->thread, NULL);
    return service->start_err;
}

enum err analytics_start(const struct analytics_service_conf *conf,
                         struct analytics_service **out) {
    struct analytics_service *service = calloc(1, sizeof(*service));

    if (!service)
        return ERR_NO_MEMORY;
    service->conf = *conf;
    service->conf.analytics.ended = analytics_commit_ended;
    service->conf.analytics.ctx = service;
    service->own.random = random_u64();
    (void)sem_init(&service->started, 0, 0);
    list_init(&service->own.waiting);
    list_init(&service->own.asked);
    list_init(&service->own.visits);
    analytics_series_make(service);
    service->questions = mailbox_new(QUESTION_SLOTS);
    enum err err = service->questions ? analytics_open(conf->store, &service->conf.analytics,
                                                       clock_wall_ms(), &service->own.analytics)
                                      : ERR_NO_MEMORY;
    if (err == ERR_OK)
        err = run_thread(service);
    if (err != ERR_OK) {
        analytics_free(service);
        return err;
    }
    *out = service;
    return ERR_OK;
}

/* ---- stop ---- */

void analytics_feed_closed(void *ctx) {
    loop_stop(((struct analytics_service *)ctx)->loop);
}

static void run_stop(struct mail *mail) {
    struct analytics_service *service = CONTAINER_OF(mail, struct analytics_service, stop);

    service->own.stopping = true;
    timer_stop(service->loop, &service->own.hold_end);
    analytics_waiting_end(service, ERR_UNAVAILABLE);
    timer_stop(service->loop, &service->own.commit);
    timer_stop(service->loop, &service->own.gather);
    timer_stop(service->loop, &service->own.veil);
    timer_stop(service->loop, &service->own.catch_up);
    timer_stop(service->loop, &service->own.turn);
    analytics_settle(service);
    if (!service->own.reopening) /* else it is closing */
        feed_close(service->own.feed, analytics_feed_closed, service);
}

static void drop(struct mail *mail) {
    (void)mail; /* part of the service */
}

void analytics_end_thread(struct analytics_service *service) {
    service->stop = (struct mail){.run = run_stop, .drop = drop};
    /* Nobody asks any more, so the mailbox has room. */
    if (mailbox_send(loop_mailbox(service->loop), &service->stop) != ERR_OK)
        abort();
    (void)pthread_join(service->thread, NULL);
}

void analytics_stop(struct analytics_service *service) {
    analytics_end_thread(service);
    analytics_free(service);
}
