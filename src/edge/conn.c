/* conn.c - what every connection does, whatever it speaks. */
#include "edge/conn.h"

#include <stdlib.h>

#include "edge/conn_set.h"
#include "edge/flood_penalty.h"

#define LINGER_MS 1000
/* Beyond what "a few" take anyway; by it a client that takes a byte now and then is found out. */
#define SLOWEST_BYTES_PER_S (256 << 10)
#define OUT_KEEP            1024u /* bytes of each buffer that an idle connection may keep */

int64_t conn_now_ms(const struct conn *conn) {
    return loop_now_ms(conn->set->loop);
}

int64_t conn_patience_ms(int64_t write_ms, size_t bytes) {
    return write_ms + (int64_t)bytes * 1000 / SLOWEST_BYTES_PER_S;
}

int64_t conn_send_due_ms(const struct conn *conn, int64_t write_ms) {
    return conn->send_ms + conn_patience_ms(write_ms, conn->sending.len);
}

void conn_note_peer(struct conn *conn) {
    if (!conn->peer_known)
        conn->peer_known = stream_peer(conn->transport.stream, &conn->peer);
}

bool conn_peer(struct conn *conn, struct in6_addr *out) {
    conn_note_peer(conn);
    *out = conn->peer;
    return conn->peer_known;
}

void conn_blame(struct conn *conn, const char *why) {
    struct in6_addr peer;

    if (conn->set->conf.penalty && conn_peer(conn, &peer))
        flood_penalty_offend(conn->set->conf.penalty, &peer, conn_now_ms(conn), why);
}

void conn_touch(struct conn *conn) {
    if (conn->state != CONN_CLOSING && list_empty(&conn->dirty))
        list_push_back(&conn->set->dirty, &conn->dirty);
}

void conn_wake_earlier(struct conn *conn, int64_t at_ms) {
    int64_t now_ms = conn_now_ms(conn);

    if (at_ms != INT64_MAX && conn->state != CONN_CLOSING)
        timer_start(conn->set->loop, &conn->timer, at_ms > now_ms ? at_ms - now_ms : 0);
}

void conn_pause(struct conn *conn, bool paused) {
    if (conn->paused == paused)
        return;
    conn->paused = paused;
    if (paused)
        transport_pause(&conn->transport);
    else
        transport_resume(&conn->transport);
}

void conn_trim(struct conn *conn) {
    if (conn->out.cap > OUT_KEEP)
        buf_release(&conn->out);
    if (conn->sending.cap > OUT_KEEP)
        buf_release(&conn->sending);
}

/* ---- work ---------------------------------------------------------------- */

void conn_work_begins(struct conn *conn) {
    if (conn->in_work++ == 0 && conn->set->conf.busy)
        conn_stat_add(conn->set->conf.busy, 1);
}

void conn_work_ends(struct conn *conn) {
    if (--conn->in_work == 0 && conn->set->conf.busy)
        conn_stat_add(conn->set->conf.busy, (uint64_t)-1);
}

static void drop(struct conn *conn) {
    conn->protocol->drop(conn);
    if (conn->in_work && conn->set->conf.busy)
        conn_stat_add(conn->set->conf.busy, (uint64_t)-1);
    conn->in_work = 0;
}

/* ---- closing ------------------------------------------------------------- */

void conn_abort(struct conn *conn) {
    if (conn->state == CONN_CLOSING)
        return;
    conn->state = CONN_CLOSING;
    timer_stop(conn->set->loop, &conn->timer);
    list_remove(&conn->dirty);
    drop(conn);
    transport_close(&conn->transport);
}

void conn_linger(struct conn *conn) {
    if (conn->peer_closed) {
        conn_abort(conn);
        return;
    }
    conn->state = CONN_LINGERING;
    drop(conn);
    conn_pause(conn, false);
    transport_shutdown(&conn->transport);
    conn->linger_ms = conn_now_ms(conn) + LINGER_MS;
    conn_wake(conn, conn->linger_ms);
}

static void on_closed(void *ctx) {
    struct conn *conn = ctx;

    conn->protocol->release(conn);
    conn_set_gone(conn->set, conn);
    buf_release(&conn->out);
    buf_release(&conn->sending);
    free(conn);
}

static void on_broken(void *ctx) {
    conn_abort(ctx);
}

/* ---- reading and writing ------------------------------------------------- */

static void on_read(void *ctx, struct slice bytes) {
    struct conn *conn = ctx;

    if (bytes.len) {
        if (conn->state == CONN_OPEN) /* later ones are behind the last request: not ours to read */
            conn->protocol->read(conn, bytes);
        return;
    }
    conn->peer_closed = true;
    if (conn->state == CONN_LINGERING)
        conn_abort(conn);
    else
        conn->protocol->peer_closed(conn);
}

static void send_out(struct conn *conn) {
    struct buf empty = conn->sending;

    conn->sending = conn->out;
    conn->out = empty;
    conn->send_busy = true;
    if (transport_send(&conn->transport, buf_slice(&conn->sending))) {
        conn->send_busy = false;
        buf_clear(&conn->sending);
    } else {
        conn->send_ms = conn_now_ms(conn);
    }
}

void conn_flush(struct conn *conn) {
    bool more = true;

    if (conn->state >= CONN_LINGERING)
        return;
    while (more) {
        more = conn->protocol->gather(conn);
        if (conn->state >= CONN_LINGERING)
            return;
        if (buf_failed(&conn->out)) {
            conn_abort(conn);
            return;
        }
        if (conn->send_busy || conn->out.len == 0)
            break;
        send_out(conn);
    }
    conn->protocol->settle(conn);
}

static void on_sent(void *ctx, enum err err) {
    struct conn *conn = ctx;

    conn->send_busy = false;
    buf_clear(&conn->sending);
    if (conn->state == CONN_CLOSING)
        return;
    if (err != ERR_OK)
        conn_abort(conn);
    else
        conn_flush(conn);
}

/* ---- beginning, and running out of time ---------------------------------- */

static void on_timer(struct timer *timer) {
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    int64_t now_ms = conn_now_ms(conn);

    if (conn->state == CONN_LINGERING && now_ms >= conn->linger_ms)
        conn_abort(conn);
    else if (conn->state == CONN_LINGERING)
        conn_wake(conn, conn->linger_ms);
    else
        conn_wake(conn, conn->protocol->due(conn, now_ms));
}

static const struct stream_events events = {
    .on_read = on_read,
    .on_sent = on_sent,
    .on_broken = on_broken,
    .on_closed = on_closed,
};

struct conn *conn_new(struct conn_set *set, struct stream *stream) {
    struct conn *conn = calloc(1, sizeof(*conn));

    if (!conn || !transport_accept_tls(&conn->transport, stream, set->conf.tls)) {
        free(conn);
        return NULL;
    }
    conn->set = set;
    conn->out.spare = conn->sending.spare = &set->spare;
    conn->timer.fire = on_timer;
    list_init(&conn->node);
    list_init(&conn->dirty);
    return conn;
}

void conn_speak(struct conn *conn, const struct conn_protocol *protocol, void *self) {
    bool first = conn->protocol == NULL;

    conn->protocol = protocol;
    conn->self = self;
    if (first)
        transport_start(&conn->transport, &events, conn);
}
