/* http_internal.h - what the files of the HTTP server share.
 *
 * http_server.c   the server: accepting, drain, recycled objects
 * http_conn.c     one connection: reading, deadlines, writing, closing
 * http_exchange.c one request and its reply
 */
#ifndef EDGE_HTTP_INTERNAL_H
#define EDGE_HTTP_INTERNAL_H

#include "base/list.h"
#include "edge/http_server.h"
#include "edge/transport.h"
#include "loop/timer.h"

#define HTTP_REQUEST_ID_MAX 128 /* a client's longer one is replaced */
#define HTTP_DATE_BYTES     29  /* "Sun, 06 Nov 1994 08:49:37 GMT" */

struct http_server {
    struct loop *loop;
    struct http_server_conf conf;
    struct http_app app;
    struct listener *listener;
    struct list conns;
    struct list dirty; /* connections with answers to write at the tick's end */
    struct list free_exchanges;
    struct loop_hook flush;
    struct buf body; /* handlers write bodies here before they reply */
    char date[HTTP_DATE_BYTES + 1];
    int64_t date_s;
    char id_prefix[17];
    uint64_t next_id;
    bool draining;
    struct {
        void (*done)(void *ctx);
        void *ctx;
    } drained;
    struct timer drained_timer; /* calls drained.done on a turn of its own */
    struct http_server_stats stats;
};

enum conn_state {
    CONN_OPEN,      /* reads requests, writes answers */
    CONN_FINISHING, /* reads no more requests; closes behind the last answer */
    CONN_LINGERING, /* FIN sent; waits for the peer's, so that the answer isn't lost to a reset */
    CONN_CLOSING    /* waits for on_closed() */
};

struct http_conn {
    struct list node;  /* server->conns */
    struct list dirty; /* server->dirty, while it has something to write */
    struct http_server *server;
    struct transport transport;
    struct http1_parser *parser;
    struct list exchanges; /* unanswered or unwritten, in order of arrival */
    size_t exchange_count;
    struct buf pending; /* read but not parsed, while the pipeline is full */
    struct buf out;     /* being gathered */
    struct buf sending; /* with the kernel */
    struct timer timer; /* fires at or before deadline_ms */
    int64_t deadline_ms;
    enum conn_state state;
    bool in_head;        /* a request's head has begun */
    bool in_body;        /* a request's body is awaited */
    bool wants_continue; /* and its sender waits for a 100 first */
    bool send_busy;      /* 'sending' isn't the kernel's yet */
    bool paused;
    bool peer_closed; /* the peer's FIN came */
};

struct http_exchange {
    struct list node; /* conn->exchanges, or server->free_exchanges */
    struct http_server *server;
    struct http_conn *conn; /* NULL once the connection has gone */
    struct arena arena;
    struct buf reply;
    int64_t started_us;
    struct slice failure_detail;
    enum err failure;
    unsigned tag;
    bool answered;
    bool head_only; /* HEAD: the length of a body, and no body */
    bool close;     /* the connection ends behind this answer */
    bool http_1_0;
    char id[HTTP_REQUEST_ID_MAX];
    size_t id_len;
};

static inline void stat_add(_Atomic uint64_t *stat, uint64_t n) {
    /* One writing thread: a plain load and store is enough and cheaper than a locked add. */
    atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* http_conn.c */
void http_conn_open(struct http_server *server, struct stream *stream);
void http_conn_answered(struct http_conn *conn, struct http_exchange *exchange);
void http_conn_flush(struct http_conn *conn);
void http_conn_finish(struct http_conn *conn);
void http_conn_abort(struct http_conn *conn);

/* http_exchange.c */
struct http_exchange *http_exchange_take(struct http_conn *conn,
                                         const struct http1_request *request);
void http_exchange_give(struct http_exchange *exchange);
/* "100 Continue", in its place among the answers. False when memory runs out. */
bool http_exchange_continue(struct http_conn *conn);

/* http_server.c */
void http_server_gone(struct http_server *server, struct http_conn *conn);
const char *http_server_date(struct http_server *server);

#endif
