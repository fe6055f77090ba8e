/* worker.c - one loop, what is served on it, one thread. */
#include "cli/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void to_gateway(void *ctx, struct delivery *delivery) {
    gateway_delivered(((struct worker *)ctx)->gateway, delivery);
}

static void to_front(void *ctx, struct delivery *delivery) {
    front_delivered(((struct worker *)ctx)->front, delivery);
}

static enum err make_loop(struct worker *worker) {
    struct loop_conf conf = {.backend = LOOP_AUTO};

    if (worker->fleet->config->loop == CONFIG_LOOP_IO_URING)
        conf.backend = LOOP_IO_URING;
    if (worker->fleet->config->loop == CONFIG_LOOP_EPOLL)
        conf.backend = LOOP_EPOLL;
    return loop_new(&conf, &worker->loop);
}

static void to_gateway_clock(void *ctx, int64_t ahead_ms) {
    gateway_set_clock(((struct worker *)ctx)->gateway, ahead_ms);
}

/* NULL when memory runs out. */
static struct upstream *make_upstream(struct worker *worker) {
    struct remote_user user = {
        .ctx = worker, .delivered = to_gateway, .clock_learned = to_gateway_clock};

    if (worker->remotes) {
        worker->remote = remote_new(worker->remotes, worker->loop, worker->index, &user);
        return worker->remote ? remote_upstream(worker->remote) : NULL;
    }
    worker->gateway_port =
        counter_port_new(worker->counter, loop_mailbox(worker->loop), to_gateway, worker);
    return worker->gateway_port ? counter_port_upstream(worker->gateway_port) : NULL;
}

static bool make_gateway(struct worker *worker) {
    if (worker->http_fd < 0 && worker->admin_fd < 0)
        return true;
    struct upstream *upstream = make_upstream(worker);

    if (upstream)
        worker->gateway = gateway_new(worker->fleet, worker->loop, worker->index, upstream,
                                      worker->http_fd, worker->admin_fd);
    if (worker->gateway && worker->remote)
        remote_connect(worker->remote);
    return worker->gateway != NULL;
}

static bool make_front(struct worker *worker) {
    if (worker->grpc_fd < 0)
        return true;
    worker->front_port =
        counter_port_new(worker->counter, loop_mailbox(worker->loop), to_front, worker);
    if (worker->front_port)
        worker->front = front_new(worker->front_fleet, worker->loop, worker->index,
                                  counter_port_upstream(worker->front_port), worker->grpc_fd);
    return worker->front != NULL;
}

static const char *set_up(struct worker *worker) {
    enum err err = make_loop(worker);

    if (err == ERR_UNAVAILABLE)
        return "this kernel or its policy refuses io_uring; use --loop epoll or --loop auto";
    if (err != ERR_OK)
        return "the event loop could not be made: memory or file descriptors ran out";
    if (!make_gateway(worker) || !make_front(worker))
        return "the listeners could not be served: out of memory or descriptors";
    return NULL;
}

static void stop_loop(void *ctx) {
    struct worker *worker = ctx;

    worker->remote = NULL;
    loop_stop(worker->loop);
}

static void tear_down(struct worker *worker) {
    front_free(worker->front);
    gateway_free(worker->gateway);
    if (worker->remote) /* not drained: the worker couldn't be set up */
        remote_close(worker->remote, stop_loop, worker);
    if (worker->remote && loop_run(worker->loop) != ERR_OK)
        return; /* what the loop still holds can't be taken apart in order any more */
    counter_port_free(worker->front_port);
    counter_port_free(worker->gateway_port);
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

static void on_remote_closed(void *ctx) {
    struct worker *worker = ctx;

    worker->remote = NULL;
    worker->drained(worker->ctx);
}

static void on_drained(void *ctx) {
    struct worker *worker = ctx;

    if (--worker->draining > 0)
        return;
    if (worker->remote)
        remote_close(worker->remote, on_remote_closed, worker);
    else
        worker->drained(worker->ctx);
}

static void run_drain(struct mail *mail) {
    struct worker *worker = CONTAINER_OF(mail, struct worker_mail, mail)->worker;

    worker->draining = 1u + (worker->gateway ? 1u : 0u) + (worker->front ? 1u : 0u);
    if (worker->gateway)
        gateway_drain(worker->gateway, on_drained, worker);
    if (worker->front)
        front_drain(worker->front, on_drained, worker);
    on_drained(worker); /* a worker that serves nothing has drained, too */
}

static void run_abort(struct mail *mail) {
    struct worker *worker = CONTAINER_OF(mail, struct worker_mail, mail)->worker;

    if (worker->gateway)
        gateway_abort(worker->gateway);
    if (worker->front)
        front_abort(worker->front);
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
