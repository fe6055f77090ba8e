/* tls_stream.c - TLS between a stream and its user.
 *
 *     HANDSHAKE ──► OPEN ──► FAILED ──► BROKEN
 *         └───────────┴────────┴──────────►┘ the stream broke, the time is up
 *
 * In FAILED our alert is on its way: FIN behind it and reading on until the peer's, so that the
 * alert isn't lost to a reset. BROKEN was told to the user. tls_stream_close() ends all of them.
 *
 * What a call of the user leads to is told on the next turn, by the timer 'due'; the rest from
 * inside the stream's own events.
 */
#include "edge/tls_stream.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/log_budget.h"
#include "edge/tls_internal.h"
#include "edge/tls_session.h"
#include "loop/loop.h"
#include "loop/timer.h"

#define OUT_GATHER    (64u << 10) /* of one send */
#define OUT_KEEP      4096u       /* bytes of buffer an idle connection may keep */
#define LAST_WORDS_MS 1000        /* for an alert to be read */

enum state { HANDSHAKE, OPEN, FAILED, BROKEN };

struct tls_stream {
    struct stream *stream;
    struct tls *tls;
    struct tls_session *session;
    const struct stream_events *events;
    void *ctx;
    enum state state;
    const char *problem;   /* ours; NULL: the session's, if any */
    struct slice plain;    /* of the user's send, what isn't encrypted yet */
    struct buf out;        /* encrypted */
    struct buf sending;    /* encrypted, and with the stream */
    struct buf held;       /* received, while the user has paused */
    struct timer deadline; /* of the handshake, then of last words */
    struct timer due;
    bool user_sends; /* and on_sent() is owed */
    bool busy;       /* 'sending' isn't the kernel's yet */
    bool paused;     /* by the user */
    bool ended;      /* the peer's close_notify came */
    bool peer_fin;   /* the peer's FIN came */
    bool fin;        /* the user wants no more sent */
    bool fin_made;   /* our close_notify is in 'out' or further */
    bool fin_sent;   /* the stream's FIN was asked for */
    bool alerted;    /* FAILED: there was something to say */
    bool closing;    /* by the user */
};

static struct loop *loop_of(const struct tls_stream *t) {
    return stream_loop(t->stream);
}

static void soon(struct tls_stream *t) {
    timer_start(loop_of(t), &t->due, 0);
}

/* ---- failing ------------------------------------------------------------------ */

static void count_handshake(struct tls_stream *t, bool good) {
    static _Thread_local struct log_budget budget;

    atomic_fetch_add_explicit(good ? &t->tls->stats.established : &t->tls->stats.failed, 1,
                              memory_order_relaxed);
    /* A client's user knows whom it called, and says so with the problem. */
    if (good || t->tls->side == TLS_CLIENT || !log_budget_take(&budget, loop_now_ms(loop_of(t))))
        return;
    log_line(LOG_INFO, "a TLS handshake failed", LOG_STR("detail", tls_stream_problem(t)),
             LOG_INT("suppressed", log_budget_suppressed(&budget)));
}

static void tell_broken(struct tls_stream *t) {
    if (t->state == BROKEN || t->closing)
        return;
    t->state = BROKEN;
    timer_stop(loop_of(t), &t->deadline);
    if (t->user_sends) {
        t->user_sends = false;
        t->events->on_sent(t->ctx, ERR_CLOSED);
    }
    if (!t->closing)
        t->events->on_broken(t->ctx);
}

/* 'problem' NULL: the session has one. */
static void fail(struct tls_stream *t, const char *problem) {
    bool in_handshake = t->state == HANDSHAKE;

    if (t->closing || t->state >= FAILED)
        return;
    t->state = FAILED;
    t->problem = problem;
    if (in_handshake)
        count_handshake(t, false);
    if (t->fin_sent || buf_failed(&t->out))
        buf_clear(&t->out);
    t->alerted = t->out.len > 0;
    timer_start(loop_of(t), &t->deadline, LAST_WORDS_MS);
    stream_resume(t->stream);
    soon(t);
}

/* ---- sending ------------------------------------------------------------------- */

static void encrypt(struct tls_stream *t) {
    while (t->state == OPEN && t->plain.len && t->out.len < OUT_GATHER) {
        size_t taken = 0;

        if (tls_session_write(t->session, t->plain, &taken) == TLS_DONE)
            t->plain = slice_skip(t->plain, taken);
        else
            fail(t, NULL);
    }
    if (t->state == OPEN && t->fin && !t->fin_made && t->plain.len == 0) {
        tls_session_end(t->session);
        t->fin_made = true;
    }
    if (buf_failed(&t->out))
        fail(t, "out of memory");
}

static void trim(struct buf *buf) {
    if (buf->cap > OUT_KEEP)
        buf_release(buf);
}

