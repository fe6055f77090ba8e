/* backend_epoll.c - level-triggered epoll: always there.
 *
 * Level-triggered, because then one recv() per stream and turn is enough: what
 * is left is reported again, and no stream can keep the others waiting. The
 * socket is in the set only while something is wanted of it: a paused stream
 * whose peer is gone would be reported (EPOLLHUP can't be masked) for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/backend.h"
#include "loop/endpoint.h"
#include "loop/loop_private.h"

#define EVENTS_PER_TURN  256
#define ACCEPTS_PER_TURN 64
#define RECV_BYTES       65536

struct backend {
    int fd;
    int ready; /* filled by wait(), used up by reap() */
    struct epoll_event events[EVENTS_PER_TURN];
    char *recv_bytes; /* one for all streams: an idle one costs no buffer */
};

static void backend_destroy(struct backend *b) {
    if (b->recv_bytes != MAP_FAILED)
        munmap(b->recv_bytes, RECV_BYTES);
    if (b->fd >= 0)
        close(b->fd);
    free(b);
}

static enum err backend_create(struct backend **out_backend) {
    struct backend *b = calloc(1, sizeof(*b));

    if (!b)
        return ERR_NO_MEMORY;
    b->fd = epoll_create1(EPOLL_CLOEXEC);
    b->recv_bytes = mmap(NULL, RECV_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (b->fd < 0 || b->recv_bytes == MAP_FAILED) {
        backend_destroy(b);
        return ERR_NO_MEMORY;
    }
    *out_backend = b;
    return ERR_OK;
}

/* The only event without an endpoint: mail. It needs no handling here, the
 * loop looks into its mailbox on every turn. */
static bool backend_watch(struct backend *b, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET}; /* nobody reads it */

    return epoll_ctl(b->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool backend_send_now(struct backend *b) {
    (void)b;
    return true;
}

static bool backend_apply(struct backend *b, struct endpoint *ep) {
    uint32_t mask = (ep->want & WANT_IN ? EPOLLIN : 0u) | (ep->want & WANT_OUT ? EPOLLOUT : 0u);
    struct epoll_event event = {.events = mask, .data.ptr = ep};
    int op = mask == 0 ? EPOLL_CTL_DEL : ep->armed.mask == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (mask == ep->armed.mask)
        return true;
    if (epoll_ctl(b->fd, op, ep->fd, &event) == 0)
        ep->armed.mask = mask;
    else if (ep->kind == ENDPOINT_LISTENER)
        listener_failed(endpoint_listener(ep), errno);
    else
        stream_fail_later(endpoint_stream(ep)); /* ENOSPC: max_user_watches */
    return true;
}

static bool backend_detach(struct backend *b, struct endpoint *ep) {
    /* A listening socket may be others' as well: then a close alone doesn't take it out. */
    if (ep->kind == ENDPOINT_LISTENER && ep->armed.mask)
        (void)epoll_ctl(b->fd, EPOLL_CTL_DEL, ep->fd, NULL);
    close(ep->fd); /* a stream leaves the set by this */
    ep->fd = -1;
    return true;
}

static bool backend_look(struct backend *b) {
    b->ready = epoll_wait(b->fd, b->events, EVENTS_PER_TURN, 0);
    if (b->ready < 0)
        b->ready = 0; /* wait() will see it, too */
    return b->ready > 0;
}

static enum err backend_wait(struct backend *b, int timeout_ms) {
    if (b->ready > 0) /* seen by look() */
        return ERR_OK;
    b->ready = epoll_wait(b->fd, b->events, EVENTS_PER_TURN, timeout_ms);
    if (b->ready >= 0)
        return ERR_OK;
    b->ready = 0;
    return errno == EINTR ? ERR_OK : ERR_IO;
}

static void reap_recv(struct backend *b, struct stream *s) {
    ssize_t n = recv(s->ep.fd, b->recv_bytes, RECV_BYTES, MSG_DONTWAIT);

    if (n >= 0)
        stream_received(s, slice_of(b->recv_bytes, (size_t)n));
    else if (errno != EAGAIN && errno != EINTR)
        stream_broke(s);
}

static void reap_accept(struct listener *l) {
    for (int i = 0; i < ACCEPTS_PER_TURN && l->ep.want & WANT_IN && !l->ep.closing; i++) {
        int fd = accept4(l->ep.fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0) {
            listener_accepted(l, fd);
        } else if (errno == EAGAIN) {
            return;
        } else {
            listener_failed(l, errno);
        }
    }
}

/* 'want' and 'closing' are looked at again before each step: an earlier
 * callback of this turn may have paused or closed the endpoint. Errors and
 * hang-ups are found out by the call that was wanted. */
static unsigned backend_reap(struct backend *b) {
    int ready = b->ready;

    for (int i = 0; i < b->ready; i++) {
        struct endpoint *ep = b->events[i].data.ptr;
        uint32_t events = b->events[i].events;

        if (!ep || ep->closing)
            continue;
        if (ep->kind == ENDPOINT_LISTENER) {
            reap_accept(endpoint_listener(ep));
            continue;
        }
        if (ep->want & WANT_OUT && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            stream_writable(endpoint_stream(ep));
        if (!ep->closing && ep->want & WANT_IN && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
            reap_recv(b, endpoint_stream(ep));
    }
    b->ready = 0;
    return (unsigned)ready;
}

const struct backend_ops backend_epoll = {
    .name = "epoll",
    .nonblocking_listeners = true,
    .create = backend_create,
    .destroy = backend_destroy,
    .watch = backend_watch,
    .send_now = backend_send_now,
    .apply = backend_apply,
    .detach = backend_detach,
    .look = backend_look,
    .wait = backend_wait,
    .reap = backend_reap,
};
