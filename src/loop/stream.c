/* stream.c - a connected socket: what the user asked for, what it is told.
 *
 * The rules of stream.h live here once, for both back ends:
 *     - a broken stream says on_sent(ERR_CLOSED) for a send under way, hands over
 *       what came before it broke, then says on_broken(), once;
 *     - nothing but on_sent() and on_closed() is called after stream_close();
 *     - what is found inside a call of the user is said on the next turn.
 */
#include "loop/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "loop/endpoint.h"
#include "loop/loop_private.h"

static bool reads(const struct stream *s) {
    return s->events && !s->paused && !s->ended && !s->broken;
}

/* After each change of state: what the back end should be doing. */
static void update(struct stream *s) {
    bool in = reads(s);
    bool out = s->sending && !s->failing;

    endpoint_want(&s->ep, (uint8_t)((in ? WANT_IN : 0) | (out ? WANT_OUT : 0)));
}

struct stream *stream_new(struct loop *loop, int fd) {
    struct stream *s = calloc(1, sizeof(*s));

    if (s)
        endpoint_init(&s->ep, loop, ENDPOINT_STREAM, fd);
    return s;
}

void stream_start(struct stream *s, const struct stream_events *events, void *ctx) {
    loop_assert_thread(s->ep.loop);
    assert(!s->events && !s->ep.closing);
    s->events = events;
    s->ctx = ctx;
    update(s);
}

/* Callbacks wait until the user's own call has returned. */
void stream_fail_later(struct stream *s) {
    s->failing = true;
    endpoint_due(&s->ep);
}

enum sent { SENT_ALL, SENT_SOME, SENT_FAILED };

/* Takes off 'unsent' what the socket takes without blocking. */
static enum sent send_some(struct stream *s) {
    while (s->unsent.len > 0) {
        ssize_t n = send(s->ep.fd, s->unsent.ptr, s->unsent.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0)
            s->unsent = slice_skip(s->unsent, (size_t)n);
        else if (errno != EINTR)
            return errno == EAGAIN ? SENT_SOME : SENT_FAILED;
    }
    return SENT_ALL;
}

bool stream_send(struct stream *s, struct slice bytes) {
    struct loop *loop = s->ep.loop;
    enum sent sent = SENT_SOME;

    loop_assert_thread(loop);
    assert(s->events && !s->sending && !s->fin && !s->ep.closing);
    s->unsent = bytes;
    if (bytes.len == 0 || loop->ops->send_now(loop->backend))
        sent = send_some(s);
    if (sent == SENT_ALL)
        return true;
    s->sending = true;
    if (sent == SENT_FAILED)
        stream_fail_later(s);
    else
        update(s);
    return false;
}

void stream_pause(struct stream *s) {
    loop_assert_thread(s->ep.loop);
    s->paused = true;
    update(s);
    if (s->mute)
        stream_fail_later(s); /* nobody would find the end */
}

void stream_resume(struct stream *s) {
    loop_assert_thread(s->ep.loop);
    s->paused = false;
    update(s);
}

/* Fails only on a connection that is gone, which is found out elsewhere. */
static void send_fin(struct stream *s) {
    shutdown(s->ep.fd, SHUT_WR);
}

void stream_shutdown(struct stream *s) {
    loop_assert_thread(s->ep.loop);
    assert(!s->ep.closing);
    if (s->fin)
        return;
    s->fin = true;
    if (!s->sending)
        send_fin(s);
}

void stream_close(struct stream *s) {
    loop_assert_thread(s->ep.loop);
    assert(!s->ep.closing);
    endpoint_close(&s->ep);
}

void stream_limit_unsent(struct stream *stream, int bytes) {
    /* The kernel takes what is out of its range as the nearest, and nothing else can go wrong. */
    (void)setsockopt(stream->ep.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

struct loop *stream_loop(const struct stream *s) {
    return s->ep.loop;
}

static void finish(struct stream *s) {
    endpoint_release(&s->ep);
    if (s->sending)
        s->events->on_sent(s->ctx, ERR_CLOSED);
    if (s->events)
        s->events->on_closed(s->ctx);
    free(s);
}

void stream_due(struct stream *s) {
    if (s->ep.closing) {
        finish(s);
    } else if (s->connector) {
        connector_due(s->connector);
    } else if (s->failing) {
        s->failing = false;
        if (s->sending)
            stream_send_failed(s);
        else
            stream_broke(s);
    }
}

void stream_received(struct stream *s, struct slice bytes) {
    if (s->ep.closing || s->ended || s->broken)
        return;
    if (bytes.len == 0 && s->mute) {
        stream_broke(s);
        return;
    }
    if (bytes.len == 0) {
        s->ended = true;
        update(s);
    }
    s->events->on_read(s->ctx, bytes);
}

void stream_broke(struct stream *s) {
    if (s->ep.closing || s->broken)
        return;
    s->broken = true;
    update(s);
    if (s->events)
        s->events->on_broken(s->ctx);
}

static void sent_all(struct stream *s) {
    s->sending = false;
    update(s);
    if (s->fin)
        send_fin(s);
    s->events->on_sent(s->ctx, ERR_OK);
}

void stream_writable(struct stream *s) {
    enum sent sent;

    if (s->connector) {
        connector_ready(s->connector);
        return;
    }
    sent = send_some(s);
    if (sent == SENT_ALL)
        sent_all(s);
    else if (sent == SENT_FAILED)
        stream_send_failed(s);
}

void stream_progress(struct stream *s, size_t n) {
    s->unsent = slice_skip(s->unsent, n);
    if (s->unsent.len == 0)
        sent_all(s);
}

/* The peer may have answered before it closed: the answers are in the socket still. */
void stream_send_failed(struct stream *s) {
    s->sending = false;
    s->mute = true;
    update(s);
    s->events->on_sent(s->ctx, ERR_CLOSED);
    if (s->ep.closing)
        return;
    shutdown(s->ep.fd, SHUT_RDWR); /* whatever the send died of, reading comes to an end now */
    if (!reads(s))
        stream_broke(s);
}

bool stream_peer(const struct stream *s, struct in6_addr *out) {
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    if (getpeername(s->ep.fd, (struct sockaddr *)&sa, &len) != 0)
        return false;
    if (sa.ss_family == AF_INET6)
        address = ((const struct sockaddr_in6 *)&sa)->sin6_addr;
    else if (sa.ss_family == AF_INET)
        memcpy(&address.s6_addr[12], &((const struct sockaddr_in *)&sa)->sin_addr, 4);
    else
        return false;
    *out = address;
    return true;
}
