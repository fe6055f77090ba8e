/* http_server.h - an HTTP/1.1 and HTTP/2 server on one loop: connections in, exchanges out.
 *
 * Every request becomes an exchange; the application answers it once, now or
 * later. Requests of one HTTP/1 connection may be pipelined: they are handed
 * over as they come, their answers leave in the order of the requests
 * (RFC 9112 9.3.2). Those of an HTTP/2 connection are independent. Answers of
 * one tick leave together.
 *
 * HTTP/2 is spoken with prior knowledge (RFC 9113 3.3) or when TLS has agreed
 * on it; the first bytes of a connection tell. "Upgrade: h2c" is ignored, as
 * RFC 9113 3.1 has it: no browser ever sent it.
 *
 *     accept ─► read ─► head() ─► request() … http_reply() ─► flushed at the tick's end
 *
 * Threads    The loop's thread, except http_server_stats().
 * Ownership  An exchange is the application's from request() until
 *            http_reply(), also when its connection has gone meanwhile.
 * Limits     struct http_server_conf; each has its refusal: 408, 413, 414, 431,
 *            or a closed connection; over HTTP/2 GOAWAY or a reset stream.
 */
#ifndef EDGE_HTTP_SERVER_H
#define EDGE_HTTP_SERVER_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/trace_context.h"
#include "loop/loop.h"
#include "wire/http1.h"

struct http_server;
struct tls;
struct flood_penalty;
struct http_exchange;

/* What it speaks, best first, as ALPN calls it. */
#define HTTP_SERVER_ALPN "h2", "http/1.1"

struct http_server_conf {
    struct http1_limits limits;
    size_t connections_max;        /* of all servers that share 'connections' */
    _Atomic size_t *connections;   /* open now; shared by the loops of a process */
    size_t pipeline_max;           /* unanswered requests of one connection; then it isn't read */
    uint32_t streams_max;          /* the same for HTTP/2: the client waits for one to end */
    int64_t header_ms;             /* from the first byte of a request to the end of its head */
    int64_t body_ms;               /* from there to the end of its body */
    int64_t idle_ms;               /* between requests, */
    int64_t drain_idle_ms;         /* and in a drain */
    int64_t write_ms;              /* for a peer that doesn't read: conn_patience_ms() */
    uint64_t id_seed;              /* random; request ids start with it */
    struct tls *tls;               /* NULL: plain; outlives the server */
    struct flood_penalty *penalty; /* NULL: none; likewise */
};

/* What the application does with requests. */
struct http_app {
    void *ctx;
    /* The head is there: choose a body limit (returned, in bytes) or refuse early: with an error
     * set the body isn't waited for and request() is called at once with it. */
    size_t (*head)(void *ctx, const struct http1_request *request, enum err *out_refusal);
    /* A request to answer: complete (ERR_OK), refused by head(), or unreadable: then 'detail' says
     * which rule it broke and 'request' is NULL. The request's slices live for this call only. */
    void (*request)(void *ctx, struct http_exchange *exchange, const struct http1_request *request,
                    enum err refusal, const char *detail);
    /* The exchange was answered, for metrics and logs. */
    void (*replied)(void *ctx, const struct http_exchange *exchange, int status, size_t body_bytes,
                    int64_t duration_us);
};

/* Figures of recycled objects: a hit needed no memory from the system. */
struct http_pool_stats {
    _Atomic uint64_t gets;
    _Atomic uint64_t puts;
    _Atomic uint64_t hits;
};

struct http_server_stats {                /* any thread: relaxed */
    _Atomic uint64_t connections;         /* open now */
    _Atomic uint64_t refused_total;       /* closed at once: connections_max */
    _Atomic uint64_t busy_connections;    /* with an unanswered request, now */
    _Atomic uint64_t exchanges;           /* unanswered, now */
    _Atomic uint64_t floods_total;        /* HTTP/2 connections ended for abuse */
    struct http_pool_stats exchange_pool; /* exchange objects */
    struct http_pool_stats reply_pool;    /* their reply buffers */
    struct http_pool_stats output_pool;   /* connections' output buffers */
    struct http_pool_stats arena_pool;    /* workspaces of requests */
};

