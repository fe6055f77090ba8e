/* grpc_channel_internal.h - what the files of the gRPC client share.
 *
 * grpc_channel.c           the channel: attempts to connect, pauses, handing results over
 * grpc_channel_conn.c      one connection: reading, deadlines, keepalive, writing, closing
 * grpc_channel_session.c   HTTP/2: nghttp2's callbacks, from frames to exchanges
 * grpc_channel_request.c   an exchange's request, and its life
 * grpc_channel_response.c  an exchange's response, up to its outcome
 * grpc_channel_stream.c    what only streams have: more messages, in both directions
 * grpc_channel_status.c    HTTP's and HTTP/2's codes as gRPC's
 */
#ifndef EDGE_GRPC_CHANNEL_INTERNAL_H
#define EDGE_GRPC_CHANNEL_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "edge/grpc_channel.h"
#include "edge/h2_memory.h"
#include "edge/transport.h"
#include "loop/timer.h"
#include "wire/grpc_frame.h"

/* Where the channel is with its newest connection. */
enum grpc_channel_phase {
    GRPC_PHASE_BEGINNING, /* an attempt is due on the next turn */
    GRPC_PHASE_RESOLVING,
    GRPC_PHASE_CONNECTING,
    GRPC_PHASE_HANDSHAKING, /* connected, waits for the server's SETTINGS */
    GRPC_PHASE_READY,
    GRPC_PHASE_WAITING, /* the pause before the next attempt */
    GRPC_PHASE_CLOSING
};

struct grpc_channel {
    struct loop *loop;
    struct grpc_channel_conf conf;
    struct buf address; /* conf.address points here */
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    struct h2_memory memory; /* of all sessions */
    struct loop_hook flush;
    struct timer later; /* makes sure of another turn */
    struct timer timer; /* of the phase */
    enum grpc_channel_phase phase;
    enum grpc_channel_state announced;
    struct resolver_query *query;
    struct resolved resolved;
    size_t next_address;
    struct connector *connector;
    struct grpc_channel_conn
        *current;         /* HANDSHAKING or READY; the others only finish their calls */
    struct list conns;    /* all, until on_closed() */
    struct list dirty;    /* connections with frames to write at the tick's end */
    struct list arrived;  /* streams with messages to hand over */
    struct list finished; /* exchanges with an outcome to hand over */
    struct list spare;    /* exchanges to be used again, */
    size_t spares;        /* so many */
    size_t calls;         /* not handed over yet */
    int64_t backoff_ms;   /* the next pause, before jitter */
    int64_t ready_ms;     /* when READY began */
    int64_t keepalive_ms; /* conf's, doubled for a server that minds */
    uint64_t random;
    bool has_problem;
    char problem[200];
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct grpc_channel_conn {
    struct list node;  /* channel->conns */
    struct list dirty; /* channel->dirty, while it may have something to write */
    struct grpc_channel *channel;
    struct transport transport;
    nghttp2_session *session;
    struct list exchanges; /* all with a stream */
    size_t exchange_count;
    size_t held_bytes;  /* responses, whole and unfinished */
    struct buf out;     /* being gathered */
    struct buf sending; /* with the kernel */
    struct timer timer; /* fires at or before the next thing that is due */
    int64_t silent_ms;  /* since when answers are waited for in silence; 0: none are */
    int64_t ping_ms;    /* when the keepalive PING was sent; 0: none is under way */
    int64_t noise_ms;   /* the allowance of useless frames (see noise()) as of then, */
    int64_t noise;      /* in thousandths */
    bool ready;         /* the server's SETTINGS came */
    bool going_away;    /* takes no more calls; closes behind the last */
    bool send_busy;     /* 'sending' isn't the kernel's yet */
    bool failed;        /* memory ran out: lost at the tick's end */
    bool closing;       /* waits for on_closed() */
};

/* A call and its stream. Recycled when the stream is gone and the outcome is handed over,
 * whichever comes last. */
struct grpc_exchange {
    struct list node;     /* conn->exchanges, or channel->spare */
    struct list finished; /* channel->finished */
    struct list arrived;  /* channel->arrived */
    struct grpc_channel *channel;
    struct grpc_out_call *call;     /* NULL once the outcome is handed over */
    struct grpc_out_stream *stream; /* the same one; NULL: the call is unary */
    struct grpc_channel_conn *conn; /* NULL without a stream */
    int32_t stream_id;
    int64_t deadline_ms;

    struct buf head; /* path, time-out, trace; nghttp2 points here until they are sent */
    size_t path_len;
    size_t timeout_len;
    bool traced;        /* traceparent and tracestate follow */
    struct buf request; /* framed */
    size_t taken;       /* of it, by nghttp2 */
    bool sent;          /* the server may have seen the request */
    bool deferred;      /* a stream's: nghttp2 waits for more */
    bool ending;        /* likewise: END_STREAM is due behind what is there */
    bool cancelled;     /* likewise: nobody wants its messages any more */

