/* grpc_internal.h - what the files of the gRPC server share.
 *
 * grpc_server.c   the server: accepting, drain, recycled objects
 * grpc_conn.c     one connection: reading, deadlines, writing, closing
 * grpc_session.c  HTTP/2: nghttp2's callbacks, from frames to calls
 * grpc_scan.c     frame headers, before nghttp2 reads them
 * grpc_request.c  a call's request: head, metadata, messages
 * grpc_response.c a call's response: messages, trailers, refusals
 * grpc_call.c     a call's life, and what its handler calls
 * grpc_limits.c   how much nonsense a peer may send
 */
#ifndef EDGE_GRPC_INTERNAL_H
#define EDGE_GRPC_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "edge/grpc_server.h"
#include "edge/transport.h"
#include "loop/timer.h"
#include "wire/grpc_frame.h"
#include "wire/gunzip.h"

struct grpc_server {
    struct loop *loop;
    struct grpc_server_conf conf;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    struct listener *listener;
    struct list conns;
    struct list dirty; /* connections with frames to write at the tick's end */
    struct list free_calls;
    struct loop_hook flush;
    struct gunzip *gunzip;
    struct buf inflated; /* the message being handed over, if it came compressed */
    bool draining;
    struct {
        void (*done)(void *ctx);
        void *ctx;
    } drained;
    struct timer drained_timer; /* calls drained.done on a turn of its own */
    struct grpc_server_stats stats;
};

/* Two allowances that fill up with time, in thousandths (see grpc_limits.c), and ping strikes. */
struct grpc_police {
    int64_t at_ms;
    int64_t noise;
    int64_t resets;
    int64_t ping_ms;
    unsigned ping_strikes;
};

enum grpc_conn_state {
    GRPC_CONN_OPEN,      /* reads requests, writes answers */
    GRPC_CONN_ENDING,    /* reads nothing more; closes behind a last GOAWAY */
    GRPC_CONN_LINGERING, /* FIN sent; waits for the peer's, so that GOAWAY isn't lost to a reset */
    GRPC_CONN_CLOSING    /* waits for on_closed() */
};

/* RFC 9113 6.8: a GOAWAY that names no last stream, a round trip, then the real one. */
enum grpc_drain { GRPC_DRAIN_NONE, GRPC_DRAIN_NOTICED, GRPC_DRAIN_FINAL };

#define GRPC_CLOSED_KEPT 32

/* Where in the peer's bytes we are, frame by frame, and the streams that closed last (a ring). */
struct grpc_scan {
    unsigned preface_left; /* of the client's magic */
    unsigned head_len;
    uint8_t head[9];
    uint32_t payload_left;
    struct {
        int32_t stream_id;
        bool by_peer; /* it ended its side: nothing of it may follow */
    } closed[GRPC_CLOSED_KEPT];
    unsigned closed_next;
};

struct grpc_conn {
    struct list node;  /* server->conns */
    struct list dirty; /* server->dirty, while it may have something to write */
    struct grpc_server *server;
    struct transport transport;
    nghttp2_session *session;
    struct list calls;   /* all whose stream or whose handler isn't done */
    size_t open_streams; /* of them, with a stream */
    size_t orphans;      /* of them, without: only their handler isn't done */
    size_t in_bytes;     /* requests held: metadata and unfinished messages */
    size_t out_bytes;    /* responses held */
    struct buf out;      /* being gathered */
    struct buf sending;  /* with the kernel */
    size_t read_behind;  /* bytes read while 'sending' was */
    struct timer timer;  /* fires at or before the next thing that is due */
    int64_t idle_since_ms;
    int64_t read_ms;  /* when something came last */
    int64_t send_ms;  /* when 'sending' began */
    int64_t drain_ms; /* when the round trip or the lingering has taken too long */
    struct grpc_police police;
    struct grpc_scan scan;
    enum grpc_conn_state state;
    enum grpc_drain drain;
    bool send_busy; /* 'sending' isn't the kernel's yet */
    bool paused;
    bool peer_closed; /* the peer's FIN came */
    bool probed;      /* a PING asks whether a silent peer is still there */
    bool terminated;  /* a GOAWAY has told of an error */
    bool failed;      /* memory ran out; aborted at the tick's end */
};

struct grpc_field {
    struct grpc_field *next;
    struct slice name;
    struct slice value;
};

struct grpc_call {
    struct list node; /* conn->calls, or server->free_calls */
    struct grpc_server *server;
    struct grpc_conn *conn; /* NULL once the connection has gone */
    int32_t stream_id;
    const struct grpc_method *method;
    void *data;
    struct arena arena;
    int64_t started_us;
    int64_t deadline_ms; /* the client's; once ended, for the rest to be written */

