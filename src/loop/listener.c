/* listener.c - accepting, and waiting when descriptors have run out. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/endpoint.h"
#include "loop/loop_private.h"

/* Other processes may free descriptors too, and nobody tells us. */
#define RETRY_MS 100

static void resume(struct listener *l) {
    list_remove(&l->starved);
    timer_stop(l->ep.loop, &l->retry);
    endpoint_want(&l->ep, WANT_IN);
}

static void on_retry(struct timer *timer) {
    resume(CONTAINER_OF(timer, struct listener, retry));
}

static bool prepare(int fd, bool nonblocking) {
    int one = 1;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return false;
    flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    /* Accepted sockets inherit TCP_NODELAY from the listening one, which saves
     * a system call for each; other families have no such option. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fcntl(fd, F_SETFL, flags) == 0;
}

enum err listener_new(struct loop *loop, int fd, accept_fn on_accept, void *ctx,
                      struct listener **out_listener) {
    struct listener *l = calloc(1, sizeof(*l));

    loop_assert_thread(loop);
    if (!l || !prepare(fd, loop->ops->nonblocking_listeners)) {
        enum err err = l ? ERR_IO : ERR_NO_MEMORY;

        close(fd);
        free(l);
        return err;
    }
    endpoint_init(&l->ep, loop, ENDPOINT_LISTENER, fd);
    l->on_accept = on_accept;
    l->ctx = ctx;
    l->retry.fire = on_retry;
    list_init(&l->starved);
    endpoint_want(&l->ep, WANT_IN);
    *out_listener = l;
    return ERR_OK;
}

void listener_close(struct listener *l) {
    if (!l)
        return;
    loop_assert_thread(l->ep.loop);
    list_remove(&l->starved);
    timer_stop(l->ep.loop, &l->retry);
    endpoint_close(&l->ep);
}

void listener_stop(struct listener *l, void (*on_stopped)(void *ctx)) {
    l->on_stopped = on_stopped;
    listener_close(l);
}

void listener_due(struct listener *l) {
    assert(l->ep.closing);
    endpoint_release(&l->ep);
    if (l->on_stopped)
        l->on_stopped(l->ctx);
    free(l);
}

void listener_accepted(struct listener *l, int fd) {
    bool wanted = !l->ep.closing || l->on_stopped;
    struct stream *stream = wanted ? stream_new(l->ep.loop, fd) : NULL;

    if (!stream) {
        close(fd); /* no memory: the client sees a reset and may come back */
        return;
    }
    l->on_accept(l->ctx, stream);
}

/* accept(2): errors of the one connection that was about to be accepted. */
static bool passes(int err_no) {
    switch (err_no) {
    case EAGAIN:
    case EINTR:
    case ECANCELED:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

void listener_failed(struct listener *l, int err_no) {
    if (l->ep.closing || passes(err_no) || !list_empty(&l->starved))
        return;
    list_push_back(&l->ep.loop->starved, &l->starved);
    endpoint_want(&l->ep, 0);
    timer_start(l->ep.loop, &l->retry, RETRY_MS);
}

void listeners_resume(struct loop *loop) {
    while (!list_empty(&loop->starved))
        resume(CONTAINER_OF(loop->starved.next, struct listener, starved));
}
