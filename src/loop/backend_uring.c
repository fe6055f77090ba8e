/* backend_uring.c - io_uring: one system call for a whole turn.
 *
 *     apply()  queues multishot accepts and receives, sends, cancellations
 *     wait()   submits them all and sleeps, in the same call
 *     reap()   hands over what completed
 *
 * What is under way for an endpoint is in ep->armed, one operation of each
 * kind at most. An operation that ends for whatever reason (a multishot that
 * was terminated, no buffer, a short send) is queued again by apply() if it is
 * still wanted. Operations point to their endpoint, so an endpoint isn't
 * released before the last one has completed. A close makes them complete by
 * shutting the socket down, which unlike a cancellation can't miss; a listening
 * socket may be others' as well, so there it is a cancellation, until it hits.
 *
 * A multishot receive can miss the end of a stream for ever: it goes back to sleep
 * once the socket is empty, and takes the end for heard when that was there together
 * with the last bytes (Linux 6.0 and later; liburing's issue 1549 has one of the ways,
 * a reset before the receive is armed is another). So a poll of its own waits for
 * the end, once for each stream, and shakes a receive that hasn't heard of it.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "loop/backend.h"
#include "loop/endpoint.h"
#include "loop/loop_private.h"
#include "loop/uring_ring.h"

#define CQES_PER_TURN 512
/* The length of an operation has 32 bits; the kernel takes 2 GiB at most. */
#define SEND_BYTES_MAX (1u << 30)

/* Waiting for several completions saves system calls and wakeups, and costs
 * latency: only when the last turn was a busy one, and never for long. */
#define BUSY_ARRIVALS 16
#define SEVERAL_MAX   48
#define SEVERAL_NS    150000

/* What an operation was, in the low bits of its user_data; an endpoint is
 * aligned to more than that. */
enum operation {
    OP_WATCH,
    OP_ACCEPT,
    OP_RECV,
    OP_SEND,
    OP_CANCEL,
    OP_CONNECT,
    OP_END,
    OP_MASK = 7
};

struct backend {
    struct uring_ring r;
    int watch_fd;
    bool watching;
    bool sent;         /* something, in this turn */
    unsigned sends;    /* queued since the last wait(): most complete at once */
    unsigned arrivals; /* requests and connections that came in the last turn */
};

static enum err backend_create(struct backend **out_backend) {
    struct backend *b = calloc(1, sizeof(*b));
    enum err err;

    if (!b)
        return ERR_NO_MEMORY;
    b->watch_fd = -1;
    err = uring_setup(&b->r);
    if (err != ERR_OK) {
        free(b);
        return err;
    }
    *out_backend = b;
    return ERR_OK;
}

static void backend_destroy(struct backend *b) {
    uring_release(&b->r);
    free(b);
}

/* NULL: the queue is full and the kernel takes nothing before it is reaped. */
static struct io_uring_sqe *next_sqe(struct backend *b) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&b->r.ring);

    if (sqe)
        return sqe;
    io_uring_submit(&b->r.ring);
    return io_uring_get_sqe(&b->r.ring);
}

static uint64_t user_data(const struct endpoint *ep, enum operation op) {
    return (uint64_t)(uintptr_t)ep | op;
}

static enum operation in_operation(const struct endpoint *ep) {
    return ep->kind == ENDPOINT_LISTENER ? OP_ACCEPT : OP_RECV;
}

static bool backend_watch(struct backend *b, int fd) {
    b->watch_fd = fd; /* armed by the next wait() */
    return true;
}

/* Multishot without reading the eventfd: every write completes once. */
static void arm_watch(struct backend *b) {
    struct io_uring_sqe *sqe = b->watching ? NULL : next_sqe(b);

    if (!sqe)
        return;
    io_uring_prep_poll_multishot(sqe, b->watch_fd, POLLIN);
    sqe->user_data = user_data(NULL, OP_WATCH);
    b->watching = true;
}