    struct { /* the request */
        struct grpc_field *fields;
        struct slice path;
        struct slice content_type;
        struct slice encoding;
        struct slice timeout;
        unsigned field_count;
        size_t field_bytes;
        struct grpc_frame_reader reader;
        struct buf message;
        size_t held; /* part of conn->in_bytes */
        unsigned messages;
        const char *http_status; /* it isn't gRPC: this is the answer to its end, */
        struct slice http_text;  /* and this */
        bool post;
        bool gzip;
        bool too_large; /* the head */
        bool malformed; /* a "-bin" value that isn't base64 */
        bool head_done;
        bool half_closed;
    } in;

    struct {              /* the response */
        struct buf queue; /* framed messages */
        size_t taken;     /* of it, by nghttp2 */
        struct buf trailers;
        unsigned trailer_count;
        bool begun;    /* headers are submitted */
        bool deferred; /* nghttp2 waits for nghttp2_session_resume_data() */
        bool plain;    /* an HTTP answer: no trailers behind the body */
    } out;

    bool handed;      /* the handler owes grpc_finish() */
    bool ended;       /* its outcome is decided */
    bool stream_gone; /* nothing can be sent any more */
    bool overflowed;  /* ended by grpc_send(): gone() is due on the next turn */
};

static inline void stat_add(_Atomic uint64_t *stat, uint64_t n) {
    /* One writing thread: a plain load and store is enough and cheaper than a locked add. */
    atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* grpc_server.c */
void grpc_server_gone(struct grpc_server *server, struct grpc_conn *conn);
const struct grpc_method *grpc_method_find(const struct grpc_server *server, struct slice path);

/* grpc_conn.c */
void grpc_conn_open(struct grpc_server *server, struct stream *stream);
void grpc_conn_touch(struct grpc_conn *conn); /* written at the tick's end */
void grpc_conn_wake(struct grpc_conn *conn, int64_t at_ms);
void grpc_conn_flush(struct grpc_conn *conn);
void grpc_conn_drain(struct grpc_conn *conn);
void grpc_conn_drain_ponged(struct grpc_conn *conn);
/* Ends it for abuse; 'why' goes into the GOAWAY. */
void grpc_conn_flood(struct grpc_conn *conn, const char *why);
void grpc_conn_abort(struct grpc_conn *conn);
/* Looks at the result of an nghttp2 call made from wherever: a fatal one aborts, later. */
void grpc_conn_check(struct grpc_conn *conn, int result);

/* grpc_session.c */
nghttp2_session_callbacks *grpc_session_callbacks(void);
nghttp2_option *grpc_session_option(void);
/* With its SETTINGS submitted. NULL when memory runs out. */
nghttp2_session *grpc_session_new(struct grpc_conn *conn);
extern const uint8_t grpc_drain_ping[8];

/* grpc_scan.c */
void grpc_scan_init(struct grpc_scan *scan);
/* How many of 'bytes' nghttp2 is to read next: to the end of a frame, or all. Before that it has
 * refused what nghttp2 would ignore in silence. */
size_t grpc_scan_next(struct grpc_conn *conn, struct slice bytes);
void grpc_scan_closed(struct grpc_scan *scan, int32_t stream_id, bool by_peer);

/* grpc_request.c */
void grpc_request_field(struct grpc_call *call, struct slice name, struct slice value);
void grpc_request_head(struct grpc_call *call);
void grpc_request_data(struct grpc_call *call, struct slice bytes);
void grpc_request_half_closed(struct grpc_call *call);
void grpc_request_drop(struct grpc_call *call); /* what is held of messages */

/* grpc_response.c */
/* false: more is held for the client than may be. */
bool grpc_response_message(struct grpc_call *call, struct slice message);
void grpc_response_trailer(struct grpc_call *call, struct slice name, struct slice value);
void grpc_response_end(struct grpc_call *call, enum grpc_status status, struct slice message);
/* For what isn't gRPC: an HTTP status and a sentence. */
void grpc_response_http(struct grpc_call *call, const char *status, struct slice text);
void grpc_response_drop(struct grpc_call *call);

/* grpc_call.c */
struct grpc_call *grpc_call_take(struct grpc_conn *conn, int32_t stream_id);
void grpc_call_refuse(struct grpc_call *call, enum grpc_status status, struct slice message);
void grpc_call_refuse_http(struct grpc_call *call);
void grpc_call_deadline(struct grpc_call *call, int64_t now_ms);
void grpc_call_stream_gone(struct grpc_call *call);
void grpc_call_conn_gone(struct grpc_call *call);

/* grpc_limits.c; all but the last: false means enough is enough */
void grpc_police_init(struct grpc_police *police, int64_t now_ms);
MUST_CHECK bool grpc_police_noise(struct grpc_police *police, int64_t now_ms, unsigned cost);
MUST_CHECK bool grpc_police_reset(struct grpc_police *police, int64_t now_ms);
MUST_CHECK bool grpc_police_ping(struct grpc_police *police, int64_t now_ms, int64_t min_ms);
void grpc_police_useful(struct grpc_police *police);

#endif