    struct grpc_frame_reader reader;
    struct buf response;      /* of a stream: messages, each behind its length */
    size_t complete;          /* of it: messages that are to be handed over */
    size_t length_at;         /* in it: the length of the message that is arriving */
    struct buf message;       /* grpc-message, then the outcome's */
    struct buf error;         /* hgp-error */
    struct pushback pushback; /* grpc-retry-pushback-ms */
    bool not_applied;         /* hgp-not-applied */
    unsigned messages;
    unsigned field_count;
    size_t field_bytes;
    int http_status;
    int grpc_status; /* -1: none came */
    bool is_grpc;    /* by its content-type */
    bool head_done;

    bool decided;
    enum grpc_status outcome;
    bool not_processed;
};

/* grpc_channel.c */
/* Hands over what is decided and says a new state; at the end of every event, never inside a
 * function that others call. */
void grpc_channel_deliver(struct grpc_channel *channel);
/* Another turn will come, and with it the end of a tick. */
void grpc_channel_later(struct grpc_channel *channel);
void grpc_channel_conn_is_ready(struct grpc_channel_conn *conn);
/* No more calls for it: lost, or told to go away. */
void grpc_channel_conn_is_over(struct grpc_channel_conn *conn, const char *why);
void grpc_channel_conn_is_closed(struct grpc_channel_conn *conn);

/* grpc_channel_conn.c */
/* Takes 'stream' over, unless it is NULL: memory ran out. */
struct grpc_channel_conn *grpc_conn_out_new(struct grpc_channel *channel, struct stream *stream);
void grpc_conn_out_touch(struct grpc_channel_conn *conn); /* written at the tick's end */
void grpc_conn_out_wake(struct grpc_channel_conn *conn, int64_t at_ms);
void grpc_conn_out_flush(struct grpc_channel_conn *conn);
/* Its calls end with 'status', those that weren't sent as not processed. */
void grpc_conn_out_lose(struct grpc_channel_conn *conn, enum grpc_status status, const char *why);
/* A call has begun: silence counts from now on. */
void grpc_conn_out_expect(struct grpc_channel_conn *conn);
/* Looks at the result of an nghttp2 call made from wherever: a fatal one loses it, later. */
void grpc_conn_out_check(struct grpc_channel_conn *conn, int result);

/* grpc_channel_session.c */
nghttp2_session_callbacks *grpc_session_out_callbacks(void);
nghttp2_option *grpc_session_out_option(void);
/* With its SETTINGS submitted. NULL when memory runs out. */
nghttp2_session *grpc_session_out_new(struct grpc_channel_conn *conn);

/* grpc_channel_request.c */
/* NULL when memory runs out. */
struct grpc_exchange *grpc_exchange_take(struct grpc_channel *channel, struct grpc_out_call *call,
                                         struct slice path, struct slice request,
                                         int64_t deadline_ms);
/* Likewise for a stream: no deadline, and no message yet. */
struct grpc_exchange *grpc_exchange_take_stream(struct grpc_channel *channel,
                                                struct grpc_out_stream *stream, struct slice path);
/* A message, framed. */
void grpc_exchange_frame(struct buf *out, struct slice message);
/* Submits it: ERR_OK; ERR_UNREACHABLE, the connection's stream numbers are used up; ERR_NO_MEMORY.
 */
MUST_CHECK enum err grpc_exchange_begin(struct grpc_exchange *ex, struct grpc_channel_conn *conn);
/* The outcome, unless there is one; 'message' may be ex->message's own. */
void grpc_exchange_decide(struct grpc_exchange *ex, enum grpc_status status, struct slice message);
/* The same, and the stream is of no use any more. */
void grpc_exchange_abort(struct grpc_exchange *ex, enum grpc_status status, struct slice message);
void grpc_exchange_stream_gone(struct grpc_exchange *ex);
void grpc_exchange_hand_over(struct grpc_exchange *ex);
void grpc_exchange_free(struct grpc_exchange *ex);

/* grpc_channel_response.c */
void grpc_answer_field(struct grpc_exchange *ex, struct slice name, struct slice value);
/* true: it was an interim one (1xx). */
bool grpc_answer_head(struct grpc_exchange *ex);
void grpc_answer_data(struct grpc_exchange *ex, struct slice bytes);
void grpc_answer_end(struct grpc_exchange *ex);
void grpc_answer_reset(struct grpc_exchange *ex, uint32_t code);

/* grpc_channel_stream.c */
/* Of a stream: a message begins, or is complete. */
void grpc_exchange_message_begins(struct grpc_exchange *ex);
void grpc_exchange_message_ends(struct grpc_exchange *ex);
/* Hands over what has arrived. */
void grpc_exchange_hand_messages(struct grpc_exchange *ex);

/* grpc_channel_status.c */
enum grpc_status grpc_status_of_http(int http_status);
enum grpc_status grpc_status_of_reset(uint32_t code);

#endif