static bool arm_accept(struct backend *b, struct endpoint *ep) {
    struct io_uring_sqe *sqe = next_sqe(b);

    if (!sqe)
        return false;
    io_uring_prep_multishot_accept(sqe, ep->fd, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = user_data(ep, OP_ACCEPT);
    ep->armed.in = true;
    return true;
}

static bool arm_recv(struct backend *b, struct endpoint *ep) {
    struct io_uring_sqe *sqe = next_sqe(b);

    if (!sqe)
        return false;
    io_uring_prep_recv_multishot(sqe, ep->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = URING_BUFFER_GROUP;
    sqe->ioprio |= URING_RECV_FLAGS;
    sqe->user_data = user_data(ep, OP_RECV);
    ep->armed.in = true;
    return true;
}

/* ERR and HUP are always among the events. */
static bool arm_end(struct backend *b, struct endpoint *ep) {
    struct io_uring_sqe *sqe = next_sqe(b);

    if (!sqe)
        return false;
    io_uring_prep_poll_add(sqe, ep->fd, POLLRDHUP);
    sqe->user_data = user_data(ep, OP_END);
    ep->armed.end = true;
    return true;
}

static bool arm_cancel(struct backend *b, struct endpoint *ep) {
    struct io_uring_sqe *sqe = next_sqe(b);

    if (!sqe)
        return false;
    io_uring_prep_cancel64(sqe, user_data(ep, in_operation(ep)), 0);
    sqe->user_data = user_data(ep, OP_CANCEL);
    ep->armed.cancel = true;
    return true;
}

static bool arm_send(struct backend *b, struct endpoint *ep) {
    struct slice rest = endpoint_stream(ep)->unsent;
    struct io_uring_sqe *sqe = next_sqe(b);

    if (!sqe)
        return false;
    /* WAITALL has the kernel go on after a short send; it still may end short. */
    io_uring_prep_send(sqe, ep->fd, rest.ptr, rest.len < SEND_BYTES_MAX ? rest.len : SEND_BYTES_MAX,
                       MSG_NOSIGNAL | MSG_WAITALL);
    sqe->user_data = user_data(ep, OP_SEND);
    ep->armed.out = true;
    b->sends++;
    return true;
}

/* The connect itself was begun by connector.c. */
static bool arm_connect(struct backend *b, struct endpoint *ep) {
    struct io_uring_sqe *sqe = next_sqe(b);

    if (!sqe)
        return false;
    io_uring_prep_poll_add(sqe, ep->fd, POLLOUT);
    sqe->user_data = user_data(ep, OP_CONNECT);
    ep->armed.out = true;
    return true;
}

static bool arm_out(struct backend *b, struct endpoint *ep) {
    return endpoint_stream(ep)->connector ? arm_connect(b, ep) : arm_send(b, ep);
}

static bool arm_in(struct backend *b, struct endpoint *ep) {
    if (ep->kind == ENDPOINT_LISTENER)
        return arm_accept(b, ep);
    if (!ep->armed.end && !ep->end_seen && !arm_end(b, ep))
        return false;
    return arm_recv(b, ep);
}

/* Wakes a receive that is still under way when all that this turn has completed is known. Behind
 * the end nothing comes that this could keep out; bytes and an error that came before it stay. */
static void shake_recv(struct endpoint *ep) {
    ep->end_new = false;
    if (ep->armed.in && !ep->armed.cancel)
        shutdown(ep->fd, SHUT_RD);
}

static bool backend_apply(struct backend *b, struct endpoint *ep) {
    bool want_in = ep->want & WANT_IN;
    bool room = true;

    if (ep->end_new)
        shake_recv(ep);
    if (ep->want & WANT_OUT && !ep->armed.out)
        room = arm_out(b, ep);
    if (room && want_in && !ep->armed.in)
        room = arm_in(b, ep);
    if (room && !want_in && ep->armed.in && !ep->armed.cancel)
        room = arm_cancel(b, ep);
    return room;
}

/* The first send of a turn: a lone answer then costs no completion and no turn
 * of its own. All others leave in one system call. */
static bool backend_send_now(struct backend *b) {
    bool first = !b->sent;

    b->sent = true;
    return first;
}

static bool idle(const struct endpoint *ep) {
    return !ep->armed.in && !ep->armed.out && !ep->armed.cancel && !ep->armed.end;
}

static bool backend_detach(struct backend *b, struct endpoint *ep) {
    (void)b;
    if (idle(ep))
        return true;
    if (ep->kind == ENDPOINT_STREAM)
        shutdown(ep->fd, SHUT_RDWR);
    return false;
}

/* 'timeout_ns' -1: none. */
static int submit_and_wait(struct backend *b, unsigned completions, int64_t timeout_ns) {
    struct __kernel_timespec ts = {.tv_sec = timeout_ns / 1000000000,
                                   .tv_nsec = timeout_ns % 1000000000};
    struct io_uring_cqe *cqe;

    if (timeout_ns < 0)
        return io_uring_submit_and_wait(&b->r.ring, completions);
    return io_uring_submit_and_wait_timeout(&b->r.ring, &cqe, completions, &ts, NULL);
}

/* The kernel shows in the submission queue's flags that it has completions to work off. */
static bool backend_look(struct backend *b) {
    struct io_uring *ring = &b->r.ring;

    arm_watch(b);
    if (io_uring_sq_ready(ring) > 0)
        io_uring_submit(ring); /* what it refuses, wait() submits again */
    return io_uring_cq_ready(ring) > 0 ||
           IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static enum err backend_wait(struct backend *b, int timeout_ms) {
    unsigned several = b->arrivals < SEVERAL_MAX ? b->arrivals : SEVERAL_MAX;
    int ret;

    arm_watch(b);
    if (timeout_ms == 0)
        ret = io_uring_submit_and_get_events(&b->r.ring);
    else if (b->arrivals >= BUSY_ARRIVALS)
        ret = submit_and_wait(b, several + b->sends, SEVERAL_NS);
    else
        ret = submit_and_wait(b, 1, timeout_ms < 0 ? -1 : timeout_ms * INT64_C(1000000));
    b->sends = 0;
    b->sent = false;
    switch (-ret) {
    case ETIME:
    case EINTR:
    case EAGAIN: /* no memory for requests, or */
    case EBUSY:  /* too many completions: both pass by reaping */
        return ERR_OK;
    default:
        return ret >= 0 ? ERR_OK : ERR_IO;
    }
}

static void reap_accept(struct endpoint *ep, int res) {
    if (res >= 0)
        listener_accepted(endpoint_listener(ep), res);
    else
        listener_failed(endpoint_listener(ep), -res);
}

static void reap_recv(struct backend *b, struct endpoint *ep, const struct io_uring_cqe *cqe) {
    struct stream *s = endpoint_stream(ep);
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    switch (-cqe->res) {
    case ENOBUFS: /* others have them all: queued again behind their recycling */
    case ECANCELED:
    case EAGAIN:
    case EINTR:
        break;
    case 0:
        stream_received(s, SLICE(""));
        break;
    default:
        if (cqe->res > 0)
            stream_received(s, slice_of(uring_buffer(&b->r, id), (size_t)cqe->res));
        else
            stream_broke(s);
    }
    if (cqe->flags & IORING_CQE_F_BUFFER)
        uring_recycle(&b->r, id);
}

/* A send under way at a close is answered when the stream is finished. */
static void reap_send(struct endpoint *ep, int res) {
    if (ep->closing)
        return;
    if (res >= 0)
        stream_progress(endpoint_stream(ep), (size_t)res);
    else if (res != -EAGAIN && res != -EINTR)
        stream_send_failed(endpoint_stream(ep));
}

static void reap_connect(struct endpoint *ep, int res) {
    if (ep->closing)
        return;
    if (res >= 0)
        connector_ready(endpoint_stream(ep)->connector);
    else if (res != -EAGAIN && res != -EINTR)
        connector_failed(endpoint_stream(ep)->connector, -res);
}

static void reap_one(struct backend *b, const struct io_uring_cqe *cqe) {
    struct endpoint *ep = (struct endpoint *)(uintptr_t)(cqe->user_data & ~(uint64_t)OP_MASK);
    enum operation op = cqe->user_data & OP_MASK;
    bool more = cqe->flags & IORING_CQE_F_MORE;

    switch (op) {
    case OP_WATCH: /* the loop looks into its mailbox on every turn */
        b->watching = more;
        return;
    case OP_ACCEPT:
        b->arrivals++;
        ep->armed.in = more;
        reap_accept(ep, cqe->res);
        break;
    case OP_RECV:
        b->arrivals++;
        ep->armed.in = more;
        ep->end_new = ep->end_seen;
        if (more && ep->closing)
            shutdown(ep->fd, SHUT_RDWR); /* it may have missed the first in the same way */
        reap_recv(b, ep, cqe);
        break;
    case OP_SEND:
        ep->armed.out = false;
        reap_send(ep, cqe->res);
        break;
    case OP_CONNECT:
        ep->armed.out = false;
        reap_connect(ep, cqe->res);
        break;
    case OP_CANCEL:
        ep->armed.cancel = false;
        break;
    case OP_END:
        ep->armed.end = false;
        ep->end_seen = cqe->res > 0;
        ep->end_new = ep->end_seen;
        break;
    default:
        assert(false);
    }
    if (ep->closing && idle(ep))
        endpoint_due(ep);
    else if (ep->closing || ep->end_new || (op != OP_CANCEL && (!more || !(ep->want & WANT_IN))))
        endpoint_touch(ep); /* ended but still wanted, or missed by a cancellation */
}

static unsigned backend_reap(struct backend *b) {
    struct io_uring_cqe *cqes[CQES_PER_TURN];
    unsigned count = io_uring_peek_batch_cqe(&b->r.ring, cqes, CQES_PER_TURN);

    b->arrivals = 0;
    for (unsigned i = 0; i < count; i++)
        reap_one(b, cqes[i]);
    io_uring_cq_advance(&b->r.ring, count);
    uring_publish(&b->r);
    return b->arrivals;
}

const struct backend_ops backend_uring = {
    .name = "io_uring",
    .nonblocking_listeners = false, /* or the kernel refuses to wait for a connection */
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
