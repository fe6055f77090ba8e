/* conn.h - an HTTP/2 connection between a gateway and a counter, as far as it matters to them:
 * frames in order both ways, streams, GOAWAY, and its end.
 *
 *     gateway ── HELLO, APPLY ──────────────────────────────► counter
 *             ◄── ANSWER, ERROR, REFUSED, GOAWAY, CLOSED ───
 *
 * What goes wrong, by dice:
 *   stalls   what is sent from now on arrives late, all of it, in order
 *   breaks   of what is on its way, a part still arrives, in order: none, some, all, or all of it
 *            much later (while the gateway is long on another connection)
 * The gateway hears of a break by CLOSED, soon (RST) or late (silence: the machine is gone).
 */
#ifndef TESTS_SIM_CONN_H
#define TESTS_SIM_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "history.h"

struct world;
struct gateway;
struct line;
struct counter;

enum frame_kind {
    FRAME_HELLO,
    FRAME_APPLY,
    FRAME_ANSWER,
    FRAME_ERROR,   /* a status other than OK, with our trailers */
    FRAME_REFUSED, /* RST_STREAM with REFUSED_STREAM (RFC 9113 8.7) */
    FRAME_GOAWAY,  /* streams above 'stream' were not and won't be processed (RFC 9113 6.8) */
    FRAME_CLOSED
};

struct frame {
    struct list node;
    int64_t at_ms; /* arrives, not before those ahead of it */
    enum frame_kind kind;
    uint64_t stream;
    struct buf bytes;   /* HELLO, APPLY, ANSWER: a message of lanes.proto */
    enum err err;       /* ERROR: trailer hgp-error */
    bool not_applied;   /* ERROR: trailer hgp-not-applied */
    struct facts facts; /* ANSWER: not on the wire, for the checker */
};

struct way {
    struct list frames;
    int64_t last_ms; /* the latest arrival */
};

struct conn {
    unsigned refs;
    struct world *world;
    struct way up;
    struct way down;
    bool broken; /* takes nothing any more */

    struct gateway *gateway; /* NULL: that end is closed */
    struct line *line;
    struct list gateway_node;
    struct list streams; /* open ones, line.c's */
    uint64_t next_stream;

    struct counter *counter;
    unsigned counter_incarnation; /* another one by now: that end is gone */
    struct list counter_node;
    uint64_t last_stream; /* the highest one looked at */
    bool goaway;          /* nothing beyond will be */
};

/* On the lists of both ends until it breaks. */
struct conn *conn_new(struct line *line, struct counter *counter);
void conn_hold(struct conn *conn);
void conn_drop(struct conn *conn);

/* Empty, of the kind. */
struct frame *frame_new(enum frame_kind kind, uint64_t stream);

/* Takes the frame. On a broken connection it is gone. */
void conn_send_up(struct conn *conn, struct frame *frame);
void conn_send_down(struct conn *conn, struct frame *frame);

/* What the gateway has sent and the counter hasn't got arrives no earlier than that. */
void conn_stall_up(struct conn *conn, int64_t until_ms);

/* Once; later calls do nothing. 'silent': nobody is left to say so. */
void conn_break(struct conn *conn, bool silent);

/* The gateway's end is gone: nobody hears anything any more. Breaks it. */
void conn_leave(struct conn *conn);

#endif
