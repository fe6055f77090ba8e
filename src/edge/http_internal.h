/* http_internal.h - what the files of the HTTP server share.
 *
 * http_server.c   the server and its recycled objects
 * http_protocol.c what a connection speaks
 * http_conn.c     an HTTP/1 connection: requests in order, answers in order
 * http_stream.c   an HTTP/2 stream: one request and its answer,
 * http_stream_head.c   its head, field by field,
 * http_stream_reply.c  and its response
 * http_exchange.c one request and its reply, over either
 * http_lasting.c  a reply that comes bit by bit, over either
 */
#ifndef EDGE_HTTP_INTERNAL_H
#define EDGE_HTTP_INTERNAL_H

#include "base/list.h"
#include "edge/conn_set.h"
#include "edge/h2_server.h"
#include "edge/http_server.h"

#define HTTP_REQUEST_ID_MAX 128 /* a client's longer one is replaced */
#define HTTP_MADE_ID_BYTES  32  /* of an id of ours */
#define HTTP_DATE_BYTES     29  /* "Sun, 06 Nov 1994 08:49:37 GMT" */

struct http_server {
    struct loop *loop;
    struct http_server_conf conf;
    struct http_app app;
    struct conn_set conns;
    struct h2_server *h2;
    struct list free_exchanges;
    struct list free_streams;
    struct buf body; /* handlers write bodies here before they reply */
    char date[HTTP_DATE_BYTES + 1];
    int64_t date_s;
    char next_id[HTTP_MADE_ID_BYTES + 1]; /* of a request without one; seed and number in hex */
    uint64_t next_span;                   /* see random_next() */
    struct http_server_stats stats;
};

/* An HTTP/1 connection; conn->self. */
struct http_conn {
    struct conn *conn;
    struct http_server *server;
    struct http1_parser *parser;
    struct list exchanges; /* unanswered or unwritten, in order of arrival: conn->in_work many */
    struct buf pending;    /* read but not parsed, while the pipeline is full */
    bool in_head;          /* a request's head has begun */
    bool in_body;          /* a request's body is awaited */
    bool wants_continue;   /* and its sender waits for a 100 first */
};

#define HTTP_STREAM_IN_SLACK (4u << 20) /* of a connection's requests, beside one body */

/* An HTTP/2 stream. */
struct http_stream {
    struct h2_stream h2; /* its node is on server->free_streams when it is nobody's */
    struct http_server *server;
    struct arena arena; /* the head; reset when the request has been handed over */
    struct {            /* the head, while it comes */
        struct slice method;
        struct slice target;
        struct slice authority;
        struct slice host;
        struct http1_header *headers;
        size_t count;
        size_t room;    /* for headers */
        uint64_t names; /* http1_name_bit() of theirs */
        size_t bytes;
        size_t held; /* part of what the connection's requests hold */
        uint64_t content_length;
        bool has_length;
    } head;
    enum err problem; /* of the request */
    const char *detail;
    struct http1_request request; /* complete with the head, but for its body */
    struct buf body;
    size_t body_max;
    bool handed;                    /* to the application, or refused */
    struct http_exchange *exchange; /* unanswered */
};

struct http_exchange {
    struct list node; /* an HTTP/1 connection's exchanges, or server->free_exchanges */
    struct http_server *server;
    struct http_conn *conn;     /* HTTP/1: its connection; NULL once that has gone */
    struct http_stream *stream; /* HTTP/2 */
    struct arena arena;
    struct buf reply;
    int64_t started_us;
    struct slice failure_detail;
    struct slice fields; /* http_set_fields() */
    struct trace_context *trace;
    enum err failure;
    unsigned tag;
    bool answered;
    bool head_only; /* HEAD: the length of a body, and no body */
    bool close;     /* the connection ends behind this answer */
    bool http_1_0;
    struct http_lasting lasting; /* gone: NULL unless it lasts */
    bool ended;                  /* it lasted: http_finish() was called */
    char id[HTTP_REQUEST_ID_MAX];
    size_t id_len;
};

/* http_protocol.c */
bool http_protocol_open(struct conn *conn);

/* http_conn.c */
MUST_CHECK bool http_conn_open(struct http_server *server, struct conn *conn);
void http_conn_answered(struct http_conn *conn, struct http_exchange *exchange);
bool http_conn_ready(const struct http_conn *conn, const struct http_exchange *exchange);

/* http_stream.c */
extern const struct h2_user http_stream_user;
void http_stream_answered(struct http_stream *stream, const struct http_reply *reply);
/* Nothing more comes from the application. */
void http_stream_let_go(struct http_stream *stream);
void http_stream_free(struct http_stream *stream);

/* http_stream_head.c */
void http_stream_field(struct http_stream *stream, struct slice name, struct slice value);
/* All fields are there: makes the request of them. false: stream->problem says why not. */
MUST_CHECK bool http_stream_head(struct http_stream *stream, bool body_follows);

/* http_stream_reply.c */
void http_stream_reply(struct http_stream *stream, const struct http_reply *reply);
void http_stream_lasting(struct http_stream *stream, const struct http_reply *reply);
void http_stream_send(struct http_stream *stream, struct slice bytes);
void http_stream_end(struct http_stream *stream);
void http_stream_continue(struct http_stream *stream); /* an interim 100 */

/* http_exchange.c */
/* Without its connection or stream, which the caller sets. NULL when memory runs out. */
struct http_exchange *http_exchange_take(struct http_server *server,
                                         const struct http1_request *request);
void http_exchange_give(struct http_exchange *exchange);
/* HTTP/1: the head of its reply; 'lasts': without a length. */
void http_exchange_head(struct http_exchange *exchange, const struct http_reply *reply, bool lasts);
void http_exchange_replied(struct http_exchange *exchange, const struct http_reply *reply);

/* http_lasting.c */
static inline bool http_lasts(const struct http_exchange *exchange) {
    return exchange->lasting.gone && !exchange->ended;
}
/* It has lost its connection or stream. */
void http_lasting_gone(struct http_exchange *exchange, bool slow);

/* http_server.c */
const char *http_server_date(struct http_server *server);

#endif
