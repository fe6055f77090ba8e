/* conn.h - an accepted connection, whatever it speaks: writing, time, closing.
 *
 *     OPEN ──► FINISHING ──► LINGERING ──► CLOSING
 *       └──────────┴─────────────┴────────────►┘ broken, too slow, aborted
 *
 * OPEN reads. FINISHING has heard its last (a Connection: close, a flood, the
 * end of a drain) and writes what is still owed. LINGERING has sent FIN and
 * waits for the peer's, so that the last words aren't lost to a reset
 * (RFC 9112 9.6). CLOSING waits for the transport.
 *
 * Threads    The loop's thread.
 * Ownership  A connection is its set's (conn_set.h) and frees itself behind CLOSING; what 'self'
 *            points to is the protocol's, which frees it in release().
 * Order      What is gathered in a tick is written at its end.
 */
#ifndef EDGE_CONN_H
#define EDGE_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "edge/transport.h"
#include "loop/timer.h"

struct conn;
struct conn_set;

/* What is spoken. None may free the connection; each may abort it. */
struct conn_protocol {
    void (*read)(struct conn *conn, struct slice bytes); /* while OPEN */
    void (*peer_closed)(struct conn *conn); /* the peer's FIN: nothing more will be read */
    /* Adds to conn->out what is to be written; true: there is more, once that is sent. */
    bool (*gather)(struct conn *conn);
    void (*settle)(struct conn *conn); /* behind gathering and sending: what comes next */
    /* Looks at its deadlines and returns when to look again; INT64_MAX: at none. Often early. */
    int64_t (*due)(struct conn *conn, int64_t now_ms);
    void (*drain)(struct conn *conn);   /* end it when what is under way is answered */
    void (*drop)(struct conn *conn);    /* nothing will be answered any more */
    void (*release)(struct conn *conn); /* frees 'self' */
};

enum conn_state { CONN_OPEN, CONN_FINISHING, CONN_LINGERING, CONN_CLOSING };

struct conn {
    struct list node;  /* set->conns */
    struct list dirty; /* set->dirty, while it may have something to write */
    struct conn_set *set;
    struct transport transport;
    const struct conn_protocol *protocol;
    void *self;          /* the protocol's */
    struct buf out;      /* being gathered; marked as failed it aborts at the tick's end */
    struct buf sending;  /* with the kernel */
    struct timer timer;  /* fires at or before the next thing that is due */
    int64_t send_ms;     /* when 'sending' began */
    int64_t deadline_ms; /* the protocol's, if one for all is enough */
    int64_t linger_ms;   /* when LINGERING has taken too long */
    size_t in_work;      /* requests whose answers aren't on their way */
    enum conn_state state;
    bool send_busy; /* 'sending' isn't the kernel's yet */
    bool paused;
    bool peer_closed; /* the peer's FIN came */
    bool peer_known;  /* as in conn_peer() */
    bool overdue;     /* aborted because it didn't take what was sent */
    struct in6_addr peer;
};

/* From here on it speaks 'protocol'; before that nothing is read. */
void conn_speak(struct conn *conn, const struct conn_protocol *protocol, void *self);

int64_t conn_now_ms(const struct conn *conn);

/* Who is connected, as stream_peer() has it; the kernel is asked once. */
MUST_CHECK bool conn_peer(struct conn *conn, struct in6_addr *out);

/* How long a peer may take over 'bytes' that are ready for it, 'write_ms' for a few. */
int64_t conn_patience_ms(int64_t write_ms, size_t bytes);
/* When a send that is under way has taken too long. */
int64_t conn_send_due_ms(const struct conn *conn, int64_t write_ms);

/* Asks now who it is: later the peer may have gone. */
void conn_note_peer(struct conn *conn);
/* It is being ended because of what its peer did: that client's next ones wait (flood_penalty.h).
 */
void conn_blame(struct conn *conn, const char *why);

/* It may have something to write: gathered at the tick's end. */
void conn_touch(struct conn *conn);
void conn_flush(struct conn *conn);

/* due() is called at 'at_ms' or before; INT64_MAX is fine. The timer is only ever moved to an
 * earlier time; when it fires due() looks around and it is armed again for what comes next, so that
 * a busy connection doesn't touch the heap. */
void conn_wake_earlier(struct conn *conn, int64_t at_ms);
static inline void conn_wake(struct conn *conn, int64_t at_ms) {
    if (!timer_armed(&conn->timer) || conn->timer.at_ms > at_ms)
        conn_wake_earlier(conn, at_ms);
}

void conn_pause(struct conn *conn, bool paused);

/* An idle connection's buffers are its set's spare, but for small ones. */
void conn_trim(struct conn *conn);

/* A request begins to be served, and its answer is on its way: for the count of busy ones. */
void conn_work_begins(struct conn *conn);
void conn_work_ends(struct conn *conn);

/* All is written: FIN, and a last patience for the peer's. */
void conn_linger(struct conn *conn);
/* At once, whatever is owed. */
void conn_abort(struct conn *conn);

/* Private to conn_set.c: takes the stream over. NULL when memory runs out: it is
 * still the caller's. */
struct conn *conn_new(struct conn_set *set, struct stream *stream);

#endif
