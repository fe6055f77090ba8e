/* loop.c - the turn of the loop, and who runs in it when. */
#include "loop/loop.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>

#include "base/clock.h"
#include "loop/endpoint.h"
#include "loop/loop_private.h"
#include "loop/mailbox.h"
#include "loop/mailbox_private.h"

/* Mail is intrusive, so slots cost nothing; the bound stops a runaway sender. */
#define MAIL_SLOTS 65536

/* Polling is for one request or few: more of them share a wakeup. */
#define FEW_ARRIVALS 4
/* Those whose work is waited for have a core for less than this at a time; longer, it is others. */
#define AWAY_NS 1000000

static void read_clock(struct loop *loop) {
    loop->now_ms = clock_mono_ms();
    loop->wall_ms = clock_wall_ms();
}

static enum err choose_backend(struct loop *loop, enum loop_backend backend) {
    if (backend != LOOP_EPOLL) {
        enum err err = backend_uring.create(&loop->backend);

        loop->ops = &backend_uring;
        if (err == ERR_OK || backend == LOOP_IO_URING)
            return err;
    }
    loop->ops = &backend_epoll;
    return backend_epoll.create(&loop->backend);
}

enum err loop_new(const struct loop_conf *conf, struct loop **out_loop) {
    struct loop *loop = calloc(1, sizeof(*loop));
    enum err err;

    if (!loop)
        return ERR_NO_MEMORY;
    list_init(&loop->dirty);
    list_init(&loop->due);
    list_init(&loop->starved);
    list_init(&loop->hooks);
    list_init(&loop->hooks_added);
    loop->thread = pthread_self();
    loop->poll.max_ns = conf->busy_poll_us * INT64_C(1000);
    read_clock(loop);
    loop->mailbox = mailbox_new(MAIL_SLOTS);
    err = loop->mailbox ? choose_backend(loop, conf->backend) : ERR_NO_MEMORY;
    if (err == ERR_OK && !loop->ops->watch(loop->backend, mailbox_fd(loop->mailbox)))
        err = ERR_NO_MEMORY;
    if (err != ERR_OK) {
        loop_free(loop);
        return err;
    }
    *out_loop = loop;
    return ERR_OK;
}

/* Moves all of 'from' to the empty 'to'. */
static void take_all(struct list *to, struct list *from) {
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

static void apply_all(struct loop *loop) {
    while (!list_empty(&loop->dirty)) {
        struct endpoint *ep = CONTAINER_OF(loop->dirty.next, struct endpoint, dirty);

        list_remove(&ep->dirty);
        if (!loop->ops->apply(loop->backend, ep)) {
            list_push_back(&loop->dirty, &ep->dirty);
            return;
        }
    }
}

/* Only what was due before this turn: a close is never finished in its own. */
static void run_due(struct loop *loop) {
    struct list round;
    struct list *node;

    take_all(&round, &loop->due);
    while ((node = list_pop_front(&round))) {
        struct endpoint *ep = CONTAINER_OF(node, struct endpoint, due);

        if (ep->kind == ENDPOINT_STREAM)
            stream_due(endpoint_stream(ep));
        else
            listener_due(endpoint_listener(ep));
    }
}

static void run_hooks(struct loop *loop) {
    struct list round;
    struct list *node;

    /* A hook goes back before it runs, so that it can remove itself or another;
     * new ones wait in a list of their own, which keeps the order of adding. */
    take_all(&round, &loop->hooks);
    loop->in_hooks = true;
    while ((node = list_pop_front(&round))) {
        struct loop_hook *hook = CONTAINER_OF(node, struct loop_hook, node);

        list_push_back(&loop->hooks, node);
        hook->run(hook);
    }
    loop->in_hooks = false;
    while ((node = list_pop_front(&loop->hooks_added)))
        list_push_back(&loop->hooks, node);
}

static int timeout_ms(const struct loop *loop) {
    int64_t next_ms = timers_next_ms(&loop->timers);
    int64_t left_ms = next_ms - loop->now_ms;

    if (!list_empty(&loop->due) || !list_empty(&loop->dirty))
        return 0;
    if (next_ms < 0)
        return -1;
    if (left_ms <= 0)
        return 0;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

/* Until something has completed, or the window is over. Others go first at each look. */
static void poll_for_work(struct loop *loop, int64_t now_ns) {
    int64_t end_ns = now_ns + poll_window_ns(&loop->poll, now_ns);

    while (now_ns < end_ns && !loop->ops->look(loop->backend)) {
        int64_t looked_ns = now_ns;

        (void)sched_yield();
        now_ns = clock_mono_ns();
        if (now_ns - looked_ns > AWAY_NS) {
            poll_window_rest(&loop->poll, now_ns);
            return;
        }
    }
}

/* Polls where that pays, then sleeps until something completes. */
static enum err wait_for_work(struct loop *loop, int timeout_ms) {
    bool polls = timeout_ms != 0 && loop->poll.max_ns > 0 && loop->arrived <= FEW_ARRIVALS;
    int64_t began_ns = polls ? clock_mono_ns() : 0;
    enum err err;

    if (polls)
        poll_for_work(loop, began_ns);
    err = loop->ops->wait(loop->backend, timeout_ms);
    if (polls)
        poll_window_waited(&loop->poll, clock_mono_ns() - began_ns);
    return err;
}

/* The first half of a turn: submit, sleep, and hear what came of it. */
static enum err turn_sockets(struct loop *loop) {
    enum err err;
    int timeout;

    apply_all(loop);
    timeout = timeout_ms(loop);
    if (timeout != 0 && !mailbox_arm(loop->mailbox))
        timeout = 0;
    err = wait_for_work(loop, timeout);
    if (timeout != 0)
        mailbox_disarm(loop->mailbox);
    if (err != ERR_OK)
        return err;
    read_clock(loop);
    run_due(loop);
    loop->arrived = loop->ops->reap(loop->backend);
    return ERR_OK;
}

enum err loop_run(struct loop *loop) {
    loop_assert_thread(loop);
    read_clock(loop);
    while (!loop->stopping) {
        enum err err = turn_sockets(loop);

        if (err != ERR_OK)
            return err;
        mailbox_drain(loop->mailbox);
        timers_fire(loop);
        run_hooks(loop);
    }
    loop->stopping = false;
    return ERR_OK;
}

void loop_stop(struct loop *loop) {
    loop_assert_thread(loop);
    loop->stopping = true;
}

void loop_free(struct loop *loop) {
    if (!loop)
        return;
    loop_assert_thread(loop);
    assert(loop->open == 0);
    while (loop->closing > 0 && turn_sockets(loop) == ERR_OK)
        ;
    if (loop->backend)
        loop->ops->destroy(loop->backend);
    mailbox_free(loop->mailbox);
    timers_release(&loop->timers);
    free(loop);
}

int64_t loop_now_ms(const struct loop *loop) {
    return loop->now_ms;
}

int64_t loop_wall_ms(const struct loop *loop) {
    return loop->wall_ms;
}

const char *loop_backend_name(const struct loop *loop) {
    return loop->ops->name;
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook) {
    loop_assert_thread(loop);
    list_push_back(loop->in_hooks ? &loop->hooks_added : &loop->hooks, &hook->node);
}

void loop_hook_remove(struct loop_hook *hook) {
    list_remove(&hook->node);
}

struct mailbox *loop_mailbox(struct loop *loop) {
    return loop->mailbox;
}