/* NULL when memory runs out. */
struct http_server *http_server_new(struct loop *loop, const struct http_server_conf *conf,
                                    const struct http_app *app);

/* No connection may be open and no exchange unanswered. NULL is fine. */
void http_server_free(struct http_server *server);

/* Serves what 'fd' (listening, taken over) accepts. */
MUST_CHECK enum err http_server_listen(struct http_server *server, int fd);

/* Stops accepting, closes idle connections now and the others after their answers; then calls
 * 'done' once, on a later turn. */
void http_server_drain(struct http_server *server, void (*done)(void *ctx), void *ctx);

/* During a drain: closes what is still open without waiting for answers. */
void http_server_abort(struct http_server *server);

/* Answers are ready that the end of this tick has missed: take another turn soon. */
bool http_server_owes(const struct http_server *server);

const struct http_server_stats *http_server_stats(const struct http_server *server);

/* The exchange's workspace: lives until the reply. */
struct arena *http_arena(struct http_exchange *exchange);

/* An empty buffer to write the body into; the server's, good until the next call that may reply. */
struct buf *http_body(struct http_exchange *exchange);

struct slice http_request_id(const struct http_exchange *exchange);

/* The trace that the request's traceparent names, or that begins with it (tracer.h), in its
 * workspace; NULL: none. */
struct trace_context *http_trace(const struct http_exchange *exchange);

/* Who is connected, an IPv4 address mapped into IPv6; only while request() runs. */
MUST_CHECK bool http_peer(const struct http_exchange *exchange, struct in6_addr *out);

/* Complete lines, each with CRLF, that its answer gets whatever that will be; copied. */
void http_set_fields(struct http_exchange *exchange, struct slice fields);

/* A number of the application's choice, for replied(): its route. */
void http_set_tag(struct http_exchange *exchange, unsigned tag);
unsigned http_tag(const struct http_exchange *exchange);
/* HTTP/1: the tag of the request before it on its connection, if that one's answer hasn't left yet;
 * 0: there is none. */
unsigned http_tag_before(const struct http_exchange *exchange);

/* Why it failed, a sentence for the log; copied into the workspace. */
void http_set_failure(struct http_exchange *exchange, enum err err, struct slice detail);
enum err http_failure(const struct http_exchange *exchange, struct slice *out_detail);

struct http_reply {
    int status;
    struct slice content_type; /* {NULL, 0}: no body, none sent */
    struct slice headers;      /* further complete lines, each with CRLF; may be empty */
    struct slice body;         /* copied */
    bool close;                /* end the connection behind this answer; HTTP/1 */
};

/* Answers and gives the exchange back. Once. */
void http_reply(struct http_exchange *exchange, const struct http_reply *reply);

/* ---- a response that lasts, instead of http_reply() ---- */

/* Its client has gone, or hasn't taken in time what was sent ('slow'). http_finish() soon, it may
 * be called from here; what is sent is dropped. Once, not behind http_finish(). */
struct http_lasting {
    void *ctx;
    void (*gone)(void *ctx, bool slow);
};

/* The head of a response whose body comes bit by bit, chunked over HTTP/1.1; 'reply' has no body.
 * It is counted as answered here. false: nobody waits for it any more, or it was a HEAD, which has
 * now all it gets: the exchange has been given back. */
MUST_CHECK bool http_begin(struct http_exchange *exchange, const struct http_reply *reply,
                           const struct http_lasting *lasting);

/* Some of its body, copied; leaves at the tick's end. */
void http_send(struct http_exchange *exchange, struct slice bytes);

/* All that was sent is on its way: the client keeps up. Who sends only then is owed to by one send
 * at most, and a slow client gets the latest instead of a queue. */
bool http_ready(const struct http_exchange *exchange);

/* The end of it; gives the exchange back. */
void http_finish(struct http_exchange *exchange);

/* "Not Found" for 404; never NULL. */
struct slice http_reason(int status);

#endif