/* Sends what there is. Calls nothing of the user's. */
static void pump(struct tls_stream *t) {
    while (!t->busy && !t->fin_sent) {
        encrypt(t);
        if (t->out.len == 0)
            break;
        struct buf empty = t->sending;
        t->sending = t->out;
        t->out = empty;
        t->busy = !stream_send(t->stream, buf_slice(&t->sending));
        if (!t->busy)
            buf_clear(&t->sending);
    }
    if (t->fin_sent)
        buf_clear(&t->out); /* an answer to what came behind our end: nobody wants it */
    if (t->fin_made && !t->busy && !t->fin_sent) {
        t->fin_sent = true;
        stream_shutdown(t->stream);
    }
    if (!t->busy && t->out.len == 0) {
        trim(&t->out);
        trim(&t->sending);
    }
}

static bool all_sent(const struct tls_stream *t) {
    return t->state == OPEN && t->plain.len == 0 && !t->busy;
}

static void pump_and_tell(struct tls_stream *t) {
    pump(t);
    if (t->user_sends && all_sent(t)) {
        t->user_sends = false;
        t->events->on_sent(t->ctx, ERR_OK);
    }
}

bool tls_stream_send(struct tls_stream *t, struct slice bytes) {
    assert(t->events && !t->user_sends && !t->fin && !t->closing);
    t->plain = bytes;
    if (t->state == OPEN)
        pump(t);
    if (all_sent(t))
        return true;
    t->user_sends = true;
    if (t->state >= FAILED)
        soon(t);
    return false;
}

void tls_stream_shutdown(struct tls_stream *t) {
    assert(!t->closing);
    if (t->fin)
        return;
    t->fin = true;
    if (t->state == HANDSHAKE)
        fail(t, "given up in the handshake");
    else
        pump(t);
}

/* In FAILED: the alert, FIN, and the peer's FIN before the end. */
static void say_last_words(struct tls_stream *t) {
    pump(t);
    if (t->busy)
        return;
    if (t->alerted && !t->fin_sent) {
        t->fin_sent = true;
        stream_shutdown(t->stream);
    }
    if (!t->alerted || t->peer_fin)
        tell_broken(t);
}

/* ---- receiving ------------------------------------------------------------------ */

static bool wants_input(const struct tls_stream *t) {
    return !t->closing && (t->state == HANDSHAKE || (t->state == OPEN && !t->paused && !t->ended));
}

static void on_established(struct tls_stream *t) {
    t->state = OPEN;
    timer_stop(loop_of(t), &t->deadline);
    count_handshake(t, true);
    if (t->paused)
        stream_pause(t->stream);
}

static void on_end(struct tls_stream *t) {
    t->ended = true;
    stream_pause(t->stream); /* nothing behind it counts (RFC 8446 6.1) */
    t->events->on_read(t->ctx, (struct slice){NULL, 0});
}

static void decrypt(struct tls_stream *t) {
    /* For all streams of the loop: bytes come only from the loop, never inside a user's call. */
    static _Thread_local char plain[TLS_RECORD_BYTES];

    while (wants_input(t)) {
        bool in_handshake = t->state == HANDSHAKE;
        size_t len = 0;
        enum tls_step step = in_handshake
                                 ? tls_session_handshake(t->session)
                                 : tls_session_read(t->session, plain, sizeof(plain), &len);

        if (step == TLS_WAITS)
            return;
        if (step == TLS_FAILED)
            fail(t, NULL);
        else if (in_handshake && step == TLS_ENDED)
            fail(t, "the peer gave up in the handshake");
        else if (in_handshake)
            on_established(t);
        else if (step == TLS_ENDED)
            on_end(t);
        else
            t->events->on_read(t->ctx, slice_of(plain, len));
    }
}

static void hold(struct tls_stream *t, struct slice bytes) {
    buf_add_slice(&t->held, bytes);
    if (buf_failed(&t->held))
        fail(t, "out of memory");
}

static void feed(struct tls_stream *t, struct slice bytes) {
    tls_session_input(t->session, bytes);
    decrypt(t);
    struct slice rest = tls_session_rest(t->session);
    if (t->closing)
        return;
    if (t->state == OPEN && !t->ended && rest.len)
        hold(t, rest);
    /* While it is busy 'out' has only answers to the peer's own protocol messages. */
    if (t->busy && t->out.len > OUT_GATHER)
        fail(t, "the peer demands more answers than it reads");
    else
        pump_and_tell(t);
}

/* An end of TCP that isn't one of TLS. */
static void on_fin(struct tls_stream *t) {
    if (t->state == HANDSHAKE)
        fail(t, "the peer hung up in the handshake");
    else
        fail(t, "the connection ended without close_notify: the end may be missing");
}

static void on_read(void *ctx, struct slice bytes) {
    struct tls_stream *t = ctx;

    if (t->closing || t->state == BROKEN || t->ended)
        return;
    t->peer_fin |= bytes.len == 0;
    if (t->state == FAILED && t->peer_fin)
        say_last_words(t);
    else if (t->state == FAILED)
        return;
    else if (bytes.len == 0 && t->held.len == 0)
        on_fin(t);
    else if (t->held.len || (t->paused && t->state == OPEN))
        hold(t, bytes);
    else
        feed(t, bytes);
}

void tls_stream_pause(struct tls_stream *t) {
    t->paused = true;
    if (t->state == OPEN)
        stream_pause(t->stream);
}

