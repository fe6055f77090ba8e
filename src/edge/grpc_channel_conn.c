/* grpc_channel_conn.c - a connection to the server: reading, deadlines, keepalive, writing.
 *
 * It lives until it is lost (closed, broken, abused, silent), or until its last call has ended
 * after a GOAWAY. A server that doesn't read is found out by its silence: we go on reading
 * whatever it does, as two ends that each wait for the other to read would wait for ever.
 */
#include <stdlib.h>

#include "edge/grpc_channel_internal.h"

#define OUT_KEEP   (64u << 10)  /* bytes of each buffer that a connection keeps when it is idle */
#define OUT_GATHER (256u << 10) /* of one send */

static int64_t now(const struct grpc_channel_conn *conn) {
    return loop_now_ms(conn->channel->loop);
}

void grpc_conn_out_touch(struct grpc_channel_conn *conn) {
    if (conn->closing)
        return;
    if (list_empty(&conn->dirty))
        list_push_back(&conn->channel->dirty, &conn->dirty);
    grpc_channel_later(conn->channel);
}

/* The timer is only ever moved to an earlier time; when it fires it looks around and is armed again
 * for what is due next, so that a busy connection doesn't touch the heap. */
void grpc_conn_out_wake(struct grpc_channel_conn *conn, int64_t at_ms) {
    if (at_ms == INT64_MAX || conn->closing)
        return;
    if (!timer_armed(&conn->timer) || conn->timer.at_ms > at_ms)
        timer_start(conn->channel->loop, &conn->timer, at_ms - now(conn));
}

void grpc_conn_out_check(struct grpc_channel_conn *conn, int result) {
    if (!nghttp2_is_fatal(result))
        return;
    conn->failed = true;
    grpc_conn_out_touch(conn);
}

/* ---- closing ------------------------------------------------------------- */

void grpc_conn_out_lose(struct grpc_channel_conn *conn, enum grpc_status status, const char *why) {
    struct list *node;

    if (conn->closing)
        return;
    conn->closing = true;
    timer_stop(conn->channel->loop, &conn->timer);
    list_remove(&conn->dirty);
    while ((node = list_pop_front(&conn->exchanges))) {
        struct grpc_exchange *ex = CONTAINER_OF(node, struct grpc_exchange, node);

        grpc_exchange_decide(ex, status, slice_str(why));
        grpc_exchange_stream_gone(ex);
    }
    transport_close(&conn->transport);
    grpc_channel_conn_is_over(conn, why);
}

static void on_closed(void *ctx) {
    struct grpc_channel_conn *conn = ctx;

    nghttp2_session_del(conn->session);
    buf_release(&conn->out);
    buf_release(&conn->sending);
    list_remove(&conn->node);
    grpc_channel_conn_is_closed(conn);
    free(conn);
}

static void on_broken(void *ctx) {
    struct grpc_channel_conn *conn = ctx;
    struct grpc_channel *channel = conn->channel;

    const char *problem = transport_peer_problem(&conn->transport);

    grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, problem ? problem : "the connection broke");
    grpc_channel_deliver(channel);
}

/* ---- reading ------------------------------------------------------------- */

static const char *protocol_error(const struct grpc_channel_conn *conn) {
    return conn->ready ? "the server broke the rules of HTTP/2" : "the server doesn't speak HTTP/2";
}

static void receive(struct grpc_channel_conn *conn, struct slice bytes) {
    ssize_t used = nghttp2_session_mem_recv(conn->session, (const uint8_t *)bytes.ptr, bytes.len);

    if (conn->closing)
        return;
    if (used == NGHTTP2_ERR_NOMEM)
        conn->failed = true;
    else if (used < 0) /* a flood of CONTINUATION, or of what must be acknowledged */
        grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, protocol_error(conn));
}

static void on_read(void *ctx, struct slice bytes) {
    struct grpc_channel_conn *conn = ctx;
    struct grpc_channel *channel = conn->channel;

    if (bytes.len == 0) {
        grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, "the server closed the connection");
    } else {
        conn->ping_ms = 0;
        receive(conn, bytes);
        conn->silent_ms = conn->exchange_count > 0 ? now(conn) : 0;
        grpc_conn_out_touch(conn);
    }
    grpc_channel_deliver(channel);
}

/* ---- writing ------------------------------------------------------------- */

/* Frames of this tick, up to one send's worth. */
static void gather(struct grpc_channel_conn *conn) {
    while (!conn->closing && conn->out.len < OUT_GATHER) {
        const uint8_t *frame;
        ssize_t len = nghttp2_session_mem_send(conn->session, &frame);

        if (len < 0)
            conn->failed = true;
        if (len <= 0)
            return;
        buf_add(&conn->out, frame, (size_t)len);
    }
}

static void send_out(struct grpc_channel_conn *conn) {
    struct buf empty = conn->sending;

    conn->sending = conn->out;
    conn->out = empty;
    conn->send_busy = !transport_send(&conn->transport, buf_slice(&conn->sending));
    if (!conn->send_busy)
        buf_clear(&conn->sending);
}

/* What isn't sent when the server goes away never will be. */
static bool awaits_answers(const struct grpc_channel_conn *conn) {
    const struct list *node = conn->exchanges.next;

    while (node != &conn->exchanges && !CONTAINER_OF(node, struct grpc_exchange, node)->sent)
        node = node->next;
    return node != &conn->exchanges;
}

