/* consul.h - a Consul agent, as one thread of ours talks to it (HTTP API v1).
 *
 *     consul_watch     a blocking query, again and again: who is there, what is configured
 *     consul_service   a registration that is kept up
 *
 * With the agent away everything waits and tries again; what was heard last stays true until
 * something else is heard.
 *
 * Threads    One owner, which turns 'http'; the figures any thread.
 * Ownership  Borrows the configuration. Watches and services end before the agent does.
 */
#ifndef EDGE_CONSUL_H
#define EDGE_CONSUL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/config.h"
#include "base/err.h"
#include "edge/http_client.h"

#define CONSUL_URL_BYTES  1024
#define CONSUL_TEXT_BYTES 256

/* "consul://host:port" or "consuls://": what discovery.url says when Consul is meant. */
bool consul_is(const char *url);

/* Is the text fit for a name in a path or a query of ours: letters, digits, '-', '_', '.'? */
bool consul_is_name(struct slice text);

struct consul {
    struct http_client *http;
    const struct config *config;
    struct http_client_conf conf;
    char base[CONSUL_TEXT_BYTES];  /* "http://host:port/v1/" */
    char token[CONSUL_TEXT_BYTES]; /* "X-Consul-Token: …" */
    uint64_t seed;                 /* of the jitter */
    bool told_down;
    atomic_bool up; /* it has answered, and has since */
    _Atomic uint64_t errors;
};

/* NULL, or a sentence why it can't be used. */
MUST_CHECK const char *consul_open(struct consul *consul, const struct config *config);
/* Nothing is under way any more. A zeroed one is fine. */
void consul_close(struct consul *consul);

/* "BASE/PATH", and the datacenter; 'path' is printf's and may end in a query. NUL-terminated. */
void consul_url(const struct consul *consul, char out[CONSUL_URL_BYTES], const char *path, ...)
    PRINTF_LIKE(3, 4);

/* What came of a request: NULL or a sentence; logged when it is news. */
void consul_heard(struct consul *consul, const char *problem);
/* The sentence for an answer that isn't one of those expected; 'out' is for it. */
const char *consul_problem(const struct http_answer *answer, char *out, size_t size);

/* X-Consul-Index; 0: none. Inside done(). */
uint64_t consul_index(const struct http_answer *answer);

/* The pause before the attempt after 'failures' that failed, full jitter. */
int64_t consul_pause_ms(struct consul *consul, unsigned failures);

/* ---- blocking queries ---- */

struct consul_watch {
    /* What there is now: the answer to the first query, and to each whose index has moved. The
     * status is 200, or 404 where there is nothing. */
    void (*changed)(struct consul_watch *watch, const struct http_answer *answer);
    const char *path; /* "kv/…?raw", "health/service/…": with or without a query */
    struct consul *consul;
    struct http_fetch fetch;
    char url[CONSUL_URL_BYTES];
    uint64_t index;
    unsigned failures;
    int64_t heard_ms;
};

/* 'changed' and 'path' are set. */
void consul_watch_start(struct consul_watch *watch, struct consul *consul);
void consul_watch_stop(struct consul_watch *watch);

/* ---- a registration ---- */

enum consul_service_state { CONSUL_REGISTERING, CONSUL_REGISTERED, CONSUL_LEAVING, CONSUL_LEFT };

struct consul_service {
    const char *id;
    struct slice body; /* for the agent: wire/consul_json.h */
    void (*left)(struct consul_service *service);
    struct consul *consul;
    enum consul_service_state state;
    struct http_fetch fetch;
    char url[CONSUL_URL_BYTES];
    unsigned failures;
};

/* Registers, looks every few seconds whether the agent still knows, and registers again if it
 * doesn't. 'id', 'body' and 'left' are set. */
void consul_service_start(struct consul_service *service, struct consul *consul);
/* Deregisters, then calls left(), also when the agent doesn't answer: Consul's own checks find out
 * then. */
void consul_service_leave(struct consul_service *service);
void consul_service_stop(struct consul_service *service);

#endif
