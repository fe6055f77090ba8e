/* redis_conn.h - a pipelined connection to one Redis server.
 *
 * Connects, greets (AUTH, SELECT, CLIENT SETNAME, SCRIPT LOAD) and connects again with growing
 * pauses for as long as it lives. What is asked in one tick leaves in one send at its end; replies
 * come in the order of asking.
 *
 *     WAITING ─► CONNECTING ─► GREETING ─► READY ─► WAITING …
 *        ▲            └────────────┘ failed: on_down(), and after a pause again
 *
 * Threads    The loop's thread.
 * Ownership  A request is the caller's memory, linked here from redis_conn_ask() until done(); the
 *            command is copied. The reply is borrowed for done().
 * Callbacks  Never inside the function that leads to them; done() exactly once per request taken.
 * Limits     struct redis_conn_conf. Unanswered for 'response_ms': the connection is given up, as
 *            replies have no names and what comes behind can't be told apart.
 */
#ifndef EDGE_REDIS_CONN_H
#define EDGE_REDIS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/list.h"
#include "edge/redis_reply.h"
#include "edge/redis_script.h"
#include "edge/redis_url.h"
#include "loop/loop.h"
#include "loop/resolver.h"

struct redis_conn;
struct tls;

struct redis_conn_conf {
    struct resolver *resolver;           /* the process's */
    const struct redis_url *url;         /* read at every attempt; "": not known yet */
    struct tls *tls;                     /* a client's, for url->is_tls; outlives it, too */
    const struct redis_scripts *scripts; /* loaded at every greeting */
    int64_t connect_ms;                  /* from the name's lookup to the end of greeting */
    int64_t response_ms;
    int64_t backoff_min_ms; /* the first pause; doubled up to the longest, each jittered by half */
    int64_t backoff_max_ms;
    void (*on_ready)(void *ctx);
    /* It isn't READY any more, or an attempt has failed; every request has come back. */
    void (*on_down)(void *ctx);
    void *ctx;
    uint64_t seed; /* of the jitter */
};

/* What came of a request. */
struct redis_outcome {
    enum err err;                    /* redis_reply_err(); without a reply: ERR_UNKNOWN, or
                                        ERR_UNAVAILABLE if it never left, or ERR_CANCELLED */
    bool refused;                    /* surely nothing has changed */
    const struct redis_reply *reply; /* NULL: none came */
};

struct redis_request { /* embed it */
    void (*done)(struct redis_request *request, const struct redis_outcome *outcome);
    struct list node; /* the connection's, like the rest */
    int64_t deadline_ms;
    size_t several; /* commands; 0: one */
};

/* NULL when memory runs out. Begins to connect on the next turn. */
struct redis_conn *redis_conn_new(struct loop *loop, const struct redis_conn_conf *conf);

/* Gives everything back with ERR_CANCELLED and closes; then 'closed' runs once, on a later turn,
 * and the connection is gone. */
void redis_conn_close(struct redis_conn *conn, void (*closed)(void *ctx), void *ctx);

bool redis_conn_ready(const struct redis_conn *conn);

/* Requests not answered yet. */
size_t redis_conn_requests(const struct redis_conn *conn);

/* Takes one command, or none. ERR_UNREACHABLE: not READY; ERR_NO_MEMORY. */
MUST_CHECK enum err redis_conn_ask(struct redis_conn *conn, struct redis_request *request,
                                   struct slice command);

/* Takes 'count' commands as one request, or none: its reply is an array of theirs, an error being
 * an element like others, so that the outcome is ERR_OK once all of them have come. */
MUST_CHECK enum err redis_conn_ask_several(struct redis_conn *conn, struct redis_request *request,
                                           struct slice commands, size_t count);

/* READY, but of no use to the caller (of another store, say): as if it had broken. on_down() comes
 * before this returns. */
void redis_conn_give_up(struct redis_conn *conn, const char *why);

/* Why it was down the last time, a sentence for the log; "" before. */
const char *redis_conn_problem(const struct redis_conn *conn);

/* And that was because the server doesn't take us as we are configured (certificate,
 * credentials, database, rights): no matter of time. */
bool redis_conn_refused(const struct redis_conn *conn);

#endif
