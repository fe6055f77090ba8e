/* endpoint.h - the inside of streams and listeners, for the back ends.
 *
 * Private to src/loop. An endpoint is a socket together with what the loop
 * wants of it and what the back end has armed for it in the kernel.
 *
 * Threads    The loop's thread.
 * Ownership  An endpoint lives until the turn after the back end has let go
 *            of it, so a back end may touch it after any callback.
 */
#ifndef LOOP_ENDPOINT_H
#define LOOP_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/slice.h"
#include "loop/stream.h"
#include "loop/timer.h"

enum endpoint_kind { ENDPOINT_STREAM, ENDPOINT_LISTENER };

/* IN: receive, or accept. OUT: there are unsent bytes, or a connect to wait for. */
enum { WANT_IN = 1, WANT_OUT = 2 };

struct endpoint {
    struct loop *loop;
    struct list dirty; /* on loop->dirty while the kernel lags behind 'want' */
    struct list due;   /* on loop->due while it has something to do next turn */
    enum endpoint_kind kind;
    int fd;
    bool closing;
    uint8_t want;
    struct {           /* the back end's */
        uint32_t mask; /* epoll: the events asked for; 0: not in the set */
        bool in;       /* io_uring: the receive or accept is under way, */
        bool out;      /* the send, or the poll for a connect, */
        bool cancel;   /* the cancellation of the receive, */
        bool end;      /* the poll for the end of the stream */
    } armed;
    bool end_seen; /* io_uring: that poll has completed, */
    bool end_new;  /* and a receive under way may not know */
};

struct stream {
    struct endpoint ep;
    const struct stream_events *events;
    void *ctx;
    struct connector *connector; /* NULL once it is connected */
    struct slice unsent;         /* of the send under way */
    bool sending;
    bool paused;
    bool ended;   /* the peer's FIN was handed over */
    bool broken;  /* on_broken() was called, or is due */
    bool fin;     /* stream_shutdown() was called */
    bool mute;    /* a send has failed; what came before may still be read */
    bool failing; /* found broken inside a call of the user: say it next turn */
};

struct listener {
    struct endpoint ep;
    accept_fn on_accept;
    void (*on_stopped)(void *ctx); /* NULL: nobody waits for the end */
    void *ctx;
    struct list starved; /* on loop->starved while descriptors are out */
    struct timer retry;
};

static inline struct stream *endpoint_stream(struct endpoint *ep) {
    return CONTAINER_OF(ep, struct stream, ep);
}

static inline struct listener *endpoint_listener(struct endpoint *ep) {
    return CONTAINER_OF(ep, struct listener, ep);
}

/* endpoint.c */
void endpoint_init(struct endpoint *ep, struct loop *loop, enum endpoint_kind kind, int fd);
void endpoint_want(struct endpoint *ep, uint8_t want);
/* Have apply() look at it again although 'want' hasn't changed. */
void endpoint_touch(struct endpoint *ep);
/* stream_due() or listener_due() on the next turn. */
void endpoint_due(struct endpoint *ep);
void endpoint_close(struct endpoint *ep);
/* Takes it off all lists, closes the socket; the caller frees. */
void endpoint_release(struct endpoint *ep);

/* stream.c. The back ends report what happened, and stop touching the stream's
 * bytes when it has been closed meanwhile. */
struct stream *stream_new(struct loop *loop, int fd);
void stream_due(struct stream *stream);
void stream_received(struct stream *stream, struct slice bytes); /* empty: FIN */
void stream_broke(struct stream *stream);
/* As stream_broke() or stream_send_failed(), but on the next turn: for what is
 * found out inside a call of the user. */
void stream_fail_later(struct stream *stream);
/* Sends what the socket takes now and says so if that was all, or failed. */
void stream_writable(struct stream *stream);
/* 'n' more bytes of the send are the kernel's. */
void stream_progress(struct stream *stream, size_t n);
void stream_send_failed(struct stream *stream);

/* connector.c: each ends the connector. */
void connector_ready(struct connector *connector); /* the socket knows how it went */
void connector_failed(struct connector *connector, int error);
void connector_due(struct connector *connector);

/* listener.c */
void listener_due(struct listener *listener);
void listener_accepted(struct listener *listener, int fd);
void listener_failed(struct listener *listener, int err_no);
/* A descriptor was closed: who waits for one may try again. */
void listeners_resume(struct loop *loop);

#endif
