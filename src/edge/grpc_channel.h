/* grpc_channel.h - a gRPC client's connection to one server: calls out, answers in.
 *
 * Connects, and connects again with growing pauses (grpc/doc/connection-backoff.md), for as long
 * as it lives. Unary calls and streams share the connection. When the server says GOAWAY, calls it
 * won't serve come back as not processed, the others are finished on the old connection while a new
 * one is made.
 *
 *     new ─► CONNECTING ─► READY ──► CONNECTING …      every change: on_state()
 *                 ▲  └─► WAITING ─┘ (after a pause)
 *
 * Threads    The loop's thread.
 * Ownership  A call is the caller's memory, used from grpc_channel_call() until done(); path and
 *            request are copied. The response is borrowed for done().
 * Callbacks  Never inside the function that leads to them; done() exactly once per accepted call,
 *            behind its last message().
 *            on_state() says the latest state at the end of what changed it.
 * Order      A hook of the loop that starts calls is best added before the channel is made: its
 *            calls then leave in the same tick.
 * Limits     struct grpc_channel_conf. Keepalive pings only while calls are open (gRFC A8).
 */
#ifndef EDGE_GRPC_CHANNEL_H
#define EDGE_GRPC_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/trace_context.h"
#include "core/pushback.h"
#include "edge/grpc_status.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct grpc_channel;
struct tls;

enum grpc_channel_state { GRPC_CHANNEL_CONNECTING, GRPC_CHANNEL_READY, GRPC_CHANNEL_WAITING };

struct grpc_channel_conf {
    struct resolver *resolver; /* the process's */
    struct slice address;      /* "host:port", "[v6]:port"; names are resolved at every attempt */
    int64_t connect_ms;        /* from the first packet to the server's SETTINGS */
    int64_t backoff_min_ms;    /* the pause after the first failure, */
    int64_t backoff_max_ms;    /* and the longest; x1.6, +-20 % */
    int64_t keepalive_ms;      /* silence with calls open before a PING; 10 s and more by custom */
    int64_t keepalive_timeout_ms; /* and for its answer; then the connection is given up */
    size_t message_bytes_max;     /* of a response */
    struct tls *tls; /* a client's, with ALPN "h2"; NULL: plain. For transport_connect_tls(), with
                        the host of 'address' as the server's name; outlives the channel */
    void (*on_state)(void *ctx, enum grpc_channel_state state);
    void *ctx;
    uint64_t seed; /* of the jitter */
};

/* What came of a call. */
struct grpc_result {
    enum grpc_status status;
    struct slice message;     /* for people; may be empty */
    struct slice response;    /* one message, when the status is GRPC_OK */
    struct slice error;       /* the trailer hgp-error (edge/lanes_codec.h); empty: none */
    struct pushback pushback; /* grpc-retry-pushback-ms */
    bool not_applied;         /* the trailer hgp-not-applied: the call has surely changed nothing */
    bool not_processed;       /* the server has surely not looked at it (never sent,
                                 REFUSED_STREAM, beyond GOAWAY's last stream): safe to repeat */
};

struct grpc_out_call { /* embed it */
    void (*done)(struct grpc_out_call *call, const struct grpc_result *result);
    const struct trace_context *trace; /* goes along as metadata, copied at once; NULL: none */
};

/* NULL when memory runs out. Begins to connect on the next turn. 'conf' is copied, the address
 * too. */
struct grpc_channel *grpc_channel_new(struct loop *loop, const struct grpc_channel_conf *conf);

/* Ends every call with GRPC_CANCELLED and closes; then 'closed' runs once, on a later turn, and the
 * channel is gone. */
void grpc_channel_close(struct grpc_channel *channel, void (*closed)(void *ctx), void *ctx);

enum grpc_channel_state grpc_channel_state(const struct grpc_channel *channel);

/* Starts a unary call, sent at the end of this tick; 'path' is "/package.Service/Method", copied.
 * What is left until 'deadline_ms' (monotonic) goes along as grpc-timeout; when it has passed the
 * stream is reset and the result is GRPC_DEADLINE_EXCEEDED.
 * ERR_UNREACHABLE  not READY: nothing was taken
 * ERR_BUSY         the server's stream limit, or ours, is reached: likewise
 * ERR_NO_MEMORY    likewise */
MUST_CHECK enum err grpc_channel_call(struct grpc_channel *channel, struct grpc_out_call *call,
                                      struct slice path, struct slice request, int64_t deadline_ms);

/* A call whose both sides send messages, for as long as both want; without a deadline. */
struct grpc_out_stream {       /* embed it */
    struct grpc_out_call call; /* its done() is told the end; there is no response in the result */
    void (*message)(struct grpc_out_stream *stream, struct slice message); /* borrowed */
    struct grpc_exchange *exchange;                                        /* the channel's */
};

/* Starts it; the errors are grpc_channel_call()'s. */
MUST_CHECK enum err grpc_channel_stream(struct grpc_channel *channel,
                                        struct grpc_out_stream *stream, struct slice path);

/* One message (copied), sent at the end of this tick. Nothing comes of it when the stream has ended
 * and done() is only due. What the server doesn't take is kept: answers should pace the sender. */
void grpc_out_stream_send(struct grpc_out_stream *stream, struct slice message);

/* No more messages from us; the server's go on until it ends the call. */
void grpc_out_stream_end(struct grpc_out_stream *stream);

/* No message() any more; done() comes with GRPC_CANCELLED, unless the stream has ended before. */
void grpc_out_stream_cancel(struct grpc_out_stream *stream);

/* Calls not answered yet, streams too. */
size_t grpc_channel_calls(const struct grpc_channel *channel);

/* Why the last attempt to connect failed, a sentence for the log; NULL: none has. */
const char *grpc_channel_problem(const struct grpc_channel *channel);

#endif
