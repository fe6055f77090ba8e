/* h2_server.h - HTTP/2 for servers (RFC 9113): streams in, responses out.
 *
 * What gRPC and HTTP have in common on the wire: connections by nghttp2, the
 * limits that stop HTTP/2's attacks, responses that wait for flow control, the
 * two-step drain. What a stream means is its user's: the server that embeds
 * struct h2_stream in its own request.
 *
 *     begin ─► field … ─► head ─► data … ─► end      the request
 *         h2_respond() … h2_queue() … h2_finish()     its answer, from head on
 *             └─► gone ─► h2_stream_done()            the stream is closed, by whomever
 *
 * Threads    The loop's thread.
 * Ownership  A stream is its user's, from begin() until it calls h2_stream_done(), which it may
 *            do only behind gone(). Slices are borrowed for the call.
 * Limits     struct h2_conf; constants in h2_*.c name the attack they stop.
 * Order      gone() comes exactly once for every stream that began; nothing else behind it.
 */
#ifndef EDGE_H2_SERVER_H
#define EDGE_H2_SERVER_H

#include <nghttp2/nghttp2.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "edge/conn.h"

#define H2_TRAILERS_MAX 18

struct h2; /* one connection */
struct h2_server;

struct h2_stream {
    struct list node; /* of its connection; between h2_stream_done() and begin() its user's */
    struct h2 *h2;    /* NULL once the connection has gone */
    int32_t id;
    unsigned field_count; /* of head and trailers */
    size_t field_bytes;   /* of them, as RFC 9113 6.5.2 counts */
    size_t held;          /* bytes of its body that count as the connection's */
    int64_t deadline_ms;  /* see h2_overdue() */
    bool head_done;
    bool half_closed; /* the request is complete, or its client has reset it */
    bool decided;     /* h2_finish() was called */
    bool gone;        /* nothing can be sent any more */
    struct {
        struct buf queue;
        size_t taken;   /* of it, by nghttp2 */
        int64_t due_ms; /* its client must have taken the queue; INT64_MAX: it is empty */
        bool begun;
        bool deferred; /* nghttp2 waits for nghttp2_session_resume_data() */
        bool overdue;  /* ended because its client didn't take the queue */
    } out;
};

struct h2_user {
    /* A request begins: the stream to embed it in (h2_stream_init()), or NULL: refused, and safe
     * to retry (RFC 9113 8.7). */
    struct h2_stream *(*begin)(struct h2 *h2, void *ctx);
    /* A pseudo-header or header field, or a trailer when stream->head_done. */
    void (*field)(struct h2_stream *stream, struct slice name, struct slice value);
    void (*head)(struct h2_stream *stream, bool body_follows);
    void (*data)(struct h2_stream *stream, struct slice bytes);
    void (*end)(struct h2_stream *stream);
    void (*gone)(struct h2_stream *stream);
    /* Looks at its deadline; called at or before it. */
    void (*due)(struct h2_stream *stream, int64_t now_ms);
    /* The fields behind the body; NULL or 0: none. */
    size_t (*trailers)(struct h2_stream *stream, nghttp2_nv nva[H2_TRAILERS_MAX]);
    /* It isn't complete although its request is: it ends with the peer's FIN. NULL: never. */
    bool (*lasting)(const struct h2_stream *stream);
    /* The last step of a drain: end what wouldn't end by itself. May be NULL. */
    void (*draining)(struct h2_stream *stream);
};

struct h2_conf {
    uint32_t streams_max;       /* at once on one connection */
    uint32_t header_list_bytes; /* announced; its user refuses what is larger */
    int64_t idle_ms;            /* a connection without streams, a stream that is answered */
    int64_t write_ms;           /* what is queued for a peer: conn_patience_ms() */
    int64_t ping_min_ms;        /* pings more often than this are strikes */
};

/* What the connections of one server share. NULL when memory runs out. 'floods' counts
 * connections ended for abuse. */
struct h2_server *h2_server_new(const struct h2_conf *conf, const struct h2_user *user, void *ctx,
                                _Atomic uint64_t *floods);
void h2_server_free(struct h2_server *server); /* NULL is fine */

/* Makes 'conn' an HTTP/2 connection: our SETTINGS go first, the client's preface is awaited.
 * false: out of memory, and nothing has happened. */
MUST_CHECK bool h2_open(struct h2_server *server, struct conn *conn);

struct conn *h2_conn_of(const struct h2 *h2);

/* Ends the connection for abuse; 'why' goes into the GOAWAY. */
void h2_flood(struct h2 *h2, const char *why);

/* Memory of requests, counted by connection: false when it would be more than 'max'. */
MUST_CHECK bool h2_hold(struct h2 *h2, size_t bytes, size_t max);
void h2_unhold(struct h2 *h2, size_t bytes); /* h2 NULL is fine: it is gone */
/* The same for a body of 'expected' bytes (0: unknown) in 'body': makes room for 'more' and counts
 * it. Room grows with what comes, not with what was announced (1,000 announced messages of 4 MiB
 * cost a peer 5 KB), and never beyond the expected, so that memory held is what is counted. */
MUST_CHECK bool h2_make_room(struct h2_stream *stream, struct buf *body, size_t more,
                             size_t expected, size_t max);
/* Gives it back; keeps a small buffer. */
void h2_drop_body(struct h2_stream *stream, struct buf *body);

/* All that is held for the connection: requests, and responses that the client hasn't taken. */
size_t h2_held(const struct h2 *h2);

/* In begin(): the stream of 'h2' that begins, with its first deadline; what is in out.queue's
 * memory is used again. */
void h2_stream_init(struct h2_stream *stream, struct h2 *h2, int64_t deadline_ms);
void h2_stream_done(struct h2_stream *stream);
void h2_set_deadline(struct h2_stream *stream, int64_t at_ms);
/* In due(): true when its user must end it now. What is answered and stays open is reset here, a
 * head without an end ends the connection. */
MUST_CHECK bool h2_overdue(struct h2_stream *stream, int64_t now_ms);
void h2_reset(struct h2_stream *stream, uint32_t code);

/* An interim response (100). */
void h2_inform(struct h2_stream *stream, const nghttp2_nv *nva, size_t count);
/* The response's head; without a body it is all, and must come with h2_finish(). */
void h2_respond(struct h2_stream *stream, const nghttp2_nv *nva, size_t count, bool body);
/* Whether the client may be owed so much more. */
MUST_CHECK bool h2_queue_fits(const struct h2_stream *stream, size_t bytes);
void h2_queue(struct h2_stream *stream, struct slice bytes);
/* The client's windows have let all through that was queued. */
bool h2_taken(const struct h2_stream *stream);
/* Nothing comes behind what was queued but the trailers. */
void h2_finish(struct h2_stream *stream);
/* Memory ran out on the way: the connection is aborted at the tick's end. */
void h2_fail(struct h2 *h2);

/* A field whose name and value are literals. */
#define H2_FIELD(n, v)                                                                             \
    {                                                                                              \
        (uint8_t *)(uintptr_t)("" n), (uint8_t *)(uintptr_t)("" v), sizeof(n) - 1, sizeof(v) - 1,  \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                           \
    }

#endif
