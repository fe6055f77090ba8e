/* http_protocol.c - what a connection speaks: HTTP/2 or HTTP/1.
 *
 *     accepted ─► agreed on by ALPN, or the first bytes tell ─► h2_open() or http_conn_open()
 *
 * A client that speaks HTTP/2 without asking sends the preface first (RFC 9113
 * 3.3, 3.4). What only begins like it goes to HTTP/1 as it came; there,
 * "PRI * HTTP/2.0" is an unknown version.
 */
#include "edge/http_internal.h"

/* What has come of the preface so far is its first 'seen' bytes: the count is all that is kept. */
static struct slice preface(size_t seen) {
    return slice_of(NGHTTP2_CLIENT_MAGIC, seen);
}

static size_t seen(const struct conn *conn) {
    return (size_t)(uintptr_t)conn->self;
}

static struct http_server *server_of(const struct conn *conn) {
    return CONTAINER_OF(conn->set, struct http_server, conns);
}

static void go_on_with(struct conn *conn, bool opened, size_t held, struct slice bytes) {
    if (!opened) {
        conn_abort(conn);
        return;
    }
    if (held)
        conn->protocol->read(conn, preface(held));
    if (bytes.len && conn->state == CONN_OPEN)
        conn->protocol->read(conn, bytes);
}

static void speak_http1(struct conn *conn, size_t held, struct slice bytes) {
    go_on_with(conn, http_conn_open(server_of(conn), conn), held, bytes);
}

static void speak_http2(struct conn *conn, size_t held, struct slice bytes) {
    go_on_with(conn, h2_open(server_of(conn)->h2, conn), held, bytes);
}

static void set_deadline(struct conn *conn, int64_t delay_ms) {
    conn->deadline_ms = conn_now_ms(conn) + delay_ms;
    conn_wake(conn, conn->deadline_ms);
}

static void on_read(struct conn *conn, struct slice bytes) {
    size_t held = seen(conn);
    struct slice rest = slice_skip(preface(NGHTTP2_CLIENT_MAGIC_LEN), held);
    size_t n = bytes.len < rest.len ? bytes.len : rest.len;

    /* The one place where ALPN's word counts (RFC 9113 3.2): it is known behind the handshake, and
     * so with the first bytes; without TLS there is none. */
    struct slice alpn = transport_alpn(&conn->transport);

    if (slice_eq(alpn, SLICE("h2")))
        speak_http2(conn, held, bytes);
    else if (alpn.len || memcmp(bytes.ptr, rest.ptr, n) != 0)
        speak_http1(conn, held, bytes);
    else if (n == rest.len)
        speak_http2(conn, held, bytes);
    else {
        conn->self = (void *)(uintptr_t)(held + n);
        if (held == 0)
            set_deadline(conn, server_of(conn)->conf.header_ms);
    }
}

static void on_peer_closed(struct conn *conn) {
    speak_http1(conn, seen(conn), (struct slice){NULL, 0});
    if (conn->state != CONN_CLOSING)
        conn->protocol->peer_closed(conn);
}

static int64_t on_due(struct conn *conn, int64_t now_ms) {
    if (now_ms < conn->deadline_ms)
        return conn->deadline_ms;
    if (seen(conn) == 0) {
        conn_linger(conn);
        return INT64_MAX;
    }
    speak_http1(conn, seen(conn), (struct slice){NULL, 0}); /* for its 408 */
    if (conn->state != CONN_OPEN)
        return INT64_MAX;
    conn->deadline_ms = now_ms;
    return conn->protocol->due(conn, now_ms);
}

static void on_drain(struct conn *conn) {
    if (conn->state == CONN_OPEN && seen(conn) == 0)
        set_deadline(conn, server_of(conn)->conf.drain_idle_ms);
}

static bool gather_nothing(struct conn *conn) {
    (void)conn;
    return false;
}

static void nothing(struct conn *conn) {
    (void)conn;
}

static const struct conn_protocol unknown = {
    .read = on_read,
    .peer_closed = on_peer_closed,
    .gather = gather_nothing,
    .settle = nothing,
    .due = on_due,
    .drain = on_drain,
    .drop = nothing,
    .release = nothing,
};

bool http_protocol_open(struct conn *conn) {
    set_deadline(conn, server_of(conn)->conf.idle_ms);
    conn_speak(conn, &unknown, NULL);
    return true;
}
