/* http_fixture.h - an HTTP server on a thread of its own, for grpc_fixture.h's client.
 *
 *     ANY  /echo          200, "METHOD path?query body"
 *     ANY  /fields        200, the request's fields, a line each
 *     ANY  /large         the same as /echo with a body of up to 1 MiB; elsewhere 64 KiB
 *     ANY  /bytes?n       200, n bytes
 *     ANY  /hold          nothing, until a request for
 *     ANY  /release       200 for all of them, the last first, and then for itself
 *     ANY  /last          the head and "begun" of a reply that lasts
 *     ANY  /more?n        n bytes for those that are ready; 200, "1 of 2" were
 *     ANY  /finish        the end of all of them, and 200
 *     ANY  /refuse        405, before its body
 *     ANY  /empty         204
 *
 * What the server refuses is answered with its sentence.
 */
#ifndef TESTS_EDGE_HTTP_FIXTURE_H
#define TESTS_EDGE_HTTP_FIXTURE_H

#include "edge/http_server.h"
#include "grpc_fixture.h"

#define HELD_MAX 1200
#define HTTP_FIXTURE_CONF                                                                          \
    (struct http_server_conf) {                                                                    \
        .limits = {.line_bytes = 1024,                                                             \
                   .header_bytes = 8192,                                                           \
                   .header_count = 20,                                                             \
                   .body_bytes = 65536},                                                           \
        .connections_max = 8, .pipeline_max = 8, .streams_max = 100, .header_ms = 20000,           \
        .body_ms = 20000, .idle_ms = 20000, .write_ms = 20000, .id_seed = 7                        \
    }

struct http_fixture {
    struct server base; /* only 'port' is used: for client_new() and raw_connect() */
    struct http_server_conf conf;
    _Atomic size_t connections;
    struct http_server *server;
    struct loop *loop;
    pthread_t thread;
    sem_t ready;
    struct mail drain;
    bool draining;
    struct http_exchange *held[HELD_MAX];
    unsigned held_count;
    struct http_exchange *lasting[HELD_MAX];
    unsigned lasting_count;
    unsigned gone;           /* of those that lasted, by their clients; read it after http_stop() */
    unsigned slow;           /* of them */
    unsigned by_status[600]; /* of replied(); read it after http_stop() */
    uint64_t floods;         /* likewise */
};

void http_start(struct http_fixture *f, const struct http_server_conf *conf);
void http_drain(struct http_fixture *f);
/* Drains it and waits for its end: no connection open, nothing owed, or it aborts. */
void http_stop(struct http_fixture *f);

#endif
