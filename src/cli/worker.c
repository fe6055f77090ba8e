/* worker.c - one loop, what is served on it, one thread. */
#include "cli/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "edge/analytics_codec.h"

static void to_gateway(void *ctx, struct delivery *delivery) {
    gateway_delivered(((struct worker *)ctx)->gateway, GATEWAY_MAIN, delivery);
}

static void to_canary(void *ctx, struct delivery *delivery) {
    gateway_delivered(((struct worker *)ctx)->gateway, GATEWAY_CANARY, delivery);
}

static void to_front(void *ctx, struct delivery *delivery) {
    front_delivered(((struct worker *)ctx)->front, delivery);
}

static void message_to_front(void *ctx, struct delivery *delivery) {
    front_message_delivered(((struct worker *)ctx)->front, delivery);
}

static enum err make_loop(struct worker *worker) {
    struct loop_conf conf = {.backend = LOOP_AUTO, .busy_poll_us = worker->busy_poll_us};

    if (worker->back_end == CONFIG_LOOP_IO_URING)
        conf.backend = LOOP_IO_URING;
    if (worker->back_end == CONFIG_LOOP_EPOLL)
        conf.backend = LOOP_EPOLL;
    return loop_new(&conf, &worker->loop);
}

static bool serves(const struct worker *worker, enum listener_kind kind) {
    return worker->listeners->of[kind].count > 0 && (kind != LISTEN_ADMIN || worker->index == 0);
}

static bool has_gateway(const struct worker *worker) {
    return serves(worker, LISTEN_HTTP) || serves(worker, LISTEN_ADMIN);
}

/* ---- beginning ---- */

static bool listen_to(struct worker *worker, enum listener_kind kind, int fd) {
    if (kind == LISTEN_GRPC)
        return grpc_host_listen(worker->host, fd);
    return gateway_listen(worker->gateway, kind == LISTEN_HTTP ? GATEWAY_PUBLIC : GATEWAY_OPERATORS,
                          fd);
}

static bool listen_to_all(struct worker *worker) {
    for (unsigned i = 0; i < LISTEN_KINDS; i++) {
        enum listener_kind kind = (enum listener_kind)i;
        int fd = -1;

        if (!serves(worker, kind))
            continue;
        for (unsigned n = 0; (fd = listen_share(worker->listeners, kind, worker->index, n)) >= 0;
             n++)
            if (!listen_to(worker, kind, fd))
                return false;
        if (errno != 0)
            return false;
    }
    return true;
}

/* NULL: it serves. */
static void announce(struct worker *worker, const char *problem) {
    worker->problem = problem;
    worker->announced = true;
    sem_post(&worker->started);
}

/* Once; 'problem' NULL: it can serve. */
static void begin(struct worker *worker, const char *problem) {
    if (worker->announced)
        return;
    timer_stop(worker->loop, &worker->patience);
    if (!problem && !listen_to_all(worker))
        problem = "the listeners could not be served: out of memory or descriptors";
    if (problem)
        loop_stop(worker->loop);
    announce(worker, problem);
}

static void on_patience(struct timer *timer) {
    struct worker *worker = CONTAINER_OF(timer, struct worker, patience);

    begin(worker, worker->must_be_up ? "what it counts with can't be reached" : NULL);
}

/* ---- the way to the store ---- */

static void on_clock(void *ctx, int64_t ahead_ms) {
    struct worker *worker = ctx;

    if (worker->gateway)
        gateway_set_clock(worker->gateway, GATEWAY_MAIN, ahead_ms);
    if (worker->front)
        front_set_clock(worker->front, ahead_ms);
}

static void on_canary_clock(void *ctx, int64_t ahead_ms) {
    gateway_set_clock(((struct worker *)ctx)->gateway, GATEWAY_CANARY, ahead_ms);
}

static void on_changed(void *ctx, bool up) {
    struct worker *worker = ctx;

    if (worker->front)
        front_set_serving(worker->front, up);
    if (up || !worker->must_be_up)
        begin(worker, NULL);
}

static bool open_way(struct worker *worker) {
    bool front = serves(worker, LISTEN_GRPC);
    struct way_user user = {
        .ctx = worker,
        .delivered = {[WAY_GATEWAY] = has_gateway(worker) ? to_gateway : NULL,
                      [WAY_CALLS] = front ? to_front : NULL,
                      [WAY_MESSAGES] = front ? message_to_front : NULL},
        .clock_learned = on_clock,
        .canary_delivered = has_gateway(worker) ? to_canary : NULL,
        .canary_clock_learned = on_canary_clock,
        .changed = on_changed,
    };

    return way_open(&worker->way, worker->ways, worker->loop, worker->index, &user);
}