static void settle(struct grpc_channel_conn *conn) {
    if (conn->send_busy)
        return;
    if (conn->out.cap > OUT_KEEP && conn->exchange_count == 0)
        buf_release(&conn->out);
    if (conn->sending.cap > OUT_KEEP && conn->exchange_count == 0)
        buf_release(&conn->sending);
    if (conn->going_away && !awaits_answers(conn))
        grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, "the server is going away");
    else if (!nghttp2_session_want_read(conn->session))
        grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, protocol_error(conn)); /* told by a GOAWAY */
}

void grpc_conn_out_flush(struct grpc_channel_conn *conn) {
    while (!conn->closing && !conn->send_busy && !conn->failed) {
        gather(conn);
        if (buf_failed(&conn->out))
            conn->failed = true;
        if (conn->closing || conn->failed || conn->out.len == 0)
            break;
        send_out(conn);
    }
    if (conn->failed)
        grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, "out of memory");
    if (!conn->closing)
        settle(conn);
}

static void on_sent(void *ctx, enum err err) {
    struct grpc_channel_conn *conn = ctx;

    if (conn->closing || err != ERR_OK)
        return; /* on_broken() follows */
    conn->send_busy = false;
    buf_clear(&conn->sending);
    grpc_conn_out_touch(conn);
}

/* ---- running out of time ------------------------------------------------- */

static void earlier(int64_t *due_ms, int64_t at_ms) {
    if (at_ms < *due_ms)
        *due_ms = at_ms;
}

static int64_t keepalive_due_ms(const struct grpc_channel_conn *conn) {
    if (conn->ping_ms != 0)
        return conn->ping_ms + conn->channel->conf.keepalive_timeout_ms;
    if (conn->silent_ms != 0 && conn->exchange_count > 0)
        return conn->silent_ms + conn->channel->keepalive_ms;
    return INT64_MAX;
}

void grpc_conn_out_expect(struct grpc_channel_conn *conn) {
    if (conn->silent_ms == 0)
        conn->silent_ms = now(conn);
    grpc_conn_out_wake(conn, keepalive_due_ms(conn));
}

static void expire(struct grpc_channel_conn *conn) {
    for (struct list *node = conn->exchanges.next; node != &conn->exchanges; node = node->next) {
        struct grpc_exchange *ex = CONTAINER_OF(node, struct grpc_exchange, node);

        if (!ex->decided && now(conn) >= ex->deadline_ms)
            grpc_exchange_abort(ex, GRPC_DEADLINE_EXCEEDED, SLICE("the deadline has passed"));
    }
}

static void keep_alive(struct grpc_channel_conn *conn) {
    if (now(conn) < keepalive_due_ms(conn))
        return;
    if (conn->ping_ms != 0) {
        grpc_conn_out_lose(conn, GRPC_UNAVAILABLE, "no answer came to a keepalive PING");
        return;
    }
    conn->ping_ms = now(conn);
    grpc_conn_out_check(conn, nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL));
    grpc_conn_out_touch(conn);
}

static void wake_for_next(struct grpc_channel_conn *conn) {
    int64_t due_ms = keepalive_due_ms(conn);

    for (struct list *node = conn->exchanges.next; node != &conn->exchanges; node = node->next) {
        struct grpc_exchange *ex = CONTAINER_OF(node, struct grpc_exchange, node);

        if (!ex->decided)
            earlier(&due_ms, ex->deadline_ms);
    }
    grpc_conn_out_wake(conn, due_ms);
}

static void on_timer(struct timer *timer) {
    struct grpc_channel_conn *conn = CONTAINER_OF(timer, struct grpc_channel_conn, timer);
    struct grpc_channel *channel = conn->channel;

    expire(conn);
    keep_alive(conn);
    if (!conn->closing)
        wake_for_next(conn);
    grpc_channel_deliver(channel);
}

/* ---- beginning ----------------------------------------------------------- */

static const struct stream_events events = {
    .on_read = on_read,
    .on_sent = on_sent,
    .on_broken = on_broken,
    .on_closed = on_closed,
};

/* Of "host:port" or "[v6]:port", as certificates name it. */
static struct slice host_of(struct slice address) {
    while (address.len && address.ptr[address.len - 1] != ':')
        address.len--;
    address.len -= address.len > 0;
    if (address.len >= 2 && address.ptr[0] == '[')
        address = slice_of(address.ptr + 1, address.len - 2);
    return address;
}

struct grpc_channel_conn *grpc_conn_out_new(struct grpc_channel *channel, struct stream *stream) {
    struct grpc_channel_conn *conn = calloc(1, sizeof(*conn));

    if (!conn)
        return NULL;
    conn->channel = channel;
    conn->session = grpc_session_out_new(conn);
    if (!conn->session || !transport_connect_tls(&conn->transport, stream, channel->conf.tls,
                                                 host_of(channel->conf.address))) {
        nghttp2_session_del(conn->session);
        free(conn);
        return NULL;
    }
    conn->timer.fire = on_timer;
    list_init(&conn->dirty);
    list_init(&conn->exchanges);
    list_push_back(&channel->conns, &conn->node);
    transport_start(&conn->transport, &events, conn);
    grpc_conn_out_touch(conn); /* the preface and our SETTINGS */
    return conn;
}
