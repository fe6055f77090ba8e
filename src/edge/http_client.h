/* http_client.h - HTTP requests to others, by libcurl, for a thread that does nothing else.
 *
 * For what isn't in the way of a request: service discovery, configuration. The thread sleeps in
 * http_client_turn() until an answer comes, a request is due or somebody wakes it.
 *
 * Threads    One owner, except http_client_wake(), which any thread may call.
 * Ownership  A fetch is the caller's memory, used from http_client_start() until done() or
 *            http_client_cancel(); what is in it is borrowed as long. The answer is borrowed for
 *            done().
 * Callbacks  done() exactly once for each start that isn't cancelled, from http_client_turn() only;
 *            it may start the same fetch again.
 * Limits     struct http_client_conf. No redirects are followed.
 */
#ifndef EDGE_HTTP_CLIENT_H
#define EDGE_HTTP_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"

struct http_client;

struct http_client_conf { /* borrowed while the client lives */
    const char *header;   /* one that every request gets; a secret; NULL: none */
    const char *ca_file;  /* PEM; "": those whom the system trusts */
    const char *cert_file;
    const char *key_file; /* both "": none */
    int64_t connect_ms;
    size_t body_bytes_max; /* of an answer */
};

struct http_answer {
    const char *problem; /* a sentence: no answer came; NULL: one did */
    long status;
    struct slice body;
    void *easy; /* the client's */
};

struct http_fetch {
    const char *method;
    const char *url;
    struct slice body;  /* of a PUT */
    int64_t timeout_ms; /* from the start to the whole answer */
    void (*done)(struct http_fetch *fetch, const struct http_answer *answer);
    struct { /* the client's */
        struct list node;
        void *easy;
        int64_t at_ms;
        size_t sent;
        struct buf answer;
        size_t answer_max;
        char problem[256];
    } own;
};

/* NULL when memory runs out. */
struct http_client *http_client_new(const struct http_client_conf *conf);
/* Cancels what is under way. NULL is fine. */
void http_client_free(struct http_client *client);

/* After 'delay_ms'; the fetch isn't under way. */
void http_client_start(struct http_client *client, struct http_fetch *fetch, int64_t delay_ms);
/* done() won't come; also where nothing is under way. Frees what the fetch holds: the last call for
 * each fetch that was ever started. */
void http_client_cancel(struct http_client *client, struct http_fetch *fetch);

/* Begins what is due and hands over what has come; when nothing has, sleeps for at most 'wait_ms'.
 */
void http_client_turn(struct http_client *client, int64_t wait_ms);
void http_client_wake(struct http_client *client);

/* A header of the answer, "" where it has none. Inside done(). */
struct slice http_answer_header(const struct http_answer *answer, const char *name);

#endif
