/* worker.c - one loop, one gateway, one thread. */
#include "cli/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void on_delivered(void *ctx, struct delivery *delivery) {
    struct worker *worker = ctx;

    gateway_delivered(worker->gateway, delivery);
}

static const char *set_up(struct worker *worker) {
    struct loop_conf conf = {.backend = LOOP_AUTO};

    if (worker->fleet->config->loop == CONFIG_LOOP_IO_URING)
        conf.backend = LOOP_IO_URING;
    if (worker->fleet->config->loop == CONFIG_LOOP_EPOLL)
        conf.backend = LOOP_EPOLL;
    enum err err = loop_new(&conf, &worker->loop);
    if (err == ERR_UNAVAILABLE)
        return "this kernel or its policy refuses io_uring; use --loop epoll or --loop auto";
    if (err != ERR_OK)
        return "the event loop could not be made: memory or file descriptors ran out";
    worker->port =
        counter_port_new(worker->counter, loop_mailbox(worker->loop), on_delivered, worker);
    if (worker->port)
        worker->gateway =
            gateway_new(worker->fleet, worker->loop, worker->index,
                        counter_port_upstream(worker->port), worker->http_fd, worker->admin_fd);
    return worker->gateway ? NULL : "the gateway could not be made: out of memory or descriptors";
}

static void tear_down(struct worker *worker) {
    gateway_free(worker->gateway);
    counter_port_free(worker->port);
    loop_free(worker->loop);
}

static void *run(void *arg) {
    struct worker *worker = arg;
    bool serves;

    worker->problem = set_up(worker);
    serves = !worker->problem;
    sem_post(&worker->started);
    if (serves && loop_run(worker->loop) != ERR_OK)
        worker->failed(worker->ctx); /* what it held can't be taken apart in order any more */
    else
        tear_down(worker);
    return NULL;
}

static void run_drain(struct mail *mail) {
    struct worker *worker = CONTAINER_OF(mail, struct worker_mail, mail)->worker;

    gateway_drain(worker->gateway, worker->drained, worker->ctx);
}

static void run_abort(struct mail *mail) {
    gateway_abort(CONTAINER_OF(mail, struct worker_mail, mail)->worker->gateway);
}

static void run_stop(struct mail *mail) {
    loop_stop(CONTAINER_OF(mail, struct worker_mail, mail)->worker->loop);
}

static void drop(struct mail *mail) {
    (void)mail; /* part of the worker */
}

const char *worker_start(struct worker *worker) {
    char name[16];

    worker->drain = (struct worker_mail){{.run = run_drain, .drop = drop}, worker};
    worker->abort = (struct worker_mail){{.run = run_abort, .drop = drop}, worker};
    worker->stop = (struct worker_mail){{.run = run_stop, .drop = drop}, worker};
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
    /* Three mails at most ever come this way. */
    if (mailbox_send(loop_mailbox(worker->loop), &mail->mail) != ERR_OK)
        abort();
}

void worker_drain(struct worker *worker) {
    post(worker, &worker->drain);
}

void worker_abort(struct worker *worker) {
    post(worker, &worker->abort);
}

void worker_stop_and_join(struct worker *worker) {
    post(worker, &worker->stop);
    (void)pthread_join(worker->thread, NULL);
    sem_destroy(&worker->started);
}