void tls_stream_resume(struct tls_stream *t) {
    t->paused = false;
    if (t->state != OPEN || t->ended)
        return;
    if (t->held.len)
        soon(t);
    else
        stream_resume(t->stream);
}

static void feed_held(struct tls_stream *t) {
    struct buf before = t->held;

    t->held = (struct buf){0};
    feed(t, buf_slice(&before));
    buf_release(&before);
    if (t->closing || t->state != OPEN || t->ended || t->held.len)
        return;
    if (t->peer_fin)
        on_fin(t);
    else if (!t->paused)
        stream_resume(t->stream);
}

/* ---- the stream's other events, and time ------------------------------------------ */

static void close_stream(struct tls_stream *t) {
    timer_stop(loop_of(t), &t->deadline);
    timer_stop(loop_of(t), &t->due);
    stream_close(t->stream);
}

static void on_sent(void *ctx, enum err err) {
    struct tls_stream *t = ctx;

    t->busy = err != ERR_OK; /* nothing more leaves */
    buf_clear(&t->sending);
    if (t->closing) {
        if (timer_armed(&t->deadline))
            close_stream(t);
    } else if (err != ERR_OK || t->state == BROKEN) {
        return; /* what came before follows, then the stream's on_broken() */
    } else if (t->state == FAILED) {
        say_last_words(t);
    } else {
        pump_and_tell(t);
    }
}

static void on_broken(void *ctx) {
    struct tls_stream *t = ctx;

    if (t->closing) {
        if (timer_armed(&t->deadline))
            close_stream(t);
        return;
    }
    if (t->state == HANDSHAKE) {
        t->problem = "the connection broke in the handshake";
        count_handshake(t, false);
    }
    tell_broken(t);
}

static void on_closed(void *ctx) {
    struct tls_stream *t = ctx;

    if (t->user_sends)
        t->events->on_sent(t->ctx, ERR_CLOSED);
    t->events->on_closed(t->ctx);
    tls_session_free(t->session);
    buf_release(&t->out);
    buf_release(&t->sending);
    buf_release(&t->held);
    free(t);
}

static void on_deadline(struct timer *timer) {
    struct tls_stream *t = CONTAINER_OF(timer, struct tls_stream, deadline);

    if (t->closing) {
        close_stream(t);
        return;
    }
    if (t->state == HANDSHAKE)
        fail(t, "the handshake took too long");
    tell_broken(t);
}

static void on_due(struct timer *timer) {
    struct tls_stream *t = CONTAINER_OF(timer, struct tls_stream, due);

    if (t->state == FAILED) {
        say_last_words(t);
    } else if (t->state == BROKEN && t->user_sends) {
        t->user_sends = false;
        t->events->on_sent(t->ctx, ERR_CLOSED);
    } else if (t->state == OPEN && t->held.len && !t->paused) {
        feed_held(t);
    }
}

/* ---- beginning and end --------------------------------------------------------------- */

static const struct stream_events stream_events = {
    .on_read = on_read,
    .on_sent = on_sent,
    .on_broken = on_broken,
    .on_closed = on_closed,
};

struct tls_stream *tls_stream_new(struct stream *stream, struct tls *tls,
                                  struct slice server_name) {
    struct tls_stream *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->session = tls_session_new(tls, server_name, &t->out);
    if (!t->session) {
        free(t);
        return NULL;
    }
    t->stream = stream;
    t->tls = tls;
    t->deadline.fire = on_deadline;
    t->due.fire = on_due;
    return t;
}

void tls_stream_start(struct tls_stream *t, const struct stream_events *events, void *ctx) {
    t->events = events;
    t->ctx = ctx;
    stream_start(t->stream, &stream_events, t);
    timer_start(loop_of(t), &t->deadline, t->tls->handshake_ms);
    if (t->tls->side == TLS_SERVER)
        return;
    decrypt(t); /* there is nothing yet: this makes the ClientHello */
    pump(t);
}

/* The peer has said its end and is owed ours (RFC 8446 6.1). A close without that, or with answers
 * still to be sent, says nothing: what the peer has is cut, and it should notice. */
static bool owes_goodbye(const struct tls_stream *t) {
    return t->ended && !t->fin && !t->user_sends && !t->busy && t->state == OPEN;
}

void tls_stream_close(struct tls_stream *t) {
    assert(!t->closing);
    if (!t->events) {
        stream_close(t->stream);
        tls_session_free(t->session);
        free(t);
        return;
    }
    bool goodbye = owes_goodbye(t);
    if (goodbye) {
        t->fin = true;
        pump(t);
    }
    t->closing = true;
    timer_stop(loop_of(t), &t->due);
    if (goodbye && t->busy)
        timer_start(loop_of(t), &t->deadline, LAST_WORDS_MS); /* on_sent() closes the stream */
    else
        close_stream(t);
}

struct slice tls_stream_alpn(const struct tls_stream *t) {
    return tls_session_alpn(t->session);
}

const char *tls_stream_problem(const struct tls_stream *t) {
    const char *problem = t->problem ? t->problem : tls_session_problem(t->session);

    return *problem ? problem : NULL;
}
