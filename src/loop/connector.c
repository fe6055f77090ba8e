/* connector.c - a stream on its way to be connected.
 *
 * The stream exists from the start, its socket non-blocking and watched for being writable: that
 * is how both back ends hear that connect(2) is over, and SO_ERROR says how. From then on it is
 * like one that was accepted.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/endpoint.h"
#include "loop/loop_private.h"

struct connector {
    struct stream *stream;
    connected_fn on_connected;
    void *ctx;
    int error; /* what connect(2) said at once */
};

/* -1 and errno. */
static int open_socket(int family) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd >= 0) /* other families have no such option */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* What is over already is said on a later turn too. An interrupted connect goes on. */
static void begin(struct connector *c, const struct sockaddr *address, socklen_t len) {
    struct endpoint *ep = &c->stream->ep;

    c->error = connect(ep->fd, address, len) == 0 ? 0 : errno;
    if (c->error == EINPROGRESS || c->error == EINTR)
        endpoint_want(ep, WANT_OUT);
    else
        endpoint_due(ep);
}

struct connector *connector_new(struct loop *loop, const struct sockaddr *address, socklen_t len,
                                connected_fn on_connected, void *ctx) {
    struct connector *c = calloc(1, sizeof(*c));
    int fd = c ? open_socket(address->sa_family) : -1;

    loop_assert_thread(loop);
    if (fd >= 0)
        c->stream = stream_new(loop, fd);
    if (!c || fd < 0 || !c->stream) {
        int err_no = c && fd < 0 ? errno : ENOMEM;

        if (fd >= 0)
            close(fd);
        free(c);
        errno = err_no;
        return NULL;
    }
    c->on_connected = on_connected;
    c->ctx = ctx;
    c->stream->connector = c;
    begin(c, address, len);
    return c;
}

void connector_cancel(struct connector *c) {
    if (!c)
        return;
    c->stream->connector = NULL;
    stream_close(c->stream);
    free(c);
}

/* Two ends with one name: a port of ours that nobody listens on was given to this very socket as
 * its own, and TCP let it connect to itself. To everybody else that is a refusal. */
static bool is_to_itself(int fd) {
    struct sockaddr_storage own = {0};
    struct sockaddr_storage peer = {0};
    socklen_t own_len = sizeof(own);
    socklen_t peer_len = sizeof(peer);

    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           (own.ss_family == AF_INET || own.ss_family == AF_INET6) &&
           memcmp(&own, &peer, own_len) == 0;
}

/* Sends and receives must wait in the kernel with io_uring; epoll's say MSG_DONTWAIT. */
static bool make_blocking(int fd) {
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

static int outcome(int fd) {
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return errno;
    if (error != 0)
        return error;
    if (is_to_itself(fd))
        return ECONNREFUSED;
    return make_blocking(fd) ? 0 : errno;
}

static void finish(struct connector *c, int error) {
    struct connector done = *c;

    free(c);
    done.stream->connector = NULL;
    if (error != 0) {
        stream_close(done.stream);
        done.on_connected(done.ctx, NULL, error);
        return;
    }
    endpoint_want(&done.stream->ep, 0);
    done.on_connected(done.ctx, done.stream, 0);
}

void connector_ready(struct connector *c) {
    finish(c, outcome(c->stream->ep.fd));
}

void connector_failed(struct connector *c, int error) {
    finish(c, error);
}

void connector_due(struct connector *c) {
    if (c->stream->failing) {
        finish(c, ENOBUFS); /* the back end can't watch it */
        return;
    }
    finish(c, c->error != 0 ? c->error : outcome(c->stream->ep.fd));
}