/* ---- set up and taken apart ---- */

static bool make_gateway(struct worker *worker) {
    struct upstream *upstreams[GATEWAY_WAYS] = {[GATEWAY_MAIN] =
                                                    way_upstream(&worker->way, WAY_GATEWAY),
                                                [GATEWAY_CANARY] = way_canary(&worker->way)};

    if (has_gateway(worker))
        worker->gateway = gateway_new(worker->fleet, worker->loop, worker->index, upstreams);
    return worker->gateway || !has_gateway(worker);
}

static void on_answering(void *ctx, bool answers) {
    struct worker *worker = ctx;

    worker->answering = answers;
    if (worker->host && worker->answers)
        grpc_host_set_serving(worker->host, SLICE(ANALYTICS_SERVICE), answers);
}

static bool make_questions(struct worker *worker) {
    if (worker->gateway && way_analytics(&worker->way))
        gateway_set_analytics(worker->gateway, way_analytics(&worker->way));
    if (!worker->analytics)
        return true;
    worker->answering = analytics_answers(worker->analytics);
    worker->questions =
        analytics_port_new(worker->analytics, loop_mailbox(worker->loop), on_answering, worker);
    if (!worker->questions)
        return false;
    if (worker->gateway)
        gateway_set_analytics(worker->gateway, analytics_port_upstream(worker->questions));
    return true;
}

static bool counts(const struct worker *worker) {
    return worker->ways->counter || worker->ways->redis;
}

static bool make_front(struct worker *worker) {
    struct front_upstreams upstreams = {.calls = way_upstream(&worker->way, WAY_CALLS),
                                        .messages = way_upstream(&worker->way, WAY_MESSAGES),
                                        .events = worker->ways->events};

    worker->front = front_new(worker->front_fleet, worker->loop, worker->index, &upstreams);
    return worker->front != NULL;
}

static bool make_answers(struct worker *worker) {
    if (!worker->questions)
        return true;
    worker->answers = analytics_front_new(analytics_port_upstream(worker->questions));
    if (counts(worker)) /* partitions are read by a process of its own */
        return worker->answers;
    worker->handover = handover_front_new(worker->analytics, loop_mailbox(worker->loop));
    return worker->answers && worker->handover;
}

/* Every gRPC service that this worker has, on one host. */
static bool make_host(struct worker *worker) {
    struct grpc_service services[GRPC_HOST_SERVICES_MAX];
    size_t count = 0;

    if (!serves(worker, LISTEN_GRPC))
        return true;
    if ((counts(worker) && !make_front(worker)) || !make_answers(worker))
        return false;
    if (worker->front) {
        front_services(worker->front, services);
        count = FRONT_SERVICES;
    }
    if (worker->answers) {
        analytics_front_services(worker->answers, services + count);
        count += ANALYTICS_FRONT_SERVICES;
    }
    if (worker->handover)
        handover_front_service(worker->handover, &services[count++]);
    worker->host = grpc_host_new(worker->host_fleet, worker->loop, worker->index, services, count);
    if (worker->host && worker->front)
        front_attach(worker->front, worker->host);
    if (worker->host && worker->answers)
        grpc_host_set_serving(worker->host, SLICE(ANALYTICS_SERVICE), worker->answering);
    return worker->host != NULL;
}

static const char *set_up(struct worker *worker) {
    enum err err = make_loop(worker);

    if (err == ERR_UNAVAILABLE)
        return "this kernel or its policy refuses io_uring; use --loop epoll or --loop auto";
    if (err != ERR_OK)
        return "the event loop could not be made: memory or file descriptors ran out";
    if (!open_way(worker) || !make_gateway(worker) || !make_questions(worker) ||
        !make_host(worker) || !way_connect(&worker->way))
        return "out of memory or descriptors";
    /* Nothing is known of it yet; on_changed() tells. */
    if (worker->front && way_tells(&worker->way))
        front_set_serving(worker->front, false);
    return NULL;
}

static void stop_loop(void *ctx) {
    loop_stop(((struct worker *)ctx)->loop);
}

