/* grpc_server.h - a gRPC server on one loop: HTTP/2 connections in, calls out.
 *
 * Speaks gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md) by prior knowledge:
 * unary and server-streaming methods, deadlines, gzip and identity requests,
 * trailers-only errors, flow control, keepalive policing, drain by GOAWAY.
 *
 *     accept ─► headers ─► message complete ─► method->handle() … grpc_send() … grpc_finish()
 *
 * Threads    The loop's thread, except grpc_server_stats().
 * Ownership  A call belongs to its handler from handle() until grpc_finish(); its arena lives as
 *            long. After gone() the call only waits for its grpc_finish(), which is never skipped.
 * Limits     struct grpc_server_conf; constants in h2_*.c and grpc_*.c name the attack they stop.
 */
#ifndef EDGE_GRPC_SERVER_H
#define EDGE_GRPC_SERVER_H

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
#include "edge/grpc_status.h"
#include "loop/loop.h"

struct grpc_server;
struct grpc_call;
struct tls;
struct flood_penalty;

struct grpc_method {
    struct slice path; /* "/counter.CounterService/IncrementCounter" */
    /* A request message is complete, uncompressed; its bytes are borrowed until handle() returns.
     * For a method whose client streams (reflection) once per message. */
    void (*handle)(void *ctx, struct grpc_call *call, struct slice message);
    /* The client has half-closed behind its last message; only for client-streaming methods
     * (others end by themselves). May be NULL. */
    void (*half_closed)(void *ctx, struct grpc_call *call);
    /* The call is cancelled, its deadline has passed or its connection is gone. Finish it soon;
     * what is sent is dropped. May be NULL. */
    void (*gone)(void *ctx, struct grpc_call *call);
    void *ctx;
    bool client_streams;
    bool long_lived; /* answers without end (health Watch): no deadline but the client's own; ended
                        with UNAVAILABLE by a drain, as is a method whose client streams */
};

struct grpc_server_conf {
    const struct grpc_method *methods; /* lives as long as the server */
    size_t method_count;
    size_t connections_max;      /* of all servers that share 'connections' */
    _Atomic size_t *connections; /* open now; NULL: this server's alone */
    size_t message_bytes_max;    /* of one request message, after decompression; 4 MiB by custom */
    uint32_t streams_max;        /* concurrent calls of one connection */
    int64_t deadline_max_ms; /* for calls without a grpc-timeout, and the longest one taken; not for
                                client-streaming methods and long-lived streams (health Watch) */
    int64_t idle_ms;         /* a connection without calls is told to go away */
    int64_t write_ms;        /* for a client that doesn't take its responses: conn_patience_ms() */
    int64_t keepalive_min_ms;      /* pings more often than this are strikes (gRFC A8) */
    struct tls *tls;               /* NULL: plain; outlives the server */
    struct flood_penalty *penalty; /* NULL: none; likewise */
    uint64_t span_seed;            /* random; of the span ids of traced calls */
    /* Every finished call, for metrics and logs. 'method' is NULL for an unknown one, 'trace' as
     * in grpc_trace(). */
    void (*finished)(void *ctx, const struct grpc_method *method, enum grpc_status status,
                     struct slice message, const struct trace_context *trace, int64_t duration_us);
    void *finished_ctx;
};

struct grpc_server_stats {        /* any thread: relaxed */
    _Atomic uint64_t connections; /* open now */
    _Atomic uint64_t refused_total;
    _Atomic uint64_t calls;        /* unfinished now */
    _Atomic uint64_t floods_total; /* connections ended for abuse */
};

/* NULL when memory runs out. 'conf' is copied. */
struct grpc_server *grpc_server_new(struct loop *loop, const struct grpc_server_conf *conf);

/* No connection open, no call unfinished. NULL is fine. */
void grpc_server_free(struct grpc_server *server);

/* Serves what 'fd' (listening, taken over) accepts. */
MUST_CHECK enum err grpc_server_listen(struct grpc_server *server, int fd);

/* The two-step GOAWAY of a drain to every client there is now; what is under way is finished, and
 * they may connect again at once. */
void grpc_server_send_away(struct grpc_server *server);

/* Two-step drain: GOAWAY(2^31-1), a round trip, GOAWAY(last); finishes what is under way, then
 * calls 'done' once, on a later turn (RELIABILITY row 23). */
void grpc_server_drain(struct grpc_server *server, void (*done)(void *ctx), void *ctx);

/* During a drain: closes what is still open. */
void grpc_server_abort(struct grpc_server *server);

/* Answers are ready that the end of this tick has missed: take another turn soon. */
bool grpc_server_owes(const struct grpc_server *server);

const struct grpc_server_stats *grpc_server_stats(const struct grpc_server *server);

/* The call's workspace. */
struct arena *grpc_arena(struct grpc_call *call);
/* The handler's own pointer, NULL at first. */
void grpc_set_data(struct grpc_call *call, void *data);
void *grpc_data(const struct grpc_call *call);
/* When the client stops waiting (monotonic ms); never later than deadline_max_ms allows. */
int64_t grpc_deadline_ms(const struct grpc_call *call);
/* A request metadata value, {NULL, 0} when absent, the first of several; decoded when the name ends
 * in "-bin". Lives until grpc_finish(). */
struct slice grpc_metadata(const struct grpc_call *call, struct slice name);
/* The trace that the metadata "traceparent" names, in the call's workspace; NULL: none, or no valid
 * one. */
struct trace_context *grpc_trace(const struct grpc_call *call);

/* Sends one response message (copied). One for a unary method, any number for a stream. What a
 * client doesn't take is bounded: beyond that the call ends with RESOURCE_EXHAUSTED, and gone(). */
void grpc_send(struct grpc_call *call, struct slice message);
/* All that was sent is on its way: the client keeps up. Who sends only then is owed to by one
 * message at most, and a slow client gets the latest instead of a queue. */
bool grpc_ready(const struct grpc_call *call);
/* In gone(): because the client didn't take what was sent in time. */
bool grpc_overdue(const struct grpc_call *call);
/* Adds to the trailers (copied); before grpc_finish(). A "-bin" value is encoded. */
void grpc_add_trailer(struct grpc_call *call, struct slice name, struct slice value);
/* Ends the call; once. 'message' is for people, empty with GRPC_OK. Trailers-only when nothing
 * was sent. */
void grpc_finish(struct grpc_call *call, enum grpc_status status, struct slice message);

#endif
