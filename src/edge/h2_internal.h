/* h2_internal.h - what the files of the HTTP/2 transport share.
 *
 * h2_conn.c     one connection: reading, deadlines, ending
 * h2_session.c  nghttp2's callbacks: from frames to streams
 * h2_stream.c   a stream's life and its memory
 * h2_out.c      its response, as fast as flow control allows
 * h2_memory.c   what nghttp2 allocates for a stream
 * h2_scan.c     frame headers, before nghttp2 reads them
 * h2_police.c   how much nonsense a peer may send
 */
#ifndef EDGE_H2_INTERNAL_H
#define EDGE_H2_INTERNAL_H

#include "edge/h2_memory.h"
#include "edge/h2_server.h"

struct h2_server {
    struct h2_conf conf;
    const struct h2_user *user;
    void *ctx;
    _Atomic uint64_t *floods;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    struct h2_memory memory; /* of all sessions */
};

/* Two allowances that fill up with time, in thousandths (see h2_police.c), and ping strikes. */
struct h2_police {
    int64_t at_ms;
    int64_t noise;
    int64_t resets;
    int64_t ping_ms;
    unsigned ping_strikes;
};

/* RFC 9113 6.8: a GOAWAY that names no last stream, a round trip, then the real one. */
enum h2_drain { H2_DRAIN_NONE, H2_DRAIN_NOTICED, H2_DRAIN_FINAL };

#define H2_CLOSED_KEPT 32

/* Where in the peer's bytes we are, frame by frame, and the streams that closed last (a ring). */
struct h2_scan {
    unsigned preface_left; /* of the client's magic */
    unsigned head_len;
    uint8_t head[9];
    uint32_t payload_left;
    struct {
        int32_t stream_id;
        bool by_peer; /* it ended its side: nothing of it may follow */
    } closed[H2_CLOSED_KEPT];
    unsigned closed_next;
};

struct h2 {
    struct conn *conn;
    struct h2_server *server;
    nghttp2_session *session;
    struct list streams; /* all that aren't done */
    size_t open_streams; /* of them, with a stream */
    size_t orphans;      /* of them, without: only their user isn't done */
    size_t in_bytes;     /* requests held: heads and unfinished bodies */
    size_t out_bytes;    /* responses held */
    size_t read_behind;  /* bytes read while the last send was under way */
    unsigned untaken;    /* answers given up since one was taken as a whole */
    int64_t idle_since_ms;
    int64_t read_ms;  /* when something came last */
    int64_t drain_ms; /* when the round trip has taken too long */
    struct h2_police police;
    struct h2_scan scan;
    enum h2_drain drain;
    bool probed;     /* a PING asks whether a silent peer is still there */
    bool terminated; /* a GOAWAY has told of an error */
};

/* h2_conn.c */
void h2_drain_ponged(struct h2 *h2);
/* Looks at the result of an nghttp2 call made from wherever: a fatal one aborts, later. */
void h2_check(struct h2 *h2, int result);

/* h2_session.c */
nghttp2_session_callbacks *h2_session_callbacks(void);
nghttp2_option *h2_session_option(void);
/* With its SETTINGS submitted. NULL when memory runs out. */
nghttp2_session *h2_session_new(struct h2 *h2);
extern const uint8_t h2_drain_ping[8];

/* h2_stream.c */
void h2_stream_closed(struct h2_stream *stream);    /* by either side */
void h2_stream_conn_gone(struct h2_stream *stream); /* it's on no list any more */

/* h2_out.c */
/* Its client hasn't taken what is queued for it: resets it, and ends a connection that does so
 * again and again. */
void h2_out_overdue(struct h2_stream *stream);
void h2_out_drop(struct h2_stream *stream);

/* h2_scan.c */
void h2_scan_init(struct h2_scan *scan);
/* How many of 'bytes' nghttp2 is to read next: to the end of a frame, or all. Before that it has
 * refused what nghttp2 would ignore in silence. */
size_t h2_scan_next(struct h2 *h2, struct slice bytes);
void h2_scan_closed(struct h2_scan *scan, int32_t stream_id, bool by_peer);

/* h2_police.c; all but the last: false means enough is enough */
void h2_police_init(struct h2_police *police, int64_t now_ms);
MUST_CHECK bool h2_police_noise(struct h2_police *police, int64_t now_ms, unsigned cost);
MUST_CHECK bool h2_police_reset(struct h2_police *police, int64_t now_ms);
MUST_CHECK bool h2_police_ping(struct h2_police *police, int64_t now_ms, int64_t min_ms);
void h2_police_useful(struct h2_police *police);

#endif