static void tear_down(struct worker *worker) {
    grpc_host_free(worker->host);
    front_free(worker->front);
    analytics_front_free(worker->answers);
    handover_front_free(worker->handover);
    gateway_free(worker->gateway);
    analytics_port_free(worker->questions);
    if (way_must_close(&worker->way)) { /* not drained: the worker couldn't be set up */
        way_close(&worker->way, stop_loop, worker);
        if (way_must_close(&worker->way) && loop_run(worker->loop) != ERR_OK)
            return; /* what the loop still holds can't be taken apart in order any more */
    }
    way_release(&worker->way);
    loop_free(worker->loop);
}

static void *run(void *arg) {
    struct worker *worker = arg;
    const char *problem = set_up(worker);

    worker->patience.fire = on_patience;
    if (problem)
        announce(worker, problem);
    else if (!way_tells(&worker->way))
        begin(worker, NULL);
    else if (worker->patience_ms >= 0)
        timer_start(worker->loop, &worker->patience, worker->patience_ms);
    if (!problem && loop_run(worker->loop) != ERR_OK)
        worker->failed(worker->ctx); /* what it held can't be taken apart in order any more */
    else
        tear_down(worker);
    return NULL;
}

/* ---- drain ---- */

static void on_way_closed(void *ctx) {
    struct worker *worker = ctx;

    worker->drained(worker->ctx);
}

static void on_drained(void *ctx) {
    struct worker *worker = ctx;

    if (--worker->draining > 0)
        return;
    if (way_must_close(&worker->way))
        way_close(&worker->way, on_way_closed, worker);
    else
        worker->drained(worker->ctx);
}

static void on_host_drained(void *ctx) {
    struct worker *worker = ctx;

    if (worker->front)
        front_drain(worker->front, on_drained, worker);
    else
        on_drained(worker);
}

static void run_drain(struct mail *mail) {
    struct worker *worker = CONTAINER_OF(mail, struct worker_mail, mail)->worker;

    worker->draining = 1u + (worker->gateway ? 1u : 0u) + (worker->host ? 1u : 0u);
    if (worker->gateway)
        gateway_drain(worker->gateway, on_drained, worker);
    if (worker->host)
        grpc_host_drain(worker->host, on_host_drained, worker);
    on_drained(worker); /* a worker that serves nothing has drained, too */
}

static void run_abort(struct mail *mail) {
    struct worker *worker = CONTAINER_OF(mail, struct worker_mail, mail)->worker;

    if (worker->gateway)
        gateway_abort(worker->gateway);
    if (worker->host)
        grpc_host_abort(worker->host);
}

static void run_stop(struct mail *mail) {
    loop_stop(CONTAINER_OF(mail, struct worker_mail, mail)->worker->loop);
}

static void run_pulse(struct mail *mail) {
    atomic_store(&CONTAINER_OF(mail, struct worker_mail, mail)->worker->pulse_under_way, false);
}

static void drop(struct mail *mail) {
    (void)mail; /* part of the worker */
}

const char *worker_start(struct worker *worker) {
    char name[16];

    worker->drain = (struct worker_mail){{.run = run_drain, .drop = drop}, worker};
    worker->abort = (struct worker_mail){{.run = run_abort, .drop = drop}, worker};
    worker->stop = (struct worker_mail){{.run = run_stop, .drop = drop}, worker};
    worker->pulse = (struct worker_mail){{.run = run_pulse, .drop = drop}, worker};
    sem_init(&worker->started, 0, 0);
    if (pthread_create(&worker->thread, NULL, run, worker) != 0)
        return "a thread could not be made";
    (void)snprintf(name, sizeof(name), "hgp-loop-%u", worker->index);
    (void)pthread_setname_np(worker->thread, name);
    while (sem_wait(&worker->started) != 0)
        ;
    if (worker->problem)
        (void)pthread_join(worker->thread, NULL);
    return worker->problem;
}

static void post(struct worker *worker, struct worker_mail *mail) {
    /* Three mails and one pulse at most are ever under way. */
    if (mailbox_send(loop_mailbox(worker->loop), &mail->mail) != ERR_OK)
        abort();
}

void worker_drain(struct worker *worker) {
    post(worker, &worker->drain);
}

void worker_abort(struct worker *worker) {
    post(worker, &worker->abort);
}

bool worker_turned(struct worker *worker) {
    if (atomic_exchange(&worker->pulse_under_way, true))
        return false;
    post(worker, &worker->pulse);
    return true;
}

void worker_stop_and_join(struct worker *worker) {
    post(worker, &worker->stop);
    (void)pthread_join(worker->thread, NULL);
    sem_destroy(&worker->started);
}
